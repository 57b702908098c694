//! `accounts.yml`: who may run as whom, granted outside of the project.
//!
//! Whoever can change this file can run programs as every user in it, so only
//! root may be able to: [`trust`] looks at the file and at everything on the
//! way to it before a word of it counts. Without a file nothing is granted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::{
    account::{ACCOUNTS_FILE, Account, Grant, Grants, SystemUser, VaultSecret},
    diagnostic::{Diagnostic, Level},
    id::AccountName,
};
use nix::unistd::User;
use rules::{
    Code,
    yaml::{Data, Entry, Mapping, Node, Reader},
};

use access::Reading;

mod access;
mod trust;

const SECOND: Duration = Duration::from_secs(1);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Which file grants accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    path: PathBuf,
    /// Somebody said so: then it has to be there.
    is_named: bool,
}

impl Place {
    /// What `--accounts` says goes before what LARIAT_ACCOUNTS says.
    pub(crate) fn new(flag: Option<&Path>, variable: Option<&Path>) -> Self {
        let named = flag.or(variable);
        let path = named.unwrap_or(Path::new(ACCOUNTS_FILE));
        Self {
            // Reloads come when the process is elsewhere.
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            is_named: named.is_some(),
        }
    }

    /// Reads and checks the file. `project` is where its rule files are looked
    /// for.
    pub(crate) fn load(&self, project: &Path) -> Loaded {
        let nothing = |findings| Loaded {
            grants: None,
            findings,
        };
        let text = match trust::read(&self.path) {
            Ok(text) => text,
            Err(trust::Distrust::Missing) if !self.is_named => {
                return Loaded {
                    grants: Some(Grants::new(self.path.clone(), Vec::new())),
                    findings: Vec::new(),
                };
            }
            Err(error) => {
                return nothing(vec![Diagnostic {
                    file: self.path.display().to_string(),
                    hint: error.hint(&self.path),
                    ..Diagnostic::without_place(Level::Error, error.code(), error.to_string())
                }]);
            }
        };
        let file = self.path.display().to_string();
        let mut reader = Reader::new(&file, &text);
        let grants = parse(&mut reader, project);
        let is_sound = !reader.has_errors();
        let findings = reader.finish();
        if !is_sound {
            return nothing(findings);
        }
        Loaded {
            grants: Some(Grants::new(self.path.clone(), grants)),
            findings,
        }
    }
}

/// What was read, and what is worth a word about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Absent when there is an error anywhere.
    pub(crate) grants: Option<Grants>,
    pub(crate) findings: Vec<Diagnostic>,
}

impl Loaded {
    /// Nobody looked.
    pub(crate) fn unknown() -> Self {
        Self {
            grants: None,
            findings: Vec::new(),
        }
    }
}

fn parse(reader: &mut Reader<'_>, project: &Path) -> Vec<Grant> {
    let mut grants = Vec::new();
    let Some(root) = reader.parse() else {
        return grants;
    };
    if root.data == Data::Null {
        return grants;
    }
    let Some(mut root) = reader.mapping(&root, "`accounts.yml`") else {
        return grants;
    };
    if let Some(node) = root.optional("accounts")
        && let Some(accounts) = reader.mapping(node, "`accounts`")
    {
        for entry in accounts.entries() {
            grants.extend(grant(reader, entry, project));
        }
    }
    root.finish(reader, &[]);
    grants
}

