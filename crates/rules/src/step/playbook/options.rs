//! Keys of a playbook step that are never computed: options of
//! `ansible-playbook`, secrets, collections and variables of the environment.

use std::{collections::BTreeMap, ops::RangeInclusive};

use model::{
    action::PlaybookCall,
    playbook::{Connection, Escalation, VaultIdentity},
};

use super::{
    super::{Field, command::read_env, read::read_path},
    names::similar,
    secret,
};
use crate::{
    code::Code,
    listing::{Listing, plain_path},
    yaml::{Data, Entry, Mapping, Node, Reader, shorten},
};

/// A call in which only what is fixed is said. What is wrong with a switch or
/// a number is recorded, and the rest is read on; `None` when that is not safe.
pub(super) fn read(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    listing: &Listing,
) -> Option<PlaybookCall> {
    let mut switch = |reader: &mut Reader<'_>, key| {
        let node = keys.stated(reader, key);
        node.and_then(|node| reader.bool(node))
    };
    let check = switch(reader, "check").unwrap_or(false);
    let diff = switch(reader, "diff").unwrap_or(false);
    let flush_cache = switch(reader, "flush_cache").unwrap_or(false);
    let force_handlers = switch(reader, "force_handlers").unwrap_or(false);
    let always = switch(reader, "become").unwrap_or(false);
    let warm = switch(reader, "warm").unwrap_or(true);
    let forks = number(reader, keys, "forks", 1..=10_000);
    let verbosity = number(reader, keys, "verbosity", 0..=6);
    let timeout = number(reader, keys, "connection_timeout", 1..=86_400);
    let start_at_task = text(reader, keys, "start_at_task");
    let user = text(reader, keys, "user");
    let plugin = text(reader, keys, "connection");
    let become_user = text(reader, keys, "become_user");
    let become_method = text(reader, keys, "become_method");
    let mut place = |reader: &mut Reader<'_>, key| {
        let node = keys.stated(reader, key);
        node.and_then(|node| secret::read(reader, node))
    };
    let connection = Connection {
        user,
        plugin,
        timeout: timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        private_key: place(reader, "private_key"),
        password: place(reader, "connection_password"),
    };
    let escalation = Escalation {
        always,
        user: become_user,
        method: become_method,
        password: place(reader, "become_password"),
    };
    let vault_password_files = read_vault_files(reader, keys, listing);
    let vault = match keys.stated(reader, "vault") {
        Some(node) => read_vault(reader, node),
        None => Vec::new(),
    };
    let collections = read_collections(reader, keys);
    let env = match keys.stated(reader, "env") {
        Some(node) => read_settings(reader, node)?,
        None => BTreeMap::new(),
    };
    Some(PlaybookCall {
        check,
        diff,
        forks: forks.and_then(|forks| u32::try_from(forks).ok()),
        verbosity: verbosity
            .and_then(|level| u8::try_from(level).ok())
            .unwrap_or(0),
        start_at_task,
        flush_cache,
        force_handlers,
        escalation,
        connection,
        vault_password_files,
        vault,
        collections,
        env,
        cold: !warm,
        ..PlaybookCall::default()
    })
}

fn number(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let node = keys.stated(reader, key)?;
    reader.integer(node, range)
}

/// A text that an event has no part in: who somebody is and how a host is
/// reached are the rule's.
fn text(reader: &mut Reader<'_>, keys: &mut Mapping<'_>, key: &'static str) -> Option<String> {
    let node = keys.stated(reader, key)?;
    fixed(reader, node, &format!("`{key}`")).inspect(|text| check_option(reader, node, text))
}

fn fixed(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    let field = Field::read(reader, node)?;
    if let Some(text) = field.fixed() {
        return Some(text.to_owned());
    }
    let message = format!("{what} may not be computed");
    let hint = "write a plain value".to_owned();
    reader.error(Code::UntrustedCode, node.span, message, Some(hint));
    None
}

/// A static value that becomes the value of an option of `ansible-playbook`.
pub(super) fn check_option(reader: &mut Reader<'_>, node: &Node, text: &str) {
    if text.trim().is_empty() || text.starts_with('-') || text.contains('\0') {
        reader.error(
            Code::BadValue,
            node.span,
            "the value is empty, starts with `-` or contains NUL".to_owned(),
            None,
        );
    }
}

fn read_vault_files(
    reader: &mut Reader<'_>,
    keys: &mut Mapping<'_>,
    listing: &Listing,
) -> Vec<String> {
    let mut files = Vec::new();
    for key in ["vault_password_file", "vault_password_files"] {
        if let Some(node) = keys.stated(reader, key) {
            for node in reader.one_or_list(node) {
                files.extend(read_vault_file(reader, node, listing));
            }
        }
    }
    files
}

