//! The `playbook` step: reading its keys, rendering it into a call.

use std::collections::HashSet;

use model::action::{PlaybookCall, StepCall};

use super::{
    Field, NoCall, Rehearsed, Renderer,
    field::{Shape, check_word, render_fields},
    read::{Tally, read_fields, read_path},
};
use crate::{
    code::Code,
    listing::{Listing, check_name},
    yaml::{Data, Entry, Mapping, Node, Reader, shorten},
};

#[derive(Debug)]
pub(crate) struct Playbook {
    playbook: Field,
    /// A playbook that does not exist means that there is nothing to do.
    skip_missing: bool,
    inventory: Vec<Field>,
    limit: Option<Field>,
    tags: Vec<Field>,
    skip_tags: Vec<Field>,
    check: bool,
    diff: bool,
    forks: Option<u32>,
    verbosity: u8,
    vault_password_files: Vec<String>,
    warm: bool,
    vars: Vec<(String, Shape)>,
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
            check_playbook(reader, node, name, (listing, skip_missing == Some(true)));
        }
        let inventory = read_fields(reader, keys, "inventory", |reader, node, text| {
            check_inventory(reader, node, text, listing);
        });
        let limit = read_fields(reader, keys, "limit", check_option);
        let tags = read_fields(reader, keys, "tags", check_option);
        let skip_tags = read_fields(reader, keys, "skip_tags", check_option);
        let check = keys
            .stated(reader, "check")
            .and_then(|node| reader.bool(node));
        let diff = keys
            .stated(reader, "diff")
            .and_then(|node| reader.bool(node));
        let forks = keys
            .stated(reader, "forks")
            .and_then(|node| reader.integer(node, 1..=10_000));
        let verbosity = keys
            .stated(reader, "verbosity")
            .and_then(|node| reader.integer(node, 0..=6));
        let warm = keys
            .stated(reader, "warm")
            .and_then(|node| reader.bool(node));
        let mut vaults = Vec::new();
        for key in ["vault_password_file", "vault_password_files"] {
            if let Some(node) = keys.stated(reader, key) {
                for node in reader.one_or_list(node) {
                    vaults.extend(read_vault(reader, node, listing));
                }
            }
        }
        let vars = keys
            .stated(reader, "vars")
            .map(|node| read_vars(reader, node));
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
            limit: limit.pop(),
            tags: tags?,
            skip_tags: skip_tags?,
            check: check.unwrap_or(false),
            diff: diff.unwrap_or(false),
            forks: forks.and_then(|forks| u32::try_from(forks).ok()),
            verbosity: verbosity
                .and_then(|level| u8::try_from(level).ok())
                .unwrap_or(0),
            vault_password_files: vaults,
            warm: warm.unwrap_or(true),
            vars: vars.unwrap_or(Some(Vec::new()))?,
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
            let found = resolve_inventory(field, renderer, listing);
            inventory.extend(tally.take("inventory", found)?);
        }
        let mut limit = None;
        if let Some(field) = &self.limit {
            limit = tally
                .take("limit", field.words(renderer))?
                .map(|words| words.join(","));
        }
        let mut words = |key, fields: &[Field]| -> Result<Vec<String>, NoCall> {
            let mut all = Vec::new();
            for field in fields {
                all.extend(
                    tally
                        .take(key, field.words(renderer))?
                        .into_iter()
                        .flatten(),
                );
            }
            Ok(all)
        };
        let tags = words("tags", &self.tags)?;
        let skip_tags = words("skip_tags", &self.skip_tags)?;
        let vars = tally.take("vars", render_fields(&self.vars, renderer))?;
        let (Some(playbook), Some(vars)) = (playbook, vars) else {
            return Err(tally.into_no_call());
        };
        tally.finish()?;
        Ok(StepCall::Playbook(PlaybookCall {
            playbook,
            inventory,
            limit,
            tags,
            skip_tags,
            check: self.check,
            diff: self.diff,
            forks: self.forks,
            verbosity: self.verbosity,
            vault_password_files: self.vault_password_files.clone(),
            cold: !self.warm,
            vars,
            ..PlaybookCall::default()
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
        let message = missing_playbook(name);
        Err(if self.skip_missing {
            NoCall::Skip(format!("{message}, and the step says `missing: skip`"))
        } else {
            NoCall::Missing(message)
        })
    }
}

fn missing_playbook(name: &str) -> String {
    let name = shorten(name);
    format!(
        "there is no playbook `{name}`: neither `playbooks/{name}` nor `{name}` is in the project"
    )
}

fn check_playbook(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    (listing, may_be_missing): (&Listing, bool),
) {
    let name = name.strip_prefix("./").unwrap_or(name);
    if !read_path(reader, node, name) || listing.playbook(name).is_some() {
        return;
    }
    let hint = match similar(reader, listing, name) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("create `playbooks/{}`", shorten(name)),
    };
    let message = missing_playbook(name);
    if may_be_missing {
        reader.warning(Code::MissingFile, node.span, message, Some(hint));
    } else {
        reader.error(Code::MissingFile, node.span, message, Some(hint));
    }
}

