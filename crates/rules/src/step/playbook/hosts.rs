//! Hosts that a step names itself: a list, or a mapping with variables, alone
//! or in groups as Ansible's own inventories have them.
//!
//! A name that came from an event is one of a closed alphabet: it can be
//! neither an option, nor a pattern, nor a path.

use std::collections::BTreeSet;

use model::{json::Object, playbook::HostGroup};
use serde_json::Value;

use super::{
    super::{
        Field, NoCall, Renderer,
        field::{Shape, check_word, render_fields},
    },
    vars,
};
use crate::{
    code::Code,
    yaml::{Data, Entry, Node, Reader, Span, shorten},
};

/// Variables that say where a host is. An event may say that, since it may
/// name hosts; what is run there and how, it may not.
const WHERE: [&str; 2] = ["ansible_host", "ansible_port"];
/// What Ansible calls all hosts, and those of no group.
const TAKEN: [&str; 2] = ["all", "ungrouped"];

#[derive(Debug)]
pub(super) struct Group {
    name: Option<String>,
    hosts: Vec<Hosts>,
    vars: Vec<(String, Shape)>,
}

#[derive(Debug)]
enum Hosts {
    /// One name, or as many as the list that it renders to has.
    Named(Field),
    With(String, Vec<(String, Shape)>),
}

impl Group {
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn is_fixed(&self) -> bool {
        let are_fixed = |vars: &[(String, Shape)]| vars.iter().all(|(_, shape)| shape.is_fixed());
        are_fixed(&self.vars)
            && self.hosts.iter().all(|hosts| match hosts {
                Hosts::Named(field) => field.fixed().is_some(),
                Hosts::With(_, vars) => are_fixed(vars),
            })
    }
}

/// The value of `hosts`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Group> {
    Some(Group {
        name: None,
        hosts: read_hosts(reader, node)?,
        vars: Vec::new(),
    })
}

/// A mapping of groups.
pub(super) fn read_groups(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Group>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    // All of them are read, so that all that is wrong is found.
    let groups: Vec<Option<Group>> = entries
        .iter()
        .map(|entry| read_group(reader, entry))
        .collect();
    groups.into_iter().collect()
}

fn read_group(reader: &mut Reader<'_>, entry: &Entry) -> Option<Group> {
    let name = entry.key.as_str();
    let is_name = vars::is_identifier(name) && name != "ungrouped";
    if !is_name {
        reader.error(
            Code::BadValue,
            entry.key_span,
            format!("`{}` is not the name of a group", shorten(name)),
            Some(
                "use letters, digits and `_`; hosts of no group stand in `hosts` of the step"
                    .to_owned(),
            ),
        );
    }
    let mut keys = reader.mapping(&entry.value, "a group")?;
    let hosts = match keys.stated(reader, "hosts") {
        Some(node) => read_hosts(reader, node),
        None => Some(Vec::new()),
    };
    let vars = match keys.stated(reader, "vars") {
        Some(node) => vars::read(reader, node),
        None => Some(Vec::new()),
    };
    keys.finish(reader, &[]);
    Some(Group {
        name: (name != "all").then(|| name.to_owned()),
        hosts: hosts?,
        vars: vars?,
    })
    .filter(|_| is_name)
}

