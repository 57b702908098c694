//! Values of a step that may hold templates, and what may come out of them.
//!
//! What an event says is data. Where data reaches a place in which some
//! characters mean something, this file refuses them.

use std::borrow::Cow;

use model::json::Object;
use serde_json::Value;

use super::NoCall;
use crate::{
    code::Code,
    expr::Scope,
    template::{Piece, Template, TemplateError, Write},
    yaml::{Data, Node, Reader},
};

/// Names that only exist once there is a job.
const JOB_NAMES: [&str; 3] = ["job", "attempt", "result"];

/// What templates are rendered with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renderer<'a> {
    pub(crate) scope: Scope<'a>,
    /// There is no job yet: what needs one is left for later.
    pub(crate) is_rehearsal: bool,
}

/// A text of a rule file.
#[derive(Debug)]
pub(crate) enum Field {
    Static(String),
    Rendered {
        template: Box<Template>,
        needs_job: bool,
    },
}

impl Field {
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let text = reader.string(node)?;
        Self::parse(reader, node, text)
    }

    fn parse(reader: &mut Reader<'_>, node: &Node, text: &str) -> Option<Self> {
        if !text.contains('{') {
            return Some(Self::Static(text.to_owned()));
        }
        match Template::parse(text) {
            Ok(template) => Some(match template.is_static() {
                Some(fixed) => Self::Static(fixed.to_owned()),
                None => Self::Rendered {
                    needs_job: template.paths().iter().any(|path| is_of_job(path)),
                    template: Box::new(template.folded()),
                },
            }),
            Err(error) => {
                for error in error.each() {
                    let span = reader.locate(node, error.offset, error.len);
                    reader.error(Code::BadTemplate, span, error.message, error.hint);
                }
                None
            }
        }
    }

    /// The text itself, when nothing in it is computed.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self {
            Self::Static(text) => Some(text),
            Self::Rendered { .. } => None,
        }
    }

    /// As the rule writes it.
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Rendered { template, .. } => template.text(),
        }
    }

    /// Whether what is computed can stand before the first `mark`.
    pub(crate) fn computes_before(&self, mark: char) -> bool {
        match self {
            Self::Static(_) => false,
            Self::Rendered { template, .. } => template.computes_before(mark),
        }
    }

    /// The texts that can come of it, with gaps where something is computed.
    /// `None` when they are not to be listed.
    pub(crate) fn outlines(&self) -> Option<Vec<Vec<Piece>>> {
        match self {
            Self::Static(text) => Some(vec![vec![Piece::Text(text.clone())]]),
            Self::Rendered { template, .. } => template.outlines(),
        }
    }

    /// Whether it can only be rendered in a job.
    pub(crate) fn needs_job(&self) -> bool {
        match self {
            Self::Static(_) => false,
            Self::Rendered { needs_job, .. } => *needs_job,
        }
    }

    /// As text, without NUL.
    pub(crate) fn text<'f>(&'f self, renderer: &Renderer<'_>) -> Result<Cow<'f, str>, NoCall> {
        let text = match self {
            Self::Static(text) => Cow::Borrowed(text.as_str()),
            Self::Rendered {
                template,
                needs_job,
            } => {
                if *needs_job && renderer.is_rehearsal {
                    return Err(NoCall::Later);
                }
                Cow::Owned(template.render_text(&renderer.scope).map_err(bad)?)
            }
        };
        refuse_nul(&text)?;
        Ok(text)
    }

    /// As text, with what is computed written by `write`.
    pub(crate) fn written<'f>(
        &'f self,
        renderer: &Renderer<'_>,
        write: Write<'_>,
    ) -> Result<Cow<'f, str>, NoCall> {
        match self {
            Self::Static(text) => Ok(Cow::Borrowed(text.as_str())),
            Self::Rendered {
                needs_job: true, ..
            } if renderer.is_rehearsal => Err(NoCall::Later),
            Self::Rendered { template, .. } => template
                .render_written(&renderer.scope, write)
                .map(Cow::Owned)
                .map_err(bad),
        }
    }

    /// As one word, or as many as the list that it renders to has. Words that
    /// were rendered are restricted to what host patterns and tags are made of.
    pub(crate) fn words(&self, renderer: &Renderer<'_>) -> Result<Vec<String>, NoCall> {
        let template = match self {
            Self::Static(text) => return Ok(vec![text.clone()]),
            Self::Rendered {
                needs_job: true, ..
            } if renderer.is_rehearsal => return Err(NoCall::Later),
            Self::Rendered { template, .. } => template,
        };
        let words = match template.render(&renderer.scope).map_err(bad)? {
            Value::Array(items) => items.into_iter().map(scalar).collect::<Result<_, _>>()?,
            value @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => vec![scalar(value)?],
        };
        for word in &words {
            check_word(word)?;
        }
        Ok(words)
    }
}

