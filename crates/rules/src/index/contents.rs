//! Rules by what they need of an event's content.
//!
//! Of all that a rule needs the rarest is chosen to find it by. Where many
//! rules share even that, they are told apart by what else they need. Values
//! are kept as hashes: a rule that is found by mistake is one that does not
//! hold when it is evaluated.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use model::event::Event;

use super::Entry;
use crate::{
    expr::{Fact, Is, Need},
    value::{Dict, Val, beginning_hasher, equal_hash},
};

/// So few rules are evaluated faster than they are told apart.
const FEW: usize = 8;

/// Needs of one rule that are looked at.
const MANY: usize = 8;

/// A rule, and what it can still be found by.
#[derive(Debug, Clone)]
pub(super) struct Member<'n> {
    rule: u32,
    needs: Vec<&'n Need>,
}

impl<'n> Member<'n> {
    pub(super) fn new(entry: &'n Entry<'_>) -> Self {
        Self {
            rule: entry.number,
            needs: entry.needs.iter().take(MANY).collect(),
        }
    }
}

/// Rules that were not told apart yet, or need not be.
#[derive(Debug)]
pub(super) enum Bucket {
    One(u32),
    All(Box<[u32]>),
    Table(Box<Table>),
}

#[derive(Debug)]
pub(super) struct Table {
    /// Rules that cannot be found by anything.
    always: Box<[u32]>,
    event: Field,
}

/// One field of an event, with what stands below and what it may be.
#[derive(Debug, Default)]
struct Field {
    below: HashMap<Box<str>, Self>,
    values: Option<Box<Values>>,
}

#[derive(Debug, Default)]
struct Values {
    /// By the hash of a value, or of the beginning of a text.
    buckets: HashMap<u64, Bucket, BuildHasherDefault<AsItIs>>,
    /// Of the texts among them, in bytes.
    longest: usize,
    /// The lengths of beginnings, in bytes, ascending.
    beginnings: Vec<usize>,
}

impl Bucket {
    pub(super) fn new(members: Vec<Member<'_>>) -> Self {
        let is_plain = members.iter().all(|member| member.needs.is_empty());
        if members.len() <= FEW || is_plain {
            return match members.as_slice() {
                [one] => Self::One(one.rule),
                all => Self::All(all.iter().map(|member| member.rule).collect()),
            };
        }
        Self::Table(Box::new(Table::new(members)))
    }

    pub(super) fn find(&self, event: &Event, found: &mut Vec<u32>) {
        match self {
            Self::One(rule) => found.push(*rule),
            Self::All(rules) => found.extend(rules),
            Self::Table(table) => {
                found.extend(&table.always);
                let root = Val::Map(Dict::Event(event));
                table.event.find(&root, event, found);
            }
        }
    }
}

impl Table {
    fn new(members: Vec<Member<'_>>) -> Self {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        let needs = members.iter().flat_map(|member| &member.needs);
        for fact in needs.flat_map(|need| &need.any) {
            *counts.entry(fact.id).or_default() += 1;
        }
        let rarity = |need: &Need| -> usize {
            let counts = need.any.iter().map(|fact| counts.get(&fact.id));
            counts.map(|count| count.copied().unwrap_or(0)).sum()
        };
        let mut always = Vec::new();
        let mut groups: HashMap<u64, (&Fact, Vec<Member<'_>>)> = HashMap::new();
        for mut member in members {
            let needs = member.needs.iter().enumerate();
            let Some((at, _)) = needs.min_by_key(|(_, need)| rarity(need)) else {
                always.push(member.rule);
                continue;
            };
            let need = member.needs.swap_remove(at);
            for fact in &need.any {
                let (_, group) = groups.entry(fact.id).or_insert((fact, Vec::new()));
                // One fact can stand twice in one need.
                if group.last().is_none_or(|last| last.rule != member.rule) {
                    group.push(member.clone());
                }
            }
        }
        let mut event = Field::default();
        for (fact, members) in groups.into_values() {
            event.insert(fact, Bucket::new(members));
        }
        Self {
            always: always.into(),
            event,
        }
    }
}

impl Field {
    fn insert(&mut self, fact: &Fact, bucket: Bucket) {
        let mut at = self;
        for key in &fact.path {
            if !at.below.contains_key(key) {
                at.below.insert(key.clone(), Self::default());
            }
            let Some(next) = at.below.get_mut(key) else {
                return;
            };
            at = next;
        }
        let values = at.values.get_or_insert_default();
        let hash = match &fact.is {
            Is::Equal { hash, len } => {
                values.longest = values.longest.max(*len);
                *hash
            }
            Is::Beginning(text) => {
                if let Err(at) = values.beginnings.binary_search(&text.len()) {
                    values.beginnings.insert(at, text.len());
                }
                let mut hasher = beginning_hasher();
                hasher.write(text);
                hasher.finish()
            }
        };
        values.buckets.insert(hash, bucket);
    }

    fn find(&self, value: &Val<'_>, event: &Event, found: &mut Vec<u32>) {
        if let Some(values) = &self.values {
            values.find(value, event, found);
        }
        let Val::Map(fields) = value else { return };
        match fields {
            // Whichever is shorter: neither a large event nor many fields that
            // rules name may cost more than they share.
            Dict::Json(fields) if fields.len() < self.below.len() => {
                for (key, value) in *fields {
                    if let Some(field) = self.below.get(key.as_str()) {
                        field.find(&Val::json(value), event, found);
                    }
                }
            }
            _ => {
                for (key, field) in &self.below {
                    if let Some(value) = fields.get(key) {
                        field.find(&value, event, found);
                    }
                }
            }
        }
    }
}

impl Values {
    fn find(&self, value: &Val<'_>, event: &Event, found: &mut Vec<u32>) {
        let is_longer = matches!(value, Val::Str(text) if text.len() > self.longest);
        if !is_longer && let Some(hash) = equal_hash(value) {
            self.take(hash, event, found);
        }
        if self.beginnings.is_empty() {
            return;
        }
        // As `is match` and its like take them.
        match value {
            Val::Str(text) => self.find_beginnings(text.as_bytes(), event, found),
            Val::Num(number) => self.find_beginnings(number.to_string().as_bytes(), event, found),
            Val::Bool(true) => self.find_beginnings(b"true", event, found),
            Val::Bool(false) => self.find_beginnings(b"false", event, found),
            Val::Undefined(_) | Val::None | Val::List(_) | Val::Map(_) => {}
        }
    }

    fn find_beginnings(&self, text: &[u8], event: &Event, found: &mut Vec<u32>) {
        let mut hasher = beginning_hasher();
        let mut hashed = 0;
        for len in &self.beginnings {
            let Some(next) = text.get(hashed..*len) else {
                return;
            };
            hasher.write(next);
            hashed = *len;
            self.take(hasher.clone().finish(), event, found);
        }
    }

    fn take(&self, hash: u64, event: &Event, found: &mut Vec<u32>) {
        if let Some(bucket) = self.buckets.get(&hash) {
            bucket.find(event, found);
        }
    }
}

/// Keys are hashes already, and those that an event asks for are compared with
/// those of the rules only.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
