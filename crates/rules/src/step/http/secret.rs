//! A text that stands in a file of the machine and not in the project.

use std::path::PathBuf;

use crate::{
    code::Code,
    yaml::{Node, Reader, shorten},
};

/// `{file: PATH}`, with a `prefix` where one belongs before it.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) file: PathBuf,
    pub(super) prefix: String,
}

impl Secret {
    pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let mut keys = reader.mapping(node, "a secret")?;
        let file = keys
            .required(reader, "file")
            .and_then(|node| read_file(reader, node));
        let prefix = match keys.stated(reader, "prefix") {
            Some(node) => read_prefix(reader, node),
            None => Some(String::new()),
        };
        keys.finish(reader, &[]);
        Some(Self {
            file: file?,
            prefix: prefix?,
        })
    }
}

fn read_file(reader: &mut Reader<'_>, node: &Node) -> Option<PathBuf> {
    let text = reader.string(node)?;
    let is_fixed = !text.contains("{{") && !text.contains("{%");
    if text.starts_with('/') && is_fixed {
        return Some(PathBuf::from(text));
    }
    reader.error(
        Code::BadValue,
        node.span,
        format!("`{}` is not the absolute path of a file", shorten(text)),
        Some("a secret stands outside of the project, as in /etc/lariat/token".to_owned()),
    );
    None
}

fn read_prefix(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.string(node)?;
    if text.contains(char::is_control) || text.contains("{{") {
        let message = "a prefix is fixed text without control characters".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    Some(text.to_owned())
}
