//! Accounts: the identities that jobs run as, and who may use them.
//!
//! Nothing of a project makes an account. They are granted in a file of the
//! administrator's, each to the rule files that may use it; whether a rule may
//! is asked of [`Grants`] when the rules are checked and again when a job
//! runs. A job whose account is not granted any more never runs as anybody
//! else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::id::AccountName;

/// The identity that a step runs as, with what belongs to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    pub name: AccountName,
    pub user: SystemUser,
    /// Added to the clean environment.
    pub env: BTreeMap<String, String>,
    /// The private key that Ansible connects with; absolute, and readable by
    /// the user.
    pub ssh_key: Option<PathBuf>,
    /// The vault secrets that playbooks are given.
    pub vault: Vec<VaultSecret>,
    /// No step takes longer than this.
    pub timeout: Option<Duration>,
}

impl fmt::Debug for Account {
    /// The values of variables may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            user,
            env,
            ssh_key,
            vault,
            timeout,
        } = self;
        f.debug_struct("Account")
            .field("name", name)
            .field("user", user)
            .field("env", &env.keys())
            .field("ssh_key", ssh_key)
            .field("vault", vault)
            .field("timeout", timeout)
            .finish()
    }
}

impl Account {
    /// How long a step may take that is allowed `timeout` by its rule.
    pub fn capped(&self, timeout: Duration) -> Duration {
        self.timeout.map_or(timeout, |most| most.min(timeout))
    }
}

/// A user of this machine, as its database of users had it when the accounts
/// were read. Never root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemUser {
    pub name: String,
    pub uid: u32,
    /// The primary group; the others are looked up when a program starts.
    pub gid: u32,
    pub home: PathBuf,
}

/// A vault password that the user can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSecret {
    /// Ansible's vault id, without `@`.
    pub id: String,
    /// Absolute.
    pub file: PathBuf,
}

/// An account and the rule files whose rules may run as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub account: Arc<Account>,
    /// Paths relative to the project, such as `rules/compose.yml`.
    pub rules: BTreeSet<String>,
}

/// Everything that is granted on this machine. Empty by default: then no rule
/// may name an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// The file that says so, for people.
    source: PathBuf,
    by_name: BTreeMap<AccountName, Grant>,
}

/// Where accounts are granted unless somebody says otherwise.
pub const ACCOUNTS_FILE: &str = "/etc/lariat/accounts.yml";

impl Default for Grants {
    fn default() -> Self {
        Self::new(PathBuf::from(ACCOUNTS_FILE), Vec::new())
    }
}

/// Why a rule may not run as an account, with what would have to be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    #[error("there is no account `{account}` in `{}`", source_file.display())]
    Unknown {
        account: AccountName,
        source_file: PathBuf,
    },
    #[error("account `{account}` is not granted to `{rule_file}` in `{}`", source_file.display())]
    OtherRules {
        account: AccountName,
        rule_file: String,
        source_file: PathBuf,
    },
}

impl Grants {
    pub fn new(source: PathBuf, grants: Vec<Grant>) -> Self {
        let by_name = grants
            .into_iter()
            .map(|grant| (grant.account.name.clone(), grant))
            .collect();
        Self { source, by_name }
    }

    pub fn source(&self) -> &Path {
        &self.source
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.by_name.values()
    }

    /// The account that a rule of `rule_file` asks for, if it may have it.
    pub fn get(&self, account: &AccountName, rule_file: &str) -> Result<&Arc<Account>, NotGranted> {
        let Some(grant) = self.by_name.get(account) else {
            return Err(NotGranted::Unknown {
                account: account.clone(),
                source_file: self.source.clone(),
            });
        };
        if !grant.rules.contains(rule_file) {
            return Err(NotGranted::OtherRules {
                account: account.clone(),
                rule_file: rule_file.to_owned(),
                source_file: self.source.clone(),
            });
        }
        Ok(&grant.account)
    }
}

/// The line of a sudoers file that lets `service` start guards as `user`, and
/// nothing else.
pub fn sudoers_line(service: &str, user: &str, binary: &Path) -> String {
    let [service, user, binary] =
        [service, user, &binary.to_string_lossy()].map(escaped_for_sudoers);
    format!("{service} ALL=({user}) NOPASSWD: {binary} guard-exec")
}

/// As sudoers(5) asks for it: a backslash before each character that means
/// something there.
fn escaped_for_sudoers(text: &str) -> String {
    // A user without a name.
    if let Some(uid) = text.strip_prefix('#')
        && uid.parse::<u32>().is_ok()
    {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let is_plain = c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+');
        if !is_plain {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests;