fn scalar(value: Value) -> Result<String, NoCall> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Err(NoCall::Bad("the value is null".to_owned())),
        Value::Array(_) | Value::Object(_) => Err(NoCall::Bad(
            "expected text or a list of texts, the value is nested".to_owned(),
        )),
    }
}

/// A host pattern or tag that was rendered from data.
pub(super) fn check_word(word: &str) -> Result<(), NoCall> {
    let shown = || crate::yaml::shorten(word);
    if word.starts_with('-') {
        return Err(NoCall::Bad(format!(
            "the rendered value {:?} starts with `-`",
            shown()
        )));
    }
    // Without a letter or digit it is an empty pattern, which can mean every host.
    if !word.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Err(NoCall::Bad(format!(
            "the rendered value {:?} has no letter and no digit",
            shown()
        )));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.:,-".contains(c);
    match word.chars().find(|c| !is_allowed(*c)) {
        Some(found) => Err(NoCall::Bad(format!(
            "the rendered value {:?} contains {found:?}; allowed are letters, digits and `_.:,-`",
            shown()
        ))),
        None => Ok(()),
    }
}

pub(super) fn refuse_nul(text: &str) -> Result<(), NoCall> {
    if text.contains('\0') {
        return Err(NoCall::Bad("the value contains a NUL character".to_owned()));
    }
    Ok(())
}

fn bad(error: TemplateError) -> NoCall {
    NoCall::Bad(error.to_string())
}

/// Whether a path such as `job` or `result.host` only exists in a job.
pub(crate) fn is_of_job(path: &str) -> bool {
    let name = path.split(['.', '[']).next().unwrap_or(path);
    JOB_NAMES.contains(&name)
}

/// A value of any type with templates anywhere in it.
#[derive(Debug)]
pub(crate) enum Shape {
    Fixed(Value),
    Text(Field),
    List(Vec<Self>),
    Mapping(Vec<(String, Self)>),
}

impl Shape {
    /// `None` when a template in it is wrong, which is recorded.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        match &node.data {
            Data::Null | Data::Bool(_) | Data::Number(_) => Some(Self::Fixed(node.to_json())),
            Data::Text(text) => Some(match Field::parse(reader, node, text)? {
                Field::Static(text) => Self::Fixed(Value::String(text)),
                field @ Field::Rendered { .. } => Self::Text(field),
            }),
            Data::List(items) => {
                let shapes: Vec<Option<Self>> =
                    items.iter().map(|item| Self::read(reader, item)).collect();
                shapes.into_iter().collect::<Option<_>>().map(Self::List)
            }
            Data::Mapping(entries) => {
                let shapes: Vec<Option<(String, Self)>> = entries
                    .iter()
                    .map(|entry| Some((entry.key.clone(), Self::read(reader, &entry.value)?)))
                    .collect();
                shapes.into_iter().collect::<Option<_>>().map(Self::Mapping)
            }
        }
    }

    /// Whether nothing in it is computed.
    pub(crate) fn is_fixed(&self) -> bool {
        match self {
            Self::Fixed(_) => true,
            Self::Text(_) => false,
            Self::List(items) => items.iter().all(Self::is_fixed),
            Self::Mapping(fields) => fields.iter().all(|(_, shape)| shape.is_fixed()),
        }
    }

    /// Whether a part of it can only be rendered in a job.
    pub(crate) fn needs_job(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Text(field) => field.needs_job(),
            Self::List(items) => items.iter().any(Self::needs_job),
            Self::Mapping(fields) => fields.iter().any(|(_, shape)| shape.needs_job()),
        }
    }

    pub(crate) fn render(&self, renderer: &Renderer<'_>) -> Result<Value, NoCall> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Text(Field::Static(text)) => Ok(Value::String(text.clone())),
            Self::Text(Field::Rendered {
                needs_job: true, ..
            }) if renderer.is_rehearsal => Ok(Value::Null),
            Self::Text(Field::Rendered { template, .. }) => {
                template.render(&renderer.scope).map_err(bad)
            }
            Self::List(items) => items
                .iter()
                .map(|item| item.render(renderer))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Self::Mapping(fields) => render_fields(fields, renderer).map(Value::Object),
        }
    }
}

pub(super) fn render_fields(
    fields: &[(String, Shape)],
    renderer: &Renderer<'_>,
) -> Result<Object, NoCall> {
    let mut object = Object::new();
    for (name, shape) in fields {
        let value = shape.render(renderer).map_err(|error| error.of(name))?;
        object.insert(name.clone(), value);
    }
    Ok(object)
}
