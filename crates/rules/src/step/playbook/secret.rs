//! Where a secret of a playbook step stands: `{file: …}`, `{env: …}` or
//! `{command: […]}`. What it says is read when the step begins.

use std::path::PathBuf;

use model::playbook::SecretPlace;

use crate::{
    code::Code,
    yaml::{Data, Mapping, Node, Reader},
};

const FORMS: &str = "write `{file: /PATH}`, `{env: NAME}` or `{command: [PROGRAM, …]}`";

/// A mapping that is a secret's place and nothing else.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<SecretPlace> {
    if let Data::Text(_) = node.data {
        let message = "a secret does not stand in a rule".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(FORMS.to_owned()));
        return None;
    }
    let mut keys = reader.mapping(node, "a secret")?;
    let place = read_place(reader, &mut keys);
    keys.finish(reader, &[]);
    place
}

/// The one key of these that says where it is.
pub(super) fn read_place(reader: &mut Reader<'_>, keys: &mut Mapping<'_>) -> Option<SecretPlace> {
    let file = keys.stated(reader, "file");
    let variable = keys.stated(reader, "env");
    let command = keys.stated(reader, "command");
    match (file, variable, command) {
        (Some(node), None, None) => read_file(reader, node).map(SecretPlace::File),
        (None, Some(node), None) => read_variable(reader, node).map(SecretPlace::Variable),
        (None, None, Some(node)) => read_command(reader, node).map(SecretPlace::Command),
        (_, _, _) => {
            let message = "a secret stands in one place".to_owned();
            reader.error(Code::BadValue, keys.span(), message, Some(FORMS.to_owned()));
            None
        }
    }
}

/// A text in which nothing is computed.
fn fixed<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<&'n str> {
    let text = reader.string(node)?;
    let is_computed = ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    if is_computed || text.is_empty() || text.contains('\0') {
        let message = "where a secret stands is never empty and never computed".to_owned();
        reader.error(Code::UntrustedCode, node.span, message, None);
        return None;
    }
    Some(text)
}

fn read_file(reader: &mut Reader<'_>, node: &Node) -> Option<PathBuf> {
    let text = fixed(reader, node)?;
    if text.starts_with('/') {
        return Some(PathBuf::from(text));
    }
    reader.error(
        Code::BadValue,
        node.span,
        "this is not the absolute path of a file".to_owned(),
        Some("a secret stands outside of the project, as in /etc/lariat/vault".to_owned()),
    );
    None
}

fn read_variable(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = fixed(reader, node)?;
    if name.contains('=') || name.contains(char::is_whitespace) {
        let message = "this is not the name of a variable".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    Some(name.to_owned())
}

fn read_command(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let items = reader.list(node)?;
    if items.is_empty() {
        let message = "a command has a program and its arguments".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    let argv: Vec<Option<&str>> = items.iter().map(|item| fixed(reader, item)).collect();
    argv.into_iter()
        .map(|item| item.map(str::to_owned))
        .collect()
}
