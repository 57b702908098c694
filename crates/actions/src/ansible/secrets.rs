//! Secrets of a playbook step: read when it begins, handed to Ansible in
//! private files, and gone with them.
//!
//! A secret is never an argument and never in the environment: both can be
//! read by others, and tasks see the environment.

use std::{fmt, io::Read, path::Path, time::Duration};

use model::{
    action::{PlaybookCall, StepContext},
    playbook::SecretPlace,
};

use crate::{process, settings::ActionSettings};

/// How long a command may think about a secret.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a secret.
const LARGEST: u64 = 64 * 1024;

/// What the secrets of a step say.
#[derive(Default)]
pub(super) struct Secrets {
    /// By vault id, in the order of the rule.
    pub(super) vault: Vec<(String, Vec<u8>)>,
    pub(super) private_key: Option<Vec<u8>>,
    pub(super) connection_password: Option<Vec<u8>>,
    pub(super) become_password: Option<Vec<u8>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

/// Reads all of them. `Err` says which cannot be read, and why.
pub(super) async fn read(
    call: &PlaybookCall,
    context: &StepContext,
    settings: &ActionSettings,
) -> Result<Secrets, String> {
    let from = Places {
        project: &context.project,
        settings,
    };
    let mut secrets = Secrets::default();
    for identity in &call.vault {
        let what = format!("vault secret `{}`", identity.id);
        let bytes = from.read(&what, &identity.secret).await?;
        secrets.vault.push((identity.id.clone(), bytes));
    }
    let optional = [
        (
            "private key",
            &call.connection.private_key,
            &mut secrets.private_key,
        ),
        (
            "connection password",
            &call.connection.password,
            &mut secrets.connection_password,
        ),
        (
            "become password",
            &call.escalation.password,
            &mut secrets.become_password,
        ),
    ];
    for (what, place, read) in optional {
        if let Some(place) = place {
            *read = Some(from.read(what, place).await?);
        }
    }
    Ok(secrets)
}

/// Where secrets are read from.
struct Places<'a> {
    project: &'a Path,
    settings: &'a ActionSettings,
}

impl Places<'_> {
    async fn read(&self, what: &str, place: &SecretPlace) -> Result<Vec<u8>, String> {
        let bytes = match place {
            SecretPlace::File(path) => {
                let mut bytes = Vec::new();
                fs_err::File::open(path)
                    .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
                    .map_err(|error| format!("{what}: {error}"))?;
                bytes
            }
            SecretPlace::Variable(name) => match (self.settings.variable)(name) {
                Some(value) => value.into_bytes(),
                None => {
                    return Err(format!(
                        "{what}: the variable `{name}` is not set, or is not UTF-8"
                    ));
                }
            },
            SecretPlace::Command(argv) => process::answer(argv, self.project, PATIENCE)
                .await
                .map_err(|error| {
                    let program = argv.first().map_or("", String::as_str);
                    format!("{what}: `{program}`: {error}")
                })?,
        };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
            return Err(format!("{what}: it has more than 64 KiB"));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(format!("{what}: it is empty"));
        }
        Ok(bytes)
    }
}

/// A key is read by lines; the last one ends too.
pub(super) fn with_line_end(mut key: Vec<u8>) -> Vec<u8> {
    if !key.ends_with(b"\n") {
        key.push(b'\n');
    }
    key
}
