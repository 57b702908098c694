//! minijinja's tree to ours: names are resolved, filters, tests and methods are
//! looked up, constant patterns are compiled, and everything that is unknown is
//! an error at its place.

mod calls;

use minijinja::{
    machinery::ast::{self, BinOpKind, CompareOpKind, UnaryOpKind},
    value::ValueKind,
};
use model::suggest::nearest;
use serde_json::{Number, Value};

use super::{
    ExprError,
    parse::span_of,
    tree::{Args, Choice, Comparison, Each, Expr, Is, Math, Name},
};
use crate::filters::Test;

const DEEPEST: usize = 60;

/// What every event has, and nothing else.
const EVENT_FIELDS: [&str; 10] = [
    "id", "topic", "time", "accepted", "source", "severity", "headers", "body", "origin", "cause",
];

/// The variables of a template that are known at some place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) locals: Vec<String>,
}

pub(crate) struct Converter<'t> {
    text: &'t str,
    depth: usize,
}

impl<'t> Converter<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, depth: 0 }
    }

    /// An error at a slice of the text.
    fn at(&self, part: &str, message: impl Into<String>) -> ExprError {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        ExprError::new(message, offset.min(self.text.len()), part.len())
    }

    fn at_expr(expr: &ast::Expr<'_>, message: impl Into<String>) -> ExprError {
        let (offset, len) = span_of(expr);
        ExprError::new(message, offset, len)
    }

    pub(crate) fn expr(&mut self, from: &ast::Expr<'t>, names: &Names) -> Result<Expr, ExprError> {
        if self.depth >= DEEPEST {
            return Err(Self::at_expr(from, "this is nested too deeply"));
        }
        self.depth += 1;
        let result = self.node(from, names);
        self.depth -= 1;
        result
    }

    fn boxed(&mut self, from: &ast::Expr<'t>, names: &Names) -> Result<Box<Expr>, ExprError> {
        self.expr(from, names).map(Box::new)
    }

    fn node(&mut self, from: &ast::Expr<'t>, names: &Names) -> Result<Expr, ExprError> {
        match from {
            ast::Expr::Var(var) => self.name(var.id, names),
            ast::Expr::Const(_) => self.constant(from).map(Expr::Const),
            ast::Expr::Slice(slice) => {
                let mut bound = |bound: &Option<ast::Expr<'t>>| match bound {
                    Some(bound) => self.expr(bound, names).map(Some),
                    None => Ok(None),
                };
                let bounds = [
                    bound(&slice.start)?,
                    bound(&slice.stop)?,
                    bound(&slice.step)?,
                ];
                Ok(Expr::Slice(
                    self.boxed(&slice.expr, names)?,
                    Box::new(bounds),
                ))
            }
            ast::Expr::UnaryOp(unary) => {
                let of = self.expr(&unary.expr, names)?;
                Ok(match unary.op {
                    UnaryOpKind::Not => negation(of),
                    UnaryOpKind::Neg => minus(of),
                })
            }
            ast::Expr::BinOp(binary) => self.binary(binary, names),
            ast::Expr::Compare(chain) => {
                let first = self.boxed(&chain.expr, names)?;
                let mut rest = Vec::with_capacity(chain.ops.len());
                for op in &chain.ops {
                    let comparison = match op.op {
                        CompareOpKind::Eq => Comparison::Eq,
                        CompareOpKind::Ne => Comparison::Ne,
                        CompareOpKind::Lt => Comparison::Lt,
                        CompareOpKind::Lte => Comparison::Le,
                        CompareOpKind::Gt => Comparison::Gt,
                        CompareOpKind::Gte => Comparison::Ge,
                        CompareOpKind::In => Comparison::In,
                        CompareOpKind::NotIn => Comparison::NotIn,
                    };
                    rest.push((comparison, self.expr(&op.expr, names)?));
                }
                Ok(Expr::Compare(first, rest))
            }
            ast::Expr::IfExpr(choice) => Ok(Expr::If(Box::new(Choice {
                test: self.expr(&choice.test_expr, names)?,
                yes: self.expr(&choice.true_expr, names)?,
                no: match &choice.false_expr {
                    Some(no) => Some(self.expr(no, names)?),
                    None => None,
                },
            }))),
            ast::Expr::Filter(filter) => {
                let Some(of) = &filter.expr else {
                    return Err(self.at(filter.name, "a filter needs a value"));
                };
                let of = self.expr(of, names)?;
                self.filter(of, filter.name, &filter.args, names)
            }
            ast::Expr::Test(test) => {
                let of = self.expr(&test.expr, names)?;
                match plain_name(test.name) {
                    "select" => {
                        let body = self.test_of(Expr::It, test.name, &test.args, names)?;
                        Ok(Expr::Each(Each::Any, Box::new(of), Box::new(body)))
                    }
                    "selectattr" => {
                        let (path, rest) = self.item_path(test.name, &test.args)?;
                        let body = self.test_of(path, test.name, rest, names)?;
                        Ok(Expr::Each(Each::Any, Box::new(of), Box::new(body)))
                    }
                    name => match Test::find(name) {
                        Some(spec) => {
                            let args = self.bind_pattern(spec, test.name, &test.args, names)?;
                            Ok(is(of, spec.what, args))
                        }
                        None => {
                            let known = Test::names().chain(["select", "selectattr"]);
                            Err(self.unknown("test", test.name, known))
                        }
                    },
                }
            }
            ast::Expr::GetAttr(attr) => {
                let of = self.boxed(&attr.expr, names)?;
                Self::attribute(from, of, attr.name.to_owned())
            }
            ast::Expr::GetItem(item) => {
                let of = self.boxed(&item.expr, names)?;
                match self.expr(&item.subscript_expr, names)? {
                    Expr::Const(Value::String(key)) => Self::attribute(from, of, key),
                    key => Ok(Expr::Item(of, Box::new(key))),
                }
            }
            ast::Expr::Call(call) => self.call(call, names),
            ast::Expr::List(list) => self.list(&list.items, names),
            ast::Expr::Tuple(tuple) => self.list(&tuple.items, names),
            ast::Expr::Map(map) => self.map(map, names),
        }
    }

    /// What is behind a dot. Some names have the same fields, or none, in every
    /// event.
    fn attribute(from: &ast::Expr<'t>, of: Box<Expr>, key: String) -> Result<Expr, ExprError> {
        let Expr::Name(name) = &*of else {
            return Ok(Expr::Attr(of, key));
        };
        let wrong = match name {
            Name::Event if !EVENT_FIELDS.contains(&key.as_str()) => {
                let hint = match nearest(&key, EVENT_FIELDS) {
                    Some(field) => format!("did you mean `event.{field}`?"),
                    None => "what was sent is in `event.body`, or `msg` for short".to_owned(),
                };
                Some((format!("an event has no `{key}`"), hint))
            }
            Name::Rule => Some(plain(name, "the rule's name", &key)),
            Name::Job => Some(plain(name, "the job's id", &key)),
            Name::Attempt => Some(plain(name, "a number", &key)),
            Name::Event | Name::Msg | Name::Result | Name::Local(_) => None,
        };
        match wrong {
            Some((message, hint)) => Err(Self::at_expr(from, message).hint(hint)),
            None => Ok(Expr::Attr(of, key)),
        }
    }

    fn name(&self, id: &'t str, names: &Names) -> Result<Expr, ExprError> {
        if names.locals.iter().any(|local| local == id) {
            return Ok(Expr::Name(Name::Local(id.to_owned())));
        }
        if let Some(name) = Name::from_word(id) {
            return Ok(Expr::Name(name));
        }
        let error = self.at(id, format!("there is no `{id}` here"));
        Err(match id {
            "null" | "nil" | "NULL" | "Null" | "NONE" => error.hint("write `none`"),
            "TRUE" | "FALSE" => error.hint(format!("write `{}`", id.to_lowercase())),
            "undefined" => error.hint("ask with `is undefined` or `is defined`"),
            "body" | "topic" | "headers" | "severity" | "source" | "time" | "origin" | "cause" => {
                error.hint(format!("write `event.{id}`"))
            }
            _ => {
                let known = Name::WORDS.into_iter();
                let known = known.chain(names.locals.iter().map(String::as_str));
                match nearest(id, known) {
                    Some(word) => error.hint(format!("did you mean `{word}`?")),
                    None => error.hint(
                        "what a rule sees is `event`, `msg` (its body), `rule`, and in steps \
                         `job`, `attempt` and `result`",
                    ),
                }
            }
        })
    }

    /// The value of a literal. Numbers keep their text.
    fn constant(&self, from: &ast::Expr<'t>) -> Result<Value, ExprError> {
        let ast::Expr::Const(literal) = from else {
            return Err(Self::at_expr(from, "this is not a constant"));
        };
        let value = &literal.value;
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => Ok(Value::Null),
            ValueKind::Bool => Ok(Value::Bool(value.is_true())),
            ValueKind::String => Ok(Value::String(value.as_str().unwrap_or_default().to_owned())),
            ValueKind::Number => {
                let (start, len) = span_of(from);
                let text = self.text.get(start..start + len).unwrap_or_default();
                if let Ok(number) = serde_json::from_str::<Number>(text) {
                    return Ok(Value::Number(number));
                }
                let number = match i128::try_from(value.clone()) {
                    Ok(integer) if value.is_integer() => Number::from_i128(integer),
                    Ok(_) | Err(_) => f64::try_from(value.clone()).ok().and_then(Number::from_f64),
                };
                match number {
                    Some(number) => Ok(Value::Number(number)),
                    None => Err(Self::at_expr(from, "this number is too large")),
                }
            }
            _ => Err(Self::at_expr(from, "this is not a constant")),
        }
    }

    fn binary(&mut self, binary: &ast::BinOp<'t>, names: &Names) -> Result<Expr, ExprError> {
        let comparison = match binary.op {
            BinOpKind::ScAnd | BinOpKind::ScOr => return self.connected(binary, names),
            BinOpKind::Eq => Comparison::Eq,
            BinOpKind::Ne => Comparison::Ne,
            BinOpKind::Lt => Comparison::Lt,
            BinOpKind::Lte => Comparison::Le,
            BinOpKind::Gt => Comparison::Gt,
            BinOpKind::Gte => Comparison::Ge,
            BinOpKind::In => Comparison::In,
            BinOpKind::Add => return self.math(Math::Add, binary, names),
            BinOpKind::Sub => return self.math(Math::Sub, binary, names),
            BinOpKind::Mul => return self.math(Math::Mul, binary, names),
            BinOpKind::Div => return self.math(Math::Div, binary, names),
            BinOpKind::FloorDiv => return self.math(Math::FloorDiv, binary, names),
            BinOpKind::Rem => return self.math(Math::Rem, binary, names),
            BinOpKind::Pow => return self.math(Math::Pow, binary, names),
            BinOpKind::Concat => return self.math(Math::Concat, binary, names),
        };
        let left = self.boxed(&binary.left, names);
        let (left, right) = both(left, self.expr(&binary.right, names))?;
        Ok(Expr::Compare(left, vec![(comparison, right)]))
    }

    fn math(
        &mut self,
        op: Math,
        binary: &ast::BinOp<'t>,
        names: &Names,
    ) -> Result<Expr, ExprError> {
        let left = self.boxed(&binary.left, names)?;
        Ok(Expr::Math(op, left, self.boxed(&binary.right, names)?))
    }

    /// All operands of a chain of `and`, or of `or`, in one node.
    fn connected(&mut self, binary: &ast::BinOp<'t>, names: &Names) -> Result<Expr, ExprError> {
        let is_and = matches!(binary.op, BinOpKind::ScAnd);
        // The chain leans to the left and can be long: no recursion along it.
        let mut operands = vec![&binary.right];
        let mut rest = &binary.left;
        while let ast::Expr::BinOp(inner) = rest {
            if matches!(inner.op, BinOpKind::ScAnd) != is_and
                || !matches!(inner.op, BinOpKind::ScAnd | BinOpKind::ScOr)
            {
                break;
            }
            operands.push(&inner.right);
            rest = &inner.left;
        }
        operands.push(rest);
        let mut parts = Vec::with_capacity(operands.len());
        let mut found: Option<ExprError> = None;
        for operand in operands.into_iter().rev() {
            match self.expr(operand, names) {
                Ok(Expr::And(inner)) if is_and => parts.extend(inner),
                Ok(Expr::Or(inner)) if !is_and => parts.extend(inner),
                Ok(part) => parts.push(part),
                Err(error) => {
                    found = Some(match found {
                        Some(first) => first.and(error),
                        None => error,
                    });
                }
            }
        }
        if let Some(error) = found {
            return Err(error);
        }
        Ok(if is_and {
            Expr::And(parts)
        } else {
            Expr::Or(parts)
        })
    }

    fn list(&mut self, items: &[ast::Expr<'t>], names: &Names) -> Result<Expr, ExprError> {
        let parts = items
            .iter()
            .map(|item| self.expr(item, names))
            .collect::<Result<Vec<_>, _>>()?;
        let constants: Option<Vec<Value>> = parts.iter().map(as_constant).collect();
        Ok(match constants {
            Some(constants) => Expr::Const(Value::Array(constants)),
            None => Expr::List(parts),
        })
    }

    fn map(&mut self, map: &ast::Map<'t>, names: &Names) -> Result<Expr, ExprError> {
        let mut fields: Vec<(String, Expr)> = Vec::with_capacity(map.keys.len());
        for (key, value) in map.keys.iter().zip(&map.values) {
            let name = match self.expr(key, names)? {
                Expr::Const(Value::String(name)) => name,
                _ => {
                    return Err(Self::at_expr(key, "the keys of a mapping are texts")
                        .hint("put the key in quotation marks"));
                }
            };
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Self::at_expr(
                    key,
                    format!("the key `{name}` is there already"),
                ));
            }
            fields.push((name, self.expr(value, names)?));
        }
        let constants: Option<serde_json::Map<String, Value>> = fields
            .iter()
            .map(|(key, value)| Some((key.clone(), as_constant(value)?)))
            .collect();
        Ok(match constants {
            Some(constants) => Expr::Const(Value::Object(constants)),
            None => Expr::Map(fields),
        })
    }
}

