//! The hosts that a step names itself, as an inventory of Ansible's YAML form.
//!
//! Values are written as those of the extra variables are: nothing of an event
//! is templated. Names have a closed alphabet, so they are written as they are.
//!
//! No key stands twice in a mapping: Ansible would take the last one and drop
//! the hosts of the others.

use std::collections::HashMap;

use model::{json::Object, playbook::HostGroup};

use super::vars::{entries, quote};

/// The whole file. Groups of one name are one group, and so are those of none.
pub(super) fn write(groups: &[HostGroup]) -> String {
    let groups = merge(groups);
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

/// Each group once, with the hosts of all that have its name. A variable that
/// several set has the last value.
fn merge(groups: &[HostGroup]) -> Vec<HostGroup> {
    let mut merged: Vec<HostGroup> = Vec::new();
    let mut places: HashMap<Option<&str>, usize> = HashMap::new();
    let mut hosts: HashMap<(usize, &str), usize> = HashMap::new();
    for group in groups {
        let place = *places.entry(group.name.as_deref()).or_insert_with(|| {
            merged.push(HostGroup {
                name: group.name.clone(),
                ..HostGroup::default()
            });
            merged.len() - 1
        });
        let one = &mut merged[place];
        for (name, vars) in &group.hosts {
            let host = *hosts.entry((place, name)).or_insert_with(|| {
                one.hosts.push((name.clone(), Object::new()));
                one.hosts.len() - 1
            });
            one.hosts[host].1.extend(vars.clone());
        }
        one.vars.extend(group.vars.clone());
    }
    merged
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
