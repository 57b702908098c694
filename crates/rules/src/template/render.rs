//! Walks over the pieces of a template and writes text.

use serde_json::Value;

use super::{Node, TemplateError, Write};
use crate::{
    expr::{Machine, Scope, tree::Expr},
    filters::items,
    value::{Budget, Dict, Missing, Num, Trouble, Val},
};

/// What one rendering may cost: an event of the largest size, a few times over.
const STEPS: u64 = 2_000_000;
const BYTES: usize = 16 << 20;
const LARGEST_OUTPUT: usize = 8 << 20;

fn machine(scope: Scope<'_>) -> Machine<'_> {
    Machine::new(Some(scope), Budget::new(STEPS, BYTES))
}

/// The value of one expression, as JSON.
pub(super) fn value<'a>(expr: &'a Expr, scope: Scope<'a>) -> Result<Value, TemplateError> {
    let machine = machine(scope);
    let value = defined(&machine, expr)?;
    match value {
        // What is borrowed from the event keeps the text of its numbers.
        Val::Num(Num::Json(number)) => Ok(Value::Number(number.clone())),
        other => other
            .to_json(&machine.budget)
            .map_err(|error| explain(expr, &error)),
    }
}

/// All pieces, as text.
pub(super) fn text<'a>(
    nodes: &'a [Node],
    scope: Scope<'a>,
    write: Option<Write<'_>>,
) -> Result<String, TemplateError> {
    let mut writer = Writer {
        machine: machine(scope),
        write,
        out: String::new(),
    };
    writer.nodes(nodes)?;
    Ok(writer.out)
}

/// The value of an expression, which must have one.
fn defined<'a>(machine: &Machine<'a>, expr: &'a Expr) -> Result<Val<'a>, TemplateError> {
    match machine.eval(expr) {
        Ok(Val::Undefined(Missing::Path(missing))) => Err(TemplateError::Undefined {
            name: missing.to_string(),
        }),
        Ok(Val::Undefined(missing)) => Err(TemplateError::Failed {
            expr: expr.to_string(),
            why: missing.to_string(),
        }),
        Ok(value) => Ok(value),
        Err(error) => Err(explain(expr, &error)),
    }
}

fn explain(expr: &Expr, error: &Trouble) -> TemplateError {
    TemplateError::Failed {
        expr: expr.to_string(),
        why: error.to_string(),
    }
}

struct Writer<'a, 'w> {
    machine: Machine<'a>,
    write: Option<Write<'w>>,
    out: String,
}

impl<'a> Writer<'a, '_> {
    fn nodes(&mut self, nodes: &'a [Node]) -> Result<(), TemplateError> {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    /// Pieces whose variables end with them.
    fn scoped(&mut self, nodes: &'a [Node]) -> Result<(), TemplateError> {
        let known = self.machine.locals.len();
        let result = self.nodes(nodes);
        self.machine.locals.truncate(known);
        result
    }

    fn push(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.out.len() + text.len() > LARGEST_OUTPUT {
            return Err(TemplateError::TooLarge {
                limit: LARGEST_OUTPUT,
            });
        }
        self.out.push_str(text);
        Ok(())
    }

    fn node(&mut self, node: &'a Node) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => self.push(text),
            Node::Emit(expr) => {
                let value = defined(&self.machine, expr)?;
                let text = value
                    .to_text(&self.machine.budget)
                    .map_err(|error| explain(expr, &error))?;
                match self.write {
                    Some(write) => {
                        let text =
                            write(&self.out, &text).map_err(|why| TemplateError::Refused {
                                expr: expr.to_string(),
                                why,
                            })?;
                        self.push(&text)
                    }
                    None => self.push(&text),
                }
            }
            Node::If { test, yes, no } => {
                let holds = defined(&self.machine, test)?.truthy() == Some(true);
                self.nodes(if holds { yes } else { no })
            }
            Node::For {
                targets,
                items,
                filter,
                body,
                otherwise,
            } => {
                let kept = self.kept(targets, items, filter.as_ref())?;
                if kept.is_empty() {
                    return self.scoped(otherwise);
                }
                let len = kept.len();
                for (index, item) in kept.into_iter().enumerate() {
                    self.machine
                        .budget
                        .steps(10)
                        .map_err(|error| explain(items, &error))?;
                    let known = self.machine.locals.len();
                    self.assign(targets, items, item)?;
                    let place = Val::Map(Dict::Loop(index, len));
                    self.machine.locals.push(("loop", place));
                    self.nodes(body)?;
                    self.machine.locals.truncate(known);
                }
                Ok(())
            }
            Node::Set { name, value } => {
                let value = defined(&self.machine, value)?;
                self.machine.locals.push((name, value));
                Ok(())
            }
            Node::With { values, body } => {
                let known = self.machine.locals.len();
                let mut computed = Vec::with_capacity(values.len());
                for (name, value) in values {
                    computed.push((name.as_str(), defined(&self.machine, value)?));
                }
                self.machine.locals.extend(computed);
                self.nodes(body)?;
                self.machine.locals.truncate(known);
                Ok(())
            }
        }
    }

    /// The items that a loop goes over.
    fn kept(
        &mut self,
        targets: &'a [String],
        from: &'a Expr,
        filter: Option<&'a Expr>,
    ) -> Result<Vec<Val<'a>>, TemplateError> {
        let list = defined(&self.machine, from)?;
        let all = items(&list, &self.machine.budget).map_err(|error| explain(from, &error))?;
        let Some(filter) = filter else {
            return Ok(all);
        };
        let mut kept = Vec::new();
        for item in all {
            let known = self.machine.locals.len();
            self.assign(targets, from, item.clone())?;
            let holds = defined(&self.machine, filter)?.truthy() == Some(true);
            self.machine.locals.truncate(known);
            if holds {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    /// Gives an item to the variable of a loop, or its parts to several.
    fn assign(
        &mut self,
        targets: &'a [String],
        from: &'a Expr,
        item: Val<'a>,
    ) -> Result<(), TemplateError> {
        if let [target] = targets {
            self.machine.locals.push((target, item));
            return Ok(());
        }
        match &item {
            Val::List(parts) if parts.len() == targets.len() => {
                for (target, part) in targets.iter().zip(parts.iter()) {
                    self.machine.locals.push((target, part));
                }
                Ok(())
            }
            other => Err(TemplateError::Failed {
                expr: from.to_string(),
                why: format!(
                    "an item is {} and does not come apart into {} variables",
                    other.kind(),
                    targets.len()
                ),
            }),
        }
    }
}
