//! Variables of a playbook, of its hosts and of its groups: values of any type
//! under names that Ansible accepts and that do not steer it.

use std::collections::HashSet;

use super::super::field::Shape;
use crate::{
    code::Code,
    yaml::{Data, Entry, Node, Reader, shorten},
};

/// Variables of the playbook.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Shape)>> {
    read_but(reader, node, &[])
}

/// Variables, of which these may be computed although they steer Ansible.
pub(super) fn read_but(
    reader: &mut Reader<'_>,
    node: &Node,
    computable: &[&str],
) -> Option<Vec<(String, Shape)>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    let mut vars = Some(Vec::with_capacity(entries.len()));
    for entry in entries {
        let shape = Shape::read(reader, &entry.value);
        let is_fixed = shape.as_ref().is_none_or(Shape::is_fixed);
        let may_be = is_fixed || computable.contains(&entry.key.as_str());
        let is_good = check_variable(reader, entry, may_be);
        match (shape, &mut vars) {
            (Some(shape), Some(vars)) if is_good => vars.push((entry.key.clone(), shape)),
            (Some(_) | None, _) => vars = None,
        }
    }
    vars
}

/// Whether the name of a variable may be given to Ansible.
fn check_variable(reader: &mut Reader<'_>, entry: &Entry, may_steer: bool) -> bool {
    let name = entry.key.as_str();
    let shown = shorten(name);
    let (code, message, hint) = if matches!(name, "event" | "msg" | "lariat") {
        (
            Code::ReservedVariable,
            format!("every playbook has the variable `{name}` already"),
            "choose another name",
        )
    } else if name.starts_with("ansible_") && !may_steer {
        (
            Code::ReservedVariable,
            format!("`{shown}` steers Ansible and may not be computed"),
            "write a plain value, or use another variable",
        )
    } else if !is_identifier(name) {
        (
            Code::BadVariable,
            format!("`{shown}` is not a name that Ansible accepts for a variable"),
            "use letters, digits and `_`, not starting with a digit, and no Python keyword",
        )
    } else {
        return true;
    };
    reader.error(code, entry.key_span, message, Some(hint.to_owned()));
    false
}

pub(super) fn is_identifier(name: &str) -> bool {
    let keywords: HashSet<&str> = HashSet::from([
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class",
        "continue", "def", "del", "elif", "else", "except", "finally", "for", "from", "global",
        "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return",
        "try", "while", "with", "yield",
    ]);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    starts_well && is_plain && !keywords.contains(name)
}