/// What is wrong with a field of what has none, and what to write.
fn plain(name: &Name, what: &str, key: &str) -> (String, String) {
    let word = name.as_str();
    (
        format!("`{word}` has no `{key}`: it is {what}"),
        format!("write `{word}`"),
    )
}

/// Ansible's own filters and tests can be written with their full name.
fn plain_name(name: &str) -> &str {
    name.strip_prefix("ansible.builtin.").unwrap_or(name)
}

fn as_constant(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::Const(value) => Some(value.clone()),
        _ => None,
    }
}

fn is(of: Expr, test: Test, args: Args) -> Expr {
    Expr::Test(Box::new(Is {
        of,
        is_not: false,
        test,
        args,
    }))
}

/// `not` of a test or of `in` is an operator of its own.
fn negation(of: Expr) -> Expr {
    match of {
        Expr::Test(is) if !is.is_not => Expr::Test(Box::new(Is {
            is_not: true,
            ..*is
        })),
        Expr::Each(Each::Any, of, body) => Expr::Each(Each::NotAny, of, body),
        Expr::Compare(first, rest) if rest.len() == 1 && rest[0].0 == Comparison::In => {
            let rest = rest
                .into_iter()
                .map(|(_, right)| (Comparison::NotIn, right))
                .collect();
            Expr::Compare(first, rest)
        }
        other => Expr::Not(Box::new(other)),
    }
}

/// A negative number is a constant.
fn minus(of: Expr) -> Expr {
    match of {
        Expr::Const(Value::Number(number)) => {
            let text = match number.as_str().strip_prefix('-') {
                Some(rest) => rest.to_owned(),
                None => format!("-{number}"),
            };
            match serde_json::from_str(&text) {
                Ok(number) => Expr::Const(Value::Number(number)),
                Err(_) => Expr::Neg(Box::new(Expr::Const(Value::Number(number)))),
            }
        }
        other => Expr::Neg(Box::new(other)),
    }
}

/// Both sides, or what is wrong with either.
fn both<L, R>(
    left: Result<L, ExprError>,
    right: Result<R, ExprError>,
) -> Result<(L, R), ExprError> {
    match (left, right) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        (Err(left), Err(right)) => Err(left.and(right)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}
