//! What all kinds of steps have in common: their private files, the variables
//! that tell them who they are, and how an end becomes an outcome.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{
    account::Account,
    action::{StepContext, StepReport},
    job::{Exit, Outcome, Retry},
    json::Object,
};
use nix::sys::signal::Signal;

use crate::{
    process::{End, Ended},
    run_dir::{ResultFile, RunDir},
    settings::ActionSettings,
};

/// The files of a running step. They are removed when this is dropped.
#[derive(Debug)]
pub(crate) struct StepFiles {
    pub(crate) dir: RunDir,
    /// The event as JSON.
    pub(crate) event: PathBuf,
    pub(crate) result: ResultFile,
    /// Who the step runs as, if it is not the service's user.
    account: Option<Arc<Account>>,
}

impl StepFiles {
    pub(crate) fn create(settings: &ActionSettings, context: &StepContext) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the step's private files: {error}");
        let dir = RunDir::create(settings, context.account.as_deref())?;
        let json = serde_json::to_vec(context.event.as_ref()).map_err(io::Error::from);
        let mut json = json.map_err(failed)?;
        json.push(b'\n');
        let event = dir.file("event.json", &json).map_err(failed)?;
        let result = ResultFile::create(settings).map_err(failed)?;
        Ok(Self {
            dir,
            event,
            result,
            account: context.account.clone(),
        })
    }

    /// What the program writes its result to.
    pub(crate) fn result_descriptor(&self) -> Result<OwnedFd, String> {
        let descriptor = self.result.descriptor();
        descriptor.map_err(|error| format!("the step's private files: {error}"))
    }

    /// The private directory, as the program sees it.
    pub(crate) fn place(&self) -> PathBuf {
        let place = self.event.parent();
        place.map_or_else(PathBuf::new, Path::to_owned)
    }

    /// The home directory of whom the step runs as.
    pub(crate) fn home<'a>(&'a self, settings: &'a ActionSettings) -> &'a Path {
        match &self.account {
            Some(account) => &account.user.home,
            None => &settings.home,
        }
    }

    /// The clean environment of a step, before what the step itself adds.
    pub(crate) fn environment(&self, settings: &ActionSettings) -> BTreeMap<String, String> {
        let home = self.home(settings).display().to_string();
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), settings.path.clone()),
            ("HOME".to_owned(), home),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        environment.extend(settings.environment.clone());
        if let Some(account) = &self.account {
            for name in ["USER", "LOGNAME"] {
                environment.insert(name.to_owned(), account.user.name.clone());
            }
            environment.extend(account.env.clone());
        }
        environment
    }

    /// Who the step is. Set last: nothing may pretend to be another job.
    pub(crate) fn identify(
        &self,
        environment: &mut BTreeMap<String, String>,
        context: &StepContext,
    ) {
        let event_file = self.event.display().to_string();
        for (name, value) in [
            ("LARIAT_JOB", context.job.to_string()),
            ("LARIAT_ATTEMPT", context.attempt.to_string()),
            ("LARIAT_RULE", context.rule.to_string()),
            ("LARIAT_EVENT_ID", context.event.id.to_string()),
            ("LARIAT_EVENT_FILE", event_file),
        ] {
            environment.insert(name.to_owned(), value);
        }
    }
}

/// The report of a step that cannot be started.
pub(crate) fn unstartable(reason: String) -> StepReport {
    StepReport {
        outcome: Outcome::Unstartable { reason },
        exit: None,
        result: None,
    }
}

/// The report of a step that did not end by itself. `None`: it did.
pub(crate) fn interrupted(ended: &Ended, context: &StepContext) -> Option<StepReport> {
    let failed = |summary: String| Outcome::Failed {
        exit: ended.exit,
        summary,
        retry: Retry::Worthwhile,
    };
    let outcome = match &ended.end {
        End::Exited => return None,
        End::Unstartable { reason } => Outcome::Unstartable {
            reason: reason.clone(),
        },
        End::TimedOut { killed } => Outcome::TimedOut {
            after: context.timeout,
            killed: *killed,
        },
        End::Cancelled { by } => Outcome::Cancelled { by: by.clone() },
        End::LeaseLost => failed("killed: the lease of the job was lost".to_owned()),
        End::Expired => failed("killed: the lease of the job was not renewed in time".to_owned()),
        End::GuardLost { how, survivors: 0 } => failed(format!(
            "the guard of the step ended {how}; nothing was left running"
        )),
        End::GuardLost { how, survivors } => failed(format!(
            "the guard of the step ended {how}; processes it left were killed: {survivors}"
        )),
    };
    Some(StepReport {
        outcome,
        exit: ended.exit,
        result: None,
    })
}

/// How a process ended, in words.
pub(crate) fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!(
                "ended by signal {number} ({})",
                signal.as_str().trim_start_matches("SIG")
            ),
            Err(_) => format!("ended by signal {number}"),
        },
    }
}

/// What was written to the result descriptor, or why it counts for nothing.
pub(crate) fn read_result(result: ResultFile) -> Result<Option<Object>, String> {
    let bytes = match result.read() {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err("its result is longer than 1 MiB and was not kept".to_owned()),
        Err(error) => return Err(format!("its result cannot be read: {error}")),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(serde_json::Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err("its result is not a JSON object and was not kept".to_owned()),
        Err(error) => Err(format!("its result is not JSON and was not kept: {error}")),
    }
}