fn read_vault_file(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<String> {
    let text = fixed(reader, node, "a vault password file")?;
    let path = text.strip_prefix("./").unwrap_or(&text);
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

/// `{id: prod, file: /etc/lariat/vault}`, or a list of such.
fn read_vault(reader: &mut Reader<'_>, node: &Node) -> Vec<VaultIdentity> {
    let mut vault: Vec<VaultIdentity> = Vec::new();
    for item in reader.one_or_list(node) {
        let Some(mut keys) = reader.mapping(item, "a vault secret") else {
            continue;
        };
        let id = match keys.stated(reader, "id") {
            Some(node) => read_vault_id(reader, node),
            None => Some("default".to_owned()),
        };
        let place = secret::read_place(reader, &mut keys);
        keys.finish(reader, &[]);
        let (Some(id), Some(secret)) = (id, place) else {
            continue;
        };
        if vault.iter().any(|known| known.id == id) {
            let message = format!("there are two vault secrets with the id `{id}`");
            reader.error(Code::BadValue, item.span, message, None);
        }
        vault.push(VaultIdentity { id, secret });
    }
    vault
}

fn read_vault_id(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let id = fixed(reader, node, "a vault id")?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if id.is_empty() || id.starts_with('-') || !id.chars().all(is_allowed) {
        let message = format!("`{}` is not a vault id", shorten(&id));
        let hint = "use letters, digits and `_.-`".to_owned();
        reader.error(Code::BadValue, node.span, message, Some(hint));
        return None;
    }
    Some(id)
}

/// Directories of collections are not in the listing: `lariat check` looks
/// whether they are there, and so does the step when it begins.
fn read_collections(reader: &mut Reader<'_>, keys: &mut Mapping<'_>) -> Vec<String> {
    let Some(node) = keys.stated(reader, "collections") else {
        return Vec::new();
    };
    let mut directories = Vec::new();
    for item in reader.one_or_list(node) {
        let Some(text) = fixed(reader, item, "a directory of collections") else {
            continue;
        };
        let path = plain_path(&text);
        if path.contains(':') {
            let message = "a directory of collections cannot have a `:` in its path".to_owned();
            let hint = "make it a list".to_owned();
            reader.error(Code::BadValue, item.span, message, Some(hint));
        } else if read_path(reader, item, path) {
            directories.push(path.to_owned());
        }
    }
    directories
}

/// Variables that Lariat sets itself, or that a key of the step stands for.
const OWN: [(&str, &str); 9] = [
    ("ANSIBLE_CONFIG", "`ansible.cfg` of the project is used"),
    ("ANSIBLE_INVENTORY", "write `inventory` or `hosts`"),
    (
        "ANSIBLE_LOCAL_TEMP",
        "each run has a private directory of its own",
    ),
    (
        "ANSIBLE_SSH_CONTROL_PATH_DIR",
        "each run has connections of its own",
    ),
    ("ANSIBLE_VAULT_PASSWORD_FILE", "write `vault`"),
    ("ANSIBLE_VAULT_IDENTITY_LIST", "write `vault`"),
    ("ANSIBLE_NOCOLOR", "output is kept without colours"),
    ("ANSIBLE_FORCE_COLOR", "output is kept without colours"),
    (
        "PYTHONUNBUFFERED",
        "output is always taken as soon as it is written",
    ),
];

fn read_settings(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeMap<String, String>> {
    if let Data::Mapping(entries) = &node.data {
        for entry in entries {
            check_setting(reader, entry);
        }
    }
    let mut settings = BTreeMap::new();
    let mut is_good = true;
    for (name, field) in read_env(reader, node)? {
        match field.fixed() {
            Some(value) if !value.contains('\0') => {
                settings.insert(name, value.to_owned());
            }
            Some(_) | None => {
                reader.error(
                    Code::UntrustedCode,
                    node.span,
                    format!("`{name}` of a playbook's environment may not be computed"),
                    Some("pass what an event says in `vars`".to_owned()),
                );
                is_good = false;
            }
        }
    }
    is_good.then_some(settings)
}

fn check_setting(reader: &mut Reader<'_>, entry: &Entry) {
    let name = entry.key.as_str();
    let known = OWN.iter().find(|(own, _)| *own == name);
    let holds_secret = name.starts_with("ANSIBLE_")
        && ["_PASS", "_PASSWORD", "_TOKEN", "_SECRET"]
            .iter()
            .any(|ending| name.ends_with(ending));
    let (message, hint) = match known {
        Some((_, hint)) => (format!("a step does not set `{name}`"), *hint),
        None if holds_secret => (
            format!("`{name}` is a secret, which does not stand in a rule"),
            "write `vault`, `private_key`, `become_password` or `connection_password`",
        ),
        None => return,
    };
    reader.error(
        Code::ReservedVariable,
        entry.key_span,
        message,
        Some(hint.to_owned()),
    );
}
