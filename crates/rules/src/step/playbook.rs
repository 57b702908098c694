//! The `playbook` step: reading its keys, rendering it into a call.
//!
//! What is the same for every event stands in `options.rs`, hosts that the
//! step names itself in `hosts.rs`. This file has the rest: names, and values
//! that may be computed.

mod hosts;
mod names;
mod options;
mod secret;
mod vars;

use std::collections::{BTreeMap, HashSet};

use model::action::{PlaybookCall, StepCall};
use serde_json::Value;

use hosts::Group;

use super::{
    Field, NoCall, Rehearsed, Renderer,
    field::{Shape, render_fields},
    read::{Tally, filled, read_fields},
};
use crate::{
    code::Code,
    listing::{Listing, check_name},
    yaml::{Data, Mapping, Node, Reader, shorten},
};

#[derive(Debug)]
pub(crate) struct Playbook {
    playbook: Field,
    /// A playbook that does not exist means that there is nothing to do.
    skip_missing: bool,
    inventory: Vec<Field>,
    hosts: Vec<Group>,
    limit: Option<Field>,
    tags: Vec<Field>,
    skip_tags: Vec<Field>,
    vars: Vec<(String, Shape)>,
    /// Everything that is never computed; absent when nothing is said.
    fixed: Option<Box<PlaybookCall>>,
}

/// A playbook whose name a rule writes out, with what is known about its step
/// without an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteralPlaybook {
    /// Relative to the project.
    pub path: String,
    /// Inventories that are not computed.
    pub inventory: Vec<String>,
    pub vault_password_files: Vec<String>,
    pub collections: Vec<String>,
    /// The names of its variables, with the values that are not computed.
    pub vars: Vec<(String, Option<Value>)>,
    pub env: BTreeMap<String, String>,
}

impl Playbook {
    pub(super) fn what(&self) -> String {
        self.playbook.source().to_owned()
    }

    /// Whether nothing in it is computed.
    pub(super) fn is_fixed(&self) -> bool {
        let names = [&self.playbook].into_iter().chain(&self.limit);
        let lists = self.inventory.iter().chain(&self.tags);
        let mut fields = names.chain(lists).chain(&self.skip_tags);
        fields.all(|field| field.fixed().is_some())
            && self.hosts.iter().all(Group::is_fixed)
            && self.vars.iter().all(|(_, shape)| shape.is_fixed())
    }