fn read_hosts(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Hosts>> {
    if let Data::Mapping(entries) = &node.data {
        let hosts: Vec<Option<Hosts>> = entries
            .iter()
            .map(|entry| {
                let is_good = check_name(reader, entry.key_span, &entry.key);
                let vars = match &entry.value.data {
                    Data::Null => Some(Vec::new()),
                    Data::Bool(_)
                    | Data::Number(_)
                    | Data::Text(_)
                    | Data::List(_)
                    | Data::Mapping(_) => vars::read_but(reader, &entry.value, &WHERE),
                };
                Some(Hosts::With(entry.key.clone(), vars?)).filter(|_| is_good)
            })
            .collect();
        return hosts.into_iter().collect();
    }
    let items = reader.one_or_list(node);
    if items.is_empty() {
        let message = "there is no host in it".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    let hosts: Vec<Option<Hosts>> = items
        .iter()
        .map(|item| {
            let field = Field::read(reader, item)?;
            let is_good = match field.fixed() {
                Some(text) => text
                    .split(',')
                    .filter(|name| !name.trim().is_empty())
                    .all(|name| check_name(reader, item.span, name.trim())),
                None => true,
            };
            Some(Hosts::Named(field)).filter(|_| is_good)
        })
        .collect();
    hosts.into_iter().collect()
}

/// A name that the rule writes out; ranges such as `web[01:10]` are Ansible's.
fn check_name(reader: &mut Reader<'_>, span: Span, name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.:-[]".contains(c);
    let is_good = name.contains(|c: char| c.is_ascii_alphanumeric())
        && !name.starts_with('-')
        && name.chars().all(is_allowed)
        && !TAKEN.contains(&name);
    if !is_good {
        reader.error(
            Code::BadValue,
            span,
            format!("`{}` is not the name of a host", shorten(name)),
            Some(
                "use letters, digits and `_.:-`; a computed name stands in a list, as `hosts: ['{{ … }}']`"
                    .to_owned(),
            ),
        );
    }
    is_good
}

pub(super) fn render(groups: &[Group], renderer: &Renderer<'_>) -> Result<Vec<HostGroup>, NoCall> {
    let mut is_later = false;
    let mut rendered = Vec::with_capacity(groups.len());
    for group in groups {
        match render_group(group, renderer) {
            Ok(group) => rendered.push(group),
            Err(NoCall::Later) => is_later = true,
            Err(error @ (NoCall::Skip(_) | NoCall::Missing(_) | NoCall::Bad(_))) => {
                return Err(error);
            }
        }
    }
    if is_later {
        return Err(NoCall::Later);
    }
    if !groups.is_empty() && rendered.iter().all(|group| group.hosts.is_empty()) {
        return Err(NoCall::Bad("there is no host in it".to_owned()));
    }
    Ok(rendered)
}

fn render_group(group: &Group, renderer: &Renderer<'_>) -> Result<HostGroup, NoCall> {
    let mut seen = BTreeSet::new();
    let mut hosts = Vec::new();
    for entry in &group.hosts {
        match entry {
            Hosts::Named(field) => {
                let is_computed = field.fixed().is_none();
                for word in field.words(renderer)? {
                    for name in word.split(',').map(str::trim) {
                        // A comma at the end is how people write a list of one.
                        if name.is_empty() {
                            continue;
                        }
                        if is_computed {
                            check_computed(name)?;
                        }
                        if seen.insert(name.to_owned()) {
                            hosts.push((name.to_owned(), Object::new()));
                        }
                    }
                }
            }
            Hosts::With(name, vars) => {
                let rendered = render_fields(vars, renderer)?;
                check_where(vars, &rendered)?;
                seen.insert(name.clone());
                hosts.push((name.clone(), rendered));
            }
        }
    }
    Ok(HostGroup {
        name: group.name.clone(),
        hosts,
        vars: render_fields(&group.vars, renderer)?,
    })
}

fn check_computed(name: &str) -> Result<(), NoCall> {
    check_word(name)?;
    if TAKEN.contains(&name) {
        return Err(NoCall::Bad(format!(
            "`{name}` is Ansible's own word for hosts, and not the name of one"
        )));
    }
    Ok(())
}

/// What an event says about where a host is.
fn check_where(vars: &[(String, Shape)], rendered: &Object) -> Result<(), NoCall> {
    for (name, shape) in vars {
        if shape.is_fixed() || !WHERE.contains(&name.as_str()) {
            continue;
        }
        let value = rendered.get(name).unwrap_or(&Value::Null);
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null if shape.needs_job() => continue,
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Err(NoCall::Bad(format!("`{name}` is not text")));
            }
        };
        let is_good = if name == "ansible_port" {
            text.parse::<u16>().is_ok_and(|port| port > 0)
        } else {
            !text.contains(',')
        };
        if !is_good {
            return Err(NoCall::Bad(format!(
                "`{name}` cannot be {:?}",
                shorten(&text)
            )));
        }
        check_word(&text).map_err(|error| error.of(name))?;
    }
    Ok(())
}
