//! The hosts that a step names itself, as an inventory of Ansible's YAML form.
//!
//! Values are written as those of the extra variables are: nothing of an event
//! is templated. Names have a closed alphabet, so they are written as they are.

use model::{json::Object, playbook::HostGroup};

use super::vars::{entries, quote};

/// The whole file. A group that is named twice is one group.
pub(super) fn write(groups: &[HostGroup]) -> String {
    let (named, plain): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.name.is_some());
    let mut out = String::from("---\n\"all\":\n");
    for group in plain {
        members(group, 1, &mut out);
    }
    if !named.is_empty() {
        out.push_str(" \"children\":\n");
    }
    for group in named {
        out.push_str("  ");
        quote(group.name.as_deref().unwrap_or_default(), &mut out);
        out.push_str(":\n");
        members(group, 3, &mut out);
    }
    out
}

fn members(group: &HostGroup, depth: usize, out: &mut String) {
    let margin = " ".repeat(depth);
    if !group.hosts.is_empty() {
        out.push_str(&margin);
        out.push_str("\"hosts\":\n");
    }
    for (name, vars) in &group.hosts {
        out.push_str(&margin);
        out.push(' ');
        quote(name, out);
        variables(vars, depth + 2, out);
    }
    out.push_str(&margin);
    out.push_str("\"vars\"");
    variables(&group.vars, depth + 1, out);
}

fn variables(vars: &Object, depth: usize, out: &mut String) {
    if vars.is_empty() {
        out.push_str(": {}\n");
        return;
    }
    out.push_str(":\n");
    entries(vars, depth, out);
}

#[cfg(test)]
mod tests;
