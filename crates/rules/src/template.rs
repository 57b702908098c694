//! Templates: text with expressions in it, rendered from an event as data.
//!
//! A template that is exactly one `{{ … }}` keeps the type of its value, and the
//! text of its numbers. Everything else gives text: strings as they are, what is
//! no string as JSON writes it, and none as `none`. There is no escaping, and
//! what was rendered is never looked at again: a value that contains `{{` stays
//! what it is. Something undefined is an error, never an empty text.
//!
//! Of Jinja's statements there are `if`, `for`, `set` and `with`; the others are
//! refused when the template is parsed.

mod outline;
mod parse;
mod render;

use std::sync::OnceLock;

use serde_json::Value;

pub(crate) use self::outline::Piece;
use crate::{
    expr::{
        ExprError, Scope,
        tree::{Expr, Name},
    },
    step::RenderError,
};

/// Why a template has no value. Trying again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{name}` is undefined")]
    Undefined { name: String },
    #[error("cannot compute `{expr}`: {why}")]
    Failed { expr: String, why: String },
    #[error("the value of `{expr}` is refused: {why}")]
    Refused { expr: String, why: String },
    #[error("the rendered text is larger than {limit} bytes")]
    TooLarge { limit: usize },
}

impl From<TemplateError> for RenderError {
    fn from(error: TemplateError) -> Self {
        Self {
            message: error.to_string(),
        }
    }
}

/// How a computed value is written behind a text, or why it may not stand there.
pub(crate) type Write<'w> = &'w dyn Fn(&str, &str) -> Result<String, String>;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Emit(Expr),
    If {
        test: Expr,
        yes: Vec<Self>,
        no: Vec<Self>,
    },
    For {
        targets: Vec<String>,
        items: Expr,
        filter: Option<Expr>,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
    Set {
        name: String,
        value: Expr,
    },
    /// Variables that end with their body.
    With {
        values: Vec<(String, Expr)>,
        body: Vec<Self>,
    },
}

/// A template that was parsed without an error.
#[derive(Debug, Clone)]
pub struct Template {
    text: Box<str>,
    /// Absent while nobody asks, as the tree of a condition.
    nodes: OnceLock<Box<[Node]>>,
    /// The text itself when nothing in it is computed.
    plain: Option<Box<str>>,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let nodes = parse::nodes(text)?;
        let plain: Option<String> = nodes
            .iter()
            .map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Emit(_)
                | Node::If { .. }
                | Node::For { .. }
                | Node::Set { .. }
                | Node::With { .. } => None,
            })
            .collect();
        Ok(Self {
            text: text.into(),
            nodes: OnceLock::from(nodes.into_boxed_slice()),
            plain: plain.map(String::into_boxed_str),
        })
    }

    /// The same without its tree, which comes again with the first question.
    #[must_use]
    pub(crate) fn folded(self) -> Self {
        Self {
            nodes: OnceLock::new(),
            ..self
        }
    }

    fn nodes(&self) -> &[Node] {
        self.nodes.get_or_init(|| {
            let nodes = parse::nodes(&self.text);
            let nodes = nodes.expect("a text that was parsed once can be parsed again");
            nodes.into_boxed_slice()
        })
    }

    /// The template as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text itself when nothing in it is computed.
    pub fn is_static(&self) -> Option<&str> {
        self.plain.as_deref()
    }

    /// A template that is exactly one `{{ … }}` keeps the type of its value;
    /// every other one gives text.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        match self.nodes() {
            [Node::Emit(expr)] => render::value(expr, *scope),
            nodes => render::text(nodes, *scope, None).map(Value::String),
        }
    }

    pub fn render_text(&self, scope: &Scope<'_>) -> Result<String, TemplateError> {
        render::text(self.nodes(), *scope, None)
    }

    /// As text, in which each computed value is written as `write` says of
    /// what stands before it and of the value.
    pub(crate) fn render_written(
        &self,
        scope: &Scope<'_>,
        write: Write<'_>,
    ) -> Result<String, TemplateError> {
        render::text(self.nodes(), *scope, Some(write))
    }

    /// Whether what is computed can stand before the first `mark` of the text.
    pub(crate) fn computes_before(&self, mark: char) -> bool {
        before(self.nodes(), mark) == Before::Computed
    }

    /// The texts that can come of it, with gaps where something is computed.
    /// `None` when they are not to be listed.
    pub(crate) fn outlines(&self) -> Option<Vec<Vec<Piece>>> {
        outline::outlines(self.nodes())
    }

    /// Whether what is rendered can contain, or be chosen by, what came from
    /// outside: `event`, `msg` or `result`.
    pub fn uses_event(&self) -> bool {
        let mut exprs = Vec::new();
        collect(self.nodes(), &mut exprs);
        exprs
            .into_iter()
            .any(|expr| expr.uses(&|name| matches!(name, Name::Event | Name::Msg | Name::Result)))
    }

    /// The names used, such as `event.body.release`, each once.
    pub fn paths(&self) -> Vec<String> {
        let mut exprs = Vec::new();
        collect(self.nodes(), &mut exprs);
        let mut paths = Vec::new();
        for expr in exprs {
            expr.collect_paths(&mut paths);
        }
        paths
    }
}

/// Templates are the same when they mean the same.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.nodes() == other.nodes()
    }
}

/// What stands before the first mark of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Fixed text, and then the mark.
    Marked,
    /// Fixed text, as far as it goes.
    Fixed,
    Computed,
}

fn before(nodes: &[Node], mark: char) -> Before {
    for node in nodes {
        let found = match node {
            Node::Text(text) if text.contains(mark) => Before::Marked,
            Node::Text(_) | Node::Set { .. } => Before::Fixed,
            Node::Emit(_) => Before::Computed,
            Node::If { yes, no, .. } => either(before(yes, mark), before(no, mark)),
            Node::For {
                body, otherwise, ..
            } => either(before(body, mark), before(otherwise, mark)),
            Node::With { body, .. } => before(body, mark),
        };
        if found != Before::Fixed {
            return found;
        }
    }
    Before::Fixed
}

fn either(one: Before, other: Before) -> Before {
    match (one, other) {
        (Before::Computed, _) | (_, Before::Computed) => Before::Computed,
        (Before::Marked, Before::Marked) => Before::Marked,
        (Before::Fixed, _) | (_, Before::Fixed) => Before::Fixed,
    }
}

/// Every expression of a template.
fn collect<'n>(nodes: &'n [Node], into: &mut Vec<&'n Expr>) {
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Emit(expr) | Node::Set { value: expr, .. } => into.push(expr),
            Node::If { test, yes, no } => {
                into.push(test);
                collect(yes, into);
                collect(no, into);
            }
            Node::For {
                items,
                filter,
                body,
                otherwise,
                ..
            } => {
                into.push(items);
                into.extend(filter);
                collect(body, into);
                collect(otherwise, into);
            }
            Node::With { values, body } => {
                into.extend(values.iter().map(|(_, value)| value));
                collect(body, into);
            }
        }
    }
}

#[cfg(test)]
mod tests;
