//! Secrets: where they stand, and how they are read when the service starts.
//!
//! The file says where a secret is, not what it is. What is read goes into a
//! [`Secret`], which prints nothing of itself.

use std::{
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use actions::process::{AnswerError, answer};
use bus::amqp::Secret;
use rules::{
    Code,
    yaml::{Data, Node, Reader},
};

use crate::{
    config::{Environment, Scope},
    failure::cannot_find,
};

/// How long a command may think about a secret.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a secret or a certificate.
const LARGEST: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// In `lariat.yml` itself.
    Inline(Secret),
    /// Seen from the project.
    File(PathBuf),
    Variable(String),
    /// A name in systemd's directory of credentials.
    Credential(String),
    /// What a command prints.
    Command(Vec<String>),
}

impl fmt::Debug for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("[secret]"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
            // Its arguments may be secret themselves.
            Self::Command(argv) => write!(f, "command {:?}", argv.first()),
        }
    }
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("cannot read it")]
    File(#[source] std::io::Error),
    #[error("`{}` has more than 64 KiB", path.display())]
    TooLarge { path: PathBuf },
    #[error("the variable `{name}` is not set, or is not UTF-8")]
    Variable { name: String },
    #[error("this service has no credentials: systemd gives them with `LoadCredential=`")]
    NoCredentials,
    #[error("`{program}` does not give it")]
    Command {
        program: String,
        #[source]
        source: AnswerError,
    },
    #[error("it is not UTF-8")]
    NotText,
}

/// What secrets are read with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vault<'a> {
    /// Canonical.
    pub(crate) project: &'a Path,
    pub(crate) environment: &'a Environment,
}

impl Vault<'_> {
    pub(crate) async fn secret(&self, place: &SecretPlace) -> Result<Secret, SecretError> {
        let bytes = match place {
            SecretPlace::Inline(secret) => return Ok(secret.clone()),
            SecretPlace::Variable(name) => {
                let value = self.environment.named(name);
                let value = value.ok_or_else(|| SecretError::Variable { name: name.clone() });
                return value.map(|text| Secret::new(trimmed(&text)));
            }
            SecretPlace::File(path) => self.file(path)?,
            SecretPlace::Credential(name) => {
                let directory = self.environment.credentials.as_ref();
                let directory = directory.ok_or(SecretError::NoCredentials)?;
                self.file(&directory.join(name))?
            }
            SecretPlace::Command(argv) => {
                answer(argv, self.project, PATIENCE)
                    .await
                    .map_err(|source| SecretError::Command {
                        program: argv.first().cloned().unwrap_or_default(),
                        source,
                    })?
            }
        };
        let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText)?;
        Ok(Secret::new(trimmed(&text)))
    }

    /// A file of the project, or any other by its whole path.
    pub(crate) fn file(&self, path: &Path) -> Result<Vec<u8>, SecretError> {
        let path = self.project.join(path);
        let unreadable = |error| SecretError::File(cannot_find(&path, &error));
        let metadata = fs_err::metadata(&path).map_err(unreadable)?;
        if metadata.len() > LARGEST {
            return Err(SecretError::TooLarge { path });
        }
        fs_err::read(&path).map_err(unreadable)
    }
}

/// Without the line's end that editors put behind it.
fn trimmed(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// `{file: PATH}`, `{env: NAME}`, `{credential: NAME}` or `{command: [ARGV]}`.
pub(super) fn place(
    reader: &mut Reader<'_>,
    node: &Node,
    scope: &Scope<'_>,
) -> Option<SecretPlace> {
    const FORMS: &str =
        "write `{file: PATH}`, `{env: NAME}`, `{credential: NAME}` or `{command: [PROGRAM, …]}`";
    if let Data::Text(text) = &node.data {
        if text.is_empty() {
            return Some(SecretPlace::Inline(Secret::default()));
        }
        reader.error(
            Code::BadValue,
            node.span,
            "a secret does not stand in `lariat.yml`".to_owned(),
            Some(FORMS.to_owned()),
        );
        return None;
    }
    let mut section = reader.mapping(node, "a secret")?;
    let count = section.entries().len();
    let mut found = None;
    if let Some(node) = section.optional("file") {
        found = path(reader, node, scope).map(|path| {
            warn_if_open(reader, node, &scope.project.join(&path));
            SecretPlace::File(path)
        });
    }
    if let Some(node) = section.optional("env") {
        found = name(reader, node, "a variable").map(SecretPlace::Variable);
    }
    if let Some(node) = section.optional("credential") {
        found = name(reader, node, "a credential").map(SecretPlace::Credential);
    }
    if let Some(node) = section.optional("command") {
        found = command(reader, node).map(SecretPlace::Command);
    }
    section.finish(reader, &[]);
    if count != 1 {
        reader.error(
            Code::BadValue,
            node.span,
            format!("a secret stands in one place, this names {count}"),
            Some(FORMS.to_owned()),
        );
        return None;
    }
    found
}

fn name(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<String> {
    let text = reader.string(node)?;
    if text.is_empty() || text.starts_with('.') || text.contains(['/', '=', '\0']) {
        let message = format!("this is not the name of {what}");
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    Some(text.to_owned())
}

fn command(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let items = reader.list(node)?;
    let argv: Vec<String> = items
        .iter()
        .filter_map(|item| reader.string(item).map(str::to_owned))
        .collect();
    if argv.first().is_none_or(String::is_empty) {
        let message = "a command has a program and its arguments".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    (argv.len() == items.len()).then_some(argv)
}

/// A path as it is written. That the file is not there is worth a word only:
/// projects are checked on machines that do not have the secrets.
pub(super) fn path(reader: &mut Reader<'_>, node: &Node, scope: &Scope<'_>) -> Option<PathBuf> {
    let text = reader.string(node)?;
    if text.is_empty() || text.contains('\0') {
        let message = "this is not the path of a file".to_owned();
        reader.error(Code::BadValue, node.span, message, None);
        return None;
    }
    let path = PathBuf::from(text);
    let whole = scope.project.join(&path);
    let is_file = fs_err::metadata(&whole).is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        reader.warning(
            Code::MissingFile,
            node.span,
            format!("there is no file `{}`", whole.display()),
            Some("`lariat serve` needs it; relative paths start at the project".to_owned()),
        );
    }
    Some(path)
}

/// Warns about a secret that every user of the machine can read.
pub(super) fn warn_if_open(reader: &mut Reader<'_>, node: &Node, path: &Path) {
    let Ok(metadata) = fs_err::metadata(path) else {
        return;
    };
    if metadata.permissions().mode() & 0o004 != 0 {
        reader.warning(
            Code::ExposedSecret,
            node.span,
            format!("every user of this machine can read `{}`", path.display()),
            Some(format!("`chmod o-r {}`", path.display())),
        );
    }
}

#[cfg(test)]
mod tests;