/// A name of the project that was probably meant.
fn similar<'l>(reader: &Reader<'_>, listing: &'l Listing, name: &str) -> Option<&'l str> {
    reader
        .wants_hints()
        .then(|| listing.similar(name))
        .flatten()
}

/// A static value that becomes the value of an option of `ansible-playbook`.
fn check_option(reader: &mut Reader<'_>, node: &Node, text: &str) {
    if text.trim().is_empty() || text.starts_with('-') || text.contains('\0') {
        reader.error(
            Code::BadValue,
            node.span,
            "the value is empty, starts with `-` or contains NUL".to_owned(),
            None,
        );
    }
}

fn check_inventory(reader: &mut Reader<'_>, node: &Node, text: &str, listing: &Listing) {
    if text.contains(',') {
        check_option(reader, node, text);
        return;
    }
    let path = plain_path(text);
    if !read_path(reader, node, path) || listing.has_file(path) || listing.has_directory(path) {
        return;
    }
    let hint = match similar(reader, listing, path) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => "write a file, a directory, or hosts with a comma such as `localhost,`".to_owned(),
    };
    reader.error(
        Code::MissingFile,
        node.span,
        format!("there is no inventory `{}` in the project", shorten(path)),
        Some(hint),
    );
}

/// A path as people write it: `./a/` is `a`.
fn plain_path(text: &str) -> &str {
    let text = text.strip_prefix("./").unwrap_or(text);
    text.strip_suffix('/').unwrap_or(text)
}

fn resolve_inventory(
    field: &Field,
    renderer: &Renderer<'_>,
    listing: &Listing,
) -> Result<String, NoCall> {
    let text = field.text(renderer)?;
    let is_rendered = field.fixed().is_none();
    if text.contains(',') {
        if is_rendered {
            check_word(&text)?;
        }
        // Without the comma at the end a single host would be a file.
        let end = if text.ends_with(',') { "" } else { "," };
        return Ok(format!("{text}{end}"));
    }
    let path = if is_rendered {
        &text
    } else {
        plain_path(&text)
    };
    if let Err(error) = check_name(path) {
        return Err(NoCall::Bad(format!(
            "the name {:?} is refused: {error}",
            shorten(path)
        )));
    }
    if listing.has_file(path) || listing.has_directory(path) {
        return Ok(path.to_owned());
    }
    Err(NoCall::Missing(format!(
        "there is no inventory `{}` in the project",
        shorten(path)
    )))
}

fn read_vault(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<String> {
    let field = Field::read(reader, node)?;
    let Some(path) = field.fixed() else {
        reader.error(
            Code::UntrustedCode,
            node.span,
            "a vault password file may not be computed".to_owned(),
            Some("write its path".to_owned()),
        );
        return None;
    };
    let path = path.strip_prefix("./").unwrap_or(path);
    if !read_path(reader, node, path) {
        return None;
    }
    if !listing.has_file(path) {
        let hint = similar(reader, listing, path).map(|name| format!("did you mean `{name}`?"));
        reader.error(
            Code::MissingFile,
            node.span,
            format!("there is no file `{}` in the project", shorten(path)),
            hint,
        );
        return None;
    }
    Some(path.to_owned())
}

fn read_vars(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Shape)>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    let mut vars = Some(Vec::with_capacity(entries.len()));
    for entry in entries {
        let shape = Shape::read(reader, &entry.value);
        let is_fixed = shape.as_ref().is_none_or(Shape::is_fixed);
        let is_good = check_variable(reader, entry, is_fixed);
        match (shape, &mut vars) {
            (Some(shape), Some(vars)) if is_good => vars.push((entry.key.clone(), shape)),
            (Some(_) | None, _) => vars = None,
        }
    }
    vars
}

/// Whether the name of a variable may be given to Ansible.
fn check_variable(reader: &mut Reader<'_>, entry: &Entry, is_fixed: bool) -> bool {
    let name = entry.key.as_str();
    let shown = shorten(name);
    let (code, message, hint) = if matches!(name, "event" | "msg" | "lariat") {
        (
            Code::ReservedVariable,
            format!("every playbook has the variable `{name}` already"),
            "choose another name",
        )
    } else if name.starts_with("ansible_") && !is_fixed {
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

fn is_identifier(name: &str) -> bool {
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
