//! Whether this machine has what the service and its steps need beside the
//! project's listing: files with secrets, programs, directories of collections,
//! the listener's certificate, a place for the store, and a token where other
//! machines can reach it.
//!
//! What would end `lariat serve` as a wrong configuration is an error here.
//! What may be handed over later, or is on another machine, is a warning.

use std::{io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

use api::TlsError;
use model::{
    account::Grants,
    diagnostic::{Diagnostic, Level},
    ports::ProjectText,
};
use rules::{Code, Doubt, Need};
use store::SqliteStore;

use crate::{
    config::{self, Config, Environment},
    failure::cannot_find,
};

/// Bytes of a secret.
const LARGEST_SECRET: u64 = 64 * 1024;
/// Everybody may read it.
const OTHERS_READ: u32 = 0o004;
const NEEDED: &str = "the step needs it when it runs";

/// All of it; `root` is the project, canonical.
pub(super) async fn doubts(
    (root, text): (&Path, &ProjectText),
    (config, grants): (&Config, &Grants),
    environment: &Environment,
) -> Vec<Diagnostic> {
    let path = environment.path.as_deref();
    let mut findings = rules::needs(text, &|need| match need {
        Need::Secret(file) => secret(Path::new(file)),
        Need::Program(name) => program((root, path), name),
        Need::Collections(path) => collections(root, path),
    });
    findings.extend(certificate(root, config));
    let store = config.store.path(root);
    match store.parent().filter(|directory| !directory.is_dir()) {
        Some(directory) => findings.push(of_config(
            Level::Error,
            Code::MissingFile,
            format!(
                "there is no directory `{}` for the store",
                directory.display()
            ),
            Some("create it, or write another `store`".to_owned()),
        )),
        None => findings.extend(openness(&store, (config, grants)).await),
    }
    findings
}

fn secret(path: &Path) -> Option<Doubt> {
    let shown = path.display();
    let missing = |message: String| {
        Some(Doubt {
            code: Code::MissingFile,
            message,
            hint: Some(NEEDED.to_owned()),
        })
    };
    let found = match fs_err::File::open(path).and_then(|file| file.metadata()) {
        Ok(found) => found,
        Err(error) => return missing(cannot_find(path, &error).to_string()),
    };
    if !found.is_file() || found.len() > LARGEST_SECRET {
        return missing(format!("`{shown}` is not a file of at most 64 KiB"));
    }
    if found.len() == 0 {
        return missing(format!("the secret in `{shown}` is empty"));
    }
    let is_open = found.permissions().mode() & OTHERS_READ != 0;
    is_open.then(|| Doubt {
        code: Code::ExposedSecret,
        message: format!("every user of this machine can read `{shown}`"),
        hint: Some(format!("`chmod o-r {shown}`")),
    })
}

fn program((root, path): (&Path, Option<&str>), name: &str) -> Option<Doubt> {
    let search = path.unwrap_or(actions::DEFAULT_PATH);
    let why = actions::find_program(root, search, name).err()?;
    Some(Doubt {
        code: Code::MissingFile,
        message: format!("this command cannot run here: {why}"),
        hint: None,
    })
}

/// What `path` is in the project; without it the step is `unstartable`.
fn collections(root: &Path, path: &str) -> Option<Doubt> {
    let message = match fs_err::canonicalize(root.join(path)) {
        Ok(found) if !found.starts_with(root) => {
            format!("`{path}` leads out of the project through a symbolic link")
        }
        Ok(found) if !found.is_dir() => format!("`{path}` is not a directory"),
        Ok(_) => return None,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("there is no directory `{path}` in the project")
        }
        Err(error) => format!("`{path}` cannot be reached: {error}"),
    };
    Some(Doubt {
        code: Code::MissingFile,
        message,
        hint: Some(NEEDED.to_owned()),
    })
}

fn certificate(root: &Path, config: &Config) -> Option<Diagnostic> {
    let error = config.listen_tls.as_ref()?.open(root).err()?;
    let level = match &error {
        // Said already, where the file is named.
        TlsError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
            return None;
        }
        TlsError::Unreadable { .. } => Level::Warning,
        TlsError::NotPem { .. }
        | TlsError::NoCertificate { .. }
        | TlsError::OpenKey { .. }
        | TlsError::Unusable { .. } => Level::Error,
    };
    let hint = match &error {
        TlsError::Unreadable { .. } => Some("`lariat serve` needs it when it starts".to_owned()),
        // It says what to do.
        TlsError::OpenKey { .. } => None,
        TlsError::NotPem { .. } | TlsError::NoCertificate { .. } | TlsError::Unusable { .. } => {
            Some(super::TLS_HINT.to_owned())
        }
    };
    let message = format!(
        "`listen_tls` cannot be used: {:#}",
        anyhow::Error::from(error)
    );
    Some(of_config(level, Code::BadValue, message, hint))
}

/// Other machines can reach what does not listen on a loopback address, every
/// user of this one what does, and without a token these could do everything.
async fn openness(store: &Path, (config, grants): (&Config, &Grants)) -> Option<Diagnostic> {
    let address = config.listen;
    let (who, remedy) = if !api::is_loopback(&address) {
        (
            format!("other machines can reach `{address}`"),
            "; or listen on a loopback address, such as `127.0.0.1:8470`",
        )
    } else if !grants.is_empty() {
        let file = grants.source().display();
        (format!("`{file}` grants accounts"), "")
    } else {
        return None;
    };
    let why = if !store.exists() {
        "there is no store yet, so there is no token"
    } else if SqliteStore::has_tokens(store).await? {
        return None;
    } else {
        "its store has no token"
    };
    Some(of_config(
        Level::Warning,
        Code::OpenToAll,
        format!("{who}, and {why}: `lariat serve` will not start so"),
        Some(format!(
            "`lariat token create --role admin --name NAME` makes the first one{remedy}"
        )),
    ))
}

/// About `lariat.yml`, and no place in it.
fn of_config(level: Level, code: Code, message: String, hint: Option<String>) -> Diagnostic {
    Diagnostic {
        file: config::FILE.to_owned(),
        hint,
        ..Diagnostic::without_place(level, code.as_str(), message)
    }
}