fn grant(reader: &mut Reader<'_>, entry: &Entry, project: &Path) -> Option<Grant> {
    let name = match entry.key.parse::<AccountName>() {
        Ok(name) => Some(name),
        Err(error) => {
            reader.error(Code::BadValue, entry.key_span, error.to_string(), None);
            None
        }
    };
    let mut keys = reader.mapping(&entry.value, "an account")?;
    let user = keys.required(reader, "user");
    let user = user.and_then(|node| system_user(reader, node));
    let env = match keys.optional("env") {
        Some(node) => environment(reader, node),
        None => Some(BTreeMap::new()),
    };
    let ssh_key = match keys.optional("ssh_key") {
        Some(node) => private_file(reader, node, user.as_ref()).map(Some),
        None => Some(None),
    };
    let vault = match keys.optional("vault") {
        Some(node) => vault(reader, node, user.as_ref()),
        None => Some(Vec::new()),
    };
    let timeout = match keys.optional("limits") {
        Some(node) => limits(reader, node),
        None => Some(None),
    };
    let rules = keys.required(reader, "rules");
    let rules = rules.and_then(|node| rule_files(reader, node, project));
    keys.finish(reader, &[]);
    let account = Account {
        name: name?,
        user: user?,
        env: env?,
        ssh_key: ssh_key?,
        vault: vault?,
        timeout: timeout?,
    };
    Some(Grant {
        account: Arc::new(account),
        rules: rules?,
    })
}

fn system_user(reader: &mut Reader<'_>, node: &Node) -> Option<SystemUser> {
    let text = reader.string(node)?;
    let problem = match User::from_name(text) {
        // sudo takes some of these for numbers, groups or options.
        _ if text.is_empty() || text.starts_with(['#', '-', '+', '%']) => (
            Code::BadValue,
            "this is not the name of a user".to_owned(),
            None,
        ),
        Ok(Some(user)) if user.uid.is_root() => (
            Code::BadValue,
            format!("`{text}` is root: no job runs as root"),
            Some(
                "name a user of its own; a playbook becomes root with `become` where sudo lets that user"
                    .to_owned(),
            ),
        ),
        Ok(Some(user)) => {
            return Some(SystemUser {
                name: user.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                home: user.dir,
            });
        }
        Ok(None) => (
            Code::UnknownUser,
            format!("this machine has no user `{text}`"),
            Some(format!("`useradd --system --create-home {text}` makes one")),
        ),
        Err(errno) => (
            Code::UnknownUser,
            format!("the user `{text}` cannot be looked up: {}", errno.desc()),
            None,
        ),
    };
    let (code, message, hint) = problem;
    reader.error(code, node.span, message, hint);
    None
}

fn environment(reader: &mut Reader<'_>, node: &Node) -> Option<BTreeMap<String, String>> {
    let entries = reader.mapping(node, "`env`")?.entries();
    let mut variables = BTreeMap::new();
    for entry in entries {
        let name = entry.key.as_str();
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("LARIAT_") {
            reader.error(
                Code::BadVariable,
                entry.key_span,
                format!(
                    "a variable of an account cannot be named `{}`",
                    name.escape_debug()
                ),
                Some("names have no `=`, and `LARIAT_…` are Lariat's own".to_owned()),
            );
            continue;
        }
        let Some(value) = reader.string(&entry.value) else {
            continue;
        };
        if value.contains('\0') {
            let message = "a variable cannot have a NUL character".to_owned();
            reader.error(Code::BadValue, entry.value.span, message, None);
            continue;
        }
        variables.insert(name.to_owned(), value.to_owned());
    }
    (variables.len() == entries.len()).then_some(variables)
}