    /// `node` is the value of the key `playbook`.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        keys: &mut Mapping<'_>,
        node: &Node,
        listing: &Listing,
    ) -> Option<Self> {
        let skip_missing = keys
            .stated(reader, "missing")
            .and_then(|node| reader.word(node, &[("skip", true), ("fail", false)]));
        let playbook = Field::read(reader, node);
        if let Some(name) = playbook.as_ref().and_then(Field::fixed) {
            names::check_playbook(reader, node, name, (listing, skip_missing == Some(true)));
        }
        let mut hosts = match keys.stated(reader, "hosts") {
            Some(node) => hosts::read(reader, node).map(|group| vec![group]),
            None => Some(Vec::new()),
        };
        let inventory = keys
            .stated(reader, "inventory")
            .map(|node| read_inventory(reader, node, listing));
        let inventory = match inventory {
            Some(Some((fields, groups))) => {
                if let Some(hosts) = &mut hosts {
                    hosts.extend(groups);
                }
                Some(fields)
            }
            Some(None) => None,
            None => Some(Vec::new()),
        };
        let limit = read_fields(reader, keys, "limit", options::check_option);
        let tags = read_fields(reader, keys, "tags", options::check_option);
        let skip_tags = read_fields(reader, keys, "skip_tags", options::check_option);
        let fixed = options::read(reader, keys, listing);
        let vars = keys
            .stated(reader, "vars")
            .map(|node| vars::read(reader, node));
        let mut limit = limit?;
        if limit.len() > 1 {
            let node = keys.stated(reader, "limit")?;
            reader.wrong_type(node, "a string");
            return None;
        }
        Some(Self {
            playbook: playbook?,
            skip_missing: skip_missing.unwrap_or(false),
            inventory: inventory?,
            hosts: hosts?,
            limit: limit.pop(),
            tags: tags?,
            skip_tags: skip_tags?,
            vars: vars.unwrap_or(Some(Vec::new()))?,
            fixed: Some(fixed?)
                .filter(|fixed| *fixed != PlaybookCall::default())
                .map(Box::new),
        })
    }

    pub(super) fn render(
        &self,
        renderer: &Renderer<'_>,
        listing: &Listing,
    ) -> Result<StepCall, NoCall> {
        let mut tally = Tally::default();
        let found = self
            .playbook
            .text(renderer)
            .and_then(|name| self.find(&name, listing));
        let playbook = tally.take("playbook", found)?;
        let mut inventory = Vec::new();
        for field in &self.inventory {
            let found = names::resolve_inventory(field, renderer, listing);
            inventory.extend(tally.take("inventory", found)?);
        }
        let hosts = tally.take("hosts", hosts::render(&self.hosts, renderer))?;
        let limit = take_words(&mut tally, "limit", self.limit.as_slice(), renderer)?;
        let tags = take_words(&mut tally, "tags", &self.tags, renderer)?;
        let mut skip_tags = Vec::new();
        for field in &self.skip_tags {
            let words = tally.take("skip_tags", field.words(renderer))?;
            skip_tags.extend(words.into_iter().flatten());
        }
        let vars = tally.take("vars", render_fields(&self.vars, renderer))?;
        let (Some(playbook), Some(hosts), Some(vars)) = (playbook, hosts, vars) else {
            return Err(tally.into_no_call());
        };
        tally.finish()?;
        let fixed = self.fixed.as_deref().cloned().unwrap_or_default();
        Ok(StepCall::Playbook(PlaybookCall {
            playbook,
            inventory,
            hosts,
            limit: (!limit.is_empty()).then(|| limit.join(",")),
            tags,
            skip_tags,
            vars,
            ..fixed
        }))
    }

    pub(super) fn rehearse_vars(&self, renderer: &Renderer<'_>) -> Vec<(String, Rehearsed)> {
        let rehearse = |shape: &Shape| match shape.render(renderer) {
            _ if shape.needs_job() => Rehearsed::Later,
            Ok(value) => Rehearsed::Value(value),
            Err(NoCall::Later) => Rehearsed::Later,
            Err(NoCall::Bad(reason) | NoCall::Missing(reason) | NoCall::Skip(reason)) => {
                Rehearsed::Bad(reason)
            }
        };
        self.vars
            .iter()
            .map(|(name, shape)| (name.clone(), rehearse(shape)))
            .collect()
    }

    /// `None` when the name is computed or there is no such playbook.
    pub(crate) fn literal(&self, listing: &Listing) -> Option<LiteralPlaybook> {
        let path = self.find(self.playbook.fixed()?, listing).ok()?;
        let fixed = self.fixed.as_deref().cloned().unwrap_or_default();
        let inventory = self
            .inventory
            .iter()
            .filter_map(Field::fixed)
            .map(names::fixed_inventory);
        let value = |shape: &Shape| match shape {
            Shape::Fixed(value) => Some(value.clone()),
            Shape::Text(_) | Shape::List(_) | Shape::Mapping(_) => None,
        };
        Some(LiteralPlaybook {
            path,
            inventory: inventory.collect(),
            vault_password_files: fixed.vault_password_files,
            collections: fixed.collections,
            vars: self
                .vars
                .iter()
                .map(|(name, shape)| (name.clone(), value(shape)))
                .collect(),
            env: fixed.env,
        })
    }

    fn find(&self, name: &str, listing: &Listing) -> Result<String, NoCall> {
        let name = if self.playbook.fixed().is_some() {
            name.strip_prefix("./").unwrap_or(name)
        } else {
            name
        };
        if let Err(error) = check_name(name) {
            return Err(NoCall::Bad(format!(
                "the name {:?} is refused: {error}",
                shorten(name)
            )));
        }
        if let Some(path) = listing.playbook(name) {
            return Ok(path);
        }
        let message = names::missing_playbook(name);
        Err(if self.skip_missing {
            NoCall::Skip(format!("{message}, and the step says `missing: skip`"))
        } else {
            NoCall::Missing(message)
        })
    }
}

/// Words that narrow what a playbook does. An empty list would mean that it
/// does everything, on every host.
fn take_words(
    tally: &mut Tally,
    key: &str,
    fields: &[Field],
    renderer: &Renderer<'_>,
) -> Result<Vec<String>, NoCall> {
    let mut all = Vec::new();
    for field in fields {
        let words = field.words(renderer).and_then(|words| {
            if words.is_empty() {
                let message = "the list is empty, which Ansible would take for everything";
                return Err(NoCall::Bad(message.to_owned()));
            }
            Ok(words)
        });
        all.extend(tally.take(key, words)?.into_iter().flatten());
    }
    Ok(all)
}

type Inventory = (Vec<Field>, Vec<Group>);

/// Names of inventories, and mappings that are inventories themselves.
fn read_inventory(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<Inventory> {
    let mut fields = Vec::new();
    let mut groups = Vec::new();
    let mut is_good = true;
    for item in filled(reader, node)? {
        match &item.data {
            Data::Mapping(_) => match hosts::read_groups(reader, item) {
                Some(more) => groups.extend(more),
                None => is_good = false,
            },
            Data::List(_) => {
                reader.wrong_type(item, "a string or a mapping");
                is_good = false;
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {
                match names::read_inventory(reader, item, listing) {
                    Some(field) => fields.push(field),
                    None => is_good = false,
                }
            }
        }
    }
    let mut seen = HashSet::new();
    let twice = groups.iter().find(|group| !seen.insert(group.name()));
    if let Some(group) = twice {
        let name = group.name().unwrap_or("all");
        let message = format!("the group `{name}` stands in two mappings");
        reader.error(Code::BadValue, node.span, message, None);
        is_good = false;
    }
    is_good.then_some((fields, groups))
}