/// A file that the user of the account has to read, by its whole path.
fn private_file(
    reader: &mut Reader<'_>,
    node: &Node,
    user: Option<&SystemUser>,
) -> Option<PathBuf> {
    let text = reader.string(node)?;
    let path = PathBuf::from(text);
    if !path.is_absolute() || text.contains('\0') {
        reader.error(
            Code::BadValue,
            node.span,
            "this is not the whole path of a file".to_owned(),
            Some("write it from `/` on: accounts belong to no project".to_owned()),
        );
        return None;
    }
    let Some(user) = user else {
        return Some(path);
    };
    let shown = path.display();
    match access::reading(&path, user) {
        Reading::Granted {
            by_everybody: false,
        }
        | Reading::Hidden => return Some(path),
        Reading::Granted { by_everybody: true } => {
            reader.warning(
                Code::ExposedSecret,
                node.span,
                format!("every user of this machine can read `{shown}`"),
                Some(format!("`chmod o-r {shown}`")),
            );
            return Some(path);
        }
        Reading::Missing => reader.error(
            Code::MissingFile,
            node.span,
            format!("there is no file `{shown}`"),
            None,
        ),
        Reading::Denied { at } => reader.error(
            Code::UnsafeFile,
            node.span,
            format!("the user `{}` cannot read `{shown}`", user.name),
            Some(format!(
                "`{}` keeps it out; `sudo -u {} cat {shown}` has to work",
                at.display(),
                user.name
            )),
        ),
    }
    None
}

fn vault(
    reader: &mut Reader<'_>,
    node: &Node,
    user: Option<&SystemUser>,
) -> Option<Vec<VaultSecret>> {
    let entries = reader.mapping(node, "`vault`")?.entries();
    let mut secrets = Vec::new();
    for entry in entries {
        let id = entry.key.as_str();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_id = !id.is_empty() && !id.starts_with('-') && id.chars().all(is_plain);
        if !is_id {
            reader.error(
                Code::BadValue,
                entry.key_span,
                "this is not a vault id".to_owned(),
                Some("write letters, digits, `_`, `-` and `.`, such as `prod`".to_owned()),
            );
        }
        let Some(mut keys) = reader.mapping(&entry.value, "a vault secret") else {
            continue;
        };
        let file = keys.required(reader, "file");
        let file = file.and_then(|node| private_file(reader, node, user));
        keys.finish(reader, &[]);
        if let (true, Some(file)) = (is_id, file) {
            secrets.push(VaultSecret {
                id: id.to_owned(),
                file,
            });
        }
    }
    (secrets.len() == entries.len()).then_some(secrets)
}

fn limits(reader: &mut Reader<'_>, node: &Node) -> Option<Option<Duration>> {
    let mut keys: Mapping<'_> = reader.mapping(node, "`limits`")?;
    let timeout = match keys.optional("timeout") {
        Some(node) => reader.duration(node, SECOND..=MONTH).map(Some),
        None => Some(None),
    };
    keys.finish(reader, &[]);
    timeout
}

/// Rule files by their paths in the project.
fn rule_files(reader: &mut Reader<'_>, node: &Node, project: &Path) -> Option<BTreeSet<String>> {
    let items = reader.list(node)?;
    let mut files = BTreeSet::new();
    let mut is_good = true;
    for item in items {
        let Some(path) = reader.string(item) else {
            is_good = false;
            continue;
        };
        let name = path.strip_prefix("rules/").unwrap_or_default();
        let is_rule_file = [".yml", ".yaml"].iter().any(|ending| {
            name.strip_suffix(ending)
                .is_some_and(|stem| !stem.is_empty())
        });
        if !is_rule_file || name.contains(['/', '\0']) || name.starts_with('.') {
            reader.error(
                Code::BadValue,
                item.span,
                "this is not the path of a rule file".to_owned(),
                Some("write it as the project has it, such as `rules/compose.yml`".to_owned()),
            );
            is_good = false;
            continue;
        }
        if !project.join(path).is_file() {
            reader.warning(
                Code::MissingFile,
                item.span,
                format!("the project has no rule file `{path}`"),
                Some(
                    "whoever adds it to the project may use the account; remove it unless it is of another project"
                        .to_owned(),
                ),
            );
        }
        files.insert(path.to_owned());
    }
    if items.is_empty() {
        reader.error(
            Code::BadValue,
            node.span,
            "`rules` is an empty list, so nobody may use the account".to_owned(),
            Some("write rule files, or remove the account".to_owned()),
        );
        return None;
    }
    is_good.then_some(files)
}

#[cfg(test)]
mod tests;
