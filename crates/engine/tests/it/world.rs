//! What happens outside of the process: an action that does what its command
//! says, and a record of everything that ever ran, which outlives a crash.
//!
//! Commands: `ok`, `work MILLIS`, `flaky N` (fails the first N attempts),
//! `late MILLIS` (works, and fails at the end of the first attempt),
//! `fail`, `refuse` (fails for good), `hang`, `deaf` (does not hear a stop),
//! `panic`, `result N` (gives `{"step": N}`), `echo TEXT`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    action::{StepCall, StepContext, StepControl, StepReport, Stop},
    clock::Clock,
    diagnostic::{Diagnostic, Level},
    id::{EventId, JobId},
    job::{Exit, Outcome, Retry, StepKind},
    json::Object,
    ports::Action,
};

/// One run of one step.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) job: JobId,
    pub(crate) event: EventId,
    pub(crate) attempt: u32,
    pub(crate) step: usize,
    pub(crate) argv: Vec<String>,
    pub(crate) account: Option<String>,
    pub(crate) timeout: Duration,
    /// Of jobs whose rule is called `keyed`.
    pub(crate) key: Option<String>,
    /// On the boot clock, in milliseconds.
    pub(crate) started: i64,
    /// Absent while something of it lives.
    pub(crate) ended: Option<i64>,
    /// It did all that it was to do.
    pub(crate) is_done: bool,
    /// What it was told to stop for.
    pub(crate) told: Option<Stop>,
}

/// Everything that ever ran.
pub(crate) struct World {
    clock: Arc<dyn Clock>,
    runs: Mutex<Vec<Run>>,
    overlaps: Mutex<Vec<String>>,
}

impl World {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            runs: Mutex::new(Vec::new()),
            overlaps: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.runs.lock().unwrap().clone()
    }

    pub(crate) fn running(&self) -> usize {
        let runs = self.runs.lock().unwrap();
        runs.iter().filter(|run| run.ended.is_none()).count()
    }

    /// Two attempts of one job, or two jobs of one key, at the same time.
    pub(crate) fn overlaps(&self) -> Vec<String> {
        self.overlaps.lock().unwrap().clone()
    }

    fn begin(&self, run: Run) -> usize {
        let mut runs = self.runs.lock().unwrap();
        for other in runs.iter().filter(|other| other.ended.is_none()) {
            let same_key = other.key.is_some() && other.key == run.key;
            if other.job == run.job || same_key {
                let text = format!("{}/{} beside {}", run.job, run.attempt, other.attempt);
                self.overlaps.lock().unwrap().push(text);
            }
        }
        runs.push(run);
        runs.len() - 1
    }

    fn change(&self, index: usize, how: impl FnOnce(&mut Run)) {
        how(&mut self.runs.lock().unwrap()[index]);
    }
}

/// Dies with its worker, as a guard sees to it.
struct Guard {
    world: Arc<World>,
    index: usize,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let now = self.world.clock.boot().millis;
        self.world.change(self.index, |run| {
            run.ended = Some(now);
        });
    }
}

/// Does what a command says, in the world.
pub(crate) struct ScriptedAction {
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl Action for ScriptedAction {
    fn kind(&self) -> StepKind {
        StepKind::Command
    }

    async fn run(&self, call: StepCall, context: StepContext, control: StepControl) -> StepReport {
        let StepCall::Command(command) = call else {
            panic!("only commands come here");
        };
        let StepControl {
            mut stop,
            mut deadline,
            output,
            tasks: _,
            follow_ups: _,
        } = control;
        let body = &context.event.body;
        let index = self.world.begin(Run {
            job: context.job.clone(),
            event: context.event.id.clone(),
            attempt: context.attempt,
            step: context.step,
            argv: command.argv.clone(),
            account: context
                .account
                .as_ref()
                .map(|account| account.name.to_string()),
            timeout: context.timeout,
            key: (context.rule.as_str() == "keyed").then(|| body["key"].to_string()),
            started: self.world.clock.boot().millis,
            ended: None,
            is_done: false,
            told: None,
        });
        let guard = Guard {
            world: Arc::clone(&self.world),
            index,
        };
        let verb = command.argv[0].as_str();
        let argument = command.argv.get(1).cloned().unwrap_or_default();
        output
            .write(format!("{}\n", command.argv.join(" ")).into_bytes())
            .await;
        let works = async {
            match verb {
                "work" | "late" => {
                    testkit::clock::let_pass(Duration::from_millis(argument.parse().unwrap())).await
                }
                "hang" | "deaf" => std::future::pending().await,
                "panic" => panic!("as the script says"),
                _ => {}
            }
        };
        let stopped = async {
            if verb == "deaf" {
                std::future::pending::<()>().await;
            }
            let seen = stop.wait_for(Option::is_some).await.unwrap().clone();
            seen.unwrap()
        };
        // The guard's own clock: it needs nobody to be told.
        let overdue = async {
            loop {
                let until = deadline.borrow_and_update().clone();
                let now = self.world.clock.boot();
                if until.has_passed(&now) {
                    return;
                }
                let left = u64::try_from(until.millis - now.millis).unwrap();
                tokio::select! {
                    () = testkit::clock::let_pass(Duration::from_millis(left)) => {}
                    Ok(()) = deadline.changed() => {}
                }
            }
        };
        let told = tokio::select! {
            biased;
            () = works => None,
            why = stopped => Some(why),
            () = overdue => Some(Stop::LeaseLost),
        };
        drop(guard);
        let is_done = told.is_none();
        self.world.change(index, |run| {
            run.told.clone_from(&told);
            run.is_done = is_done;
        });
        match told {
            Some(Stop::Cancel(by)) => report(Outcome::Cancelled { by }, Some(Exit::Signal(15))),
            Some(Stop::LeaseLost) => report(
                Outcome::Failed {
                    exit: Some(Exit::Signal(9)),
                    summary: "killed".to_owned(),
                    retry: Retry::Worthwhile,
                },
                Some(Exit::Signal(9)),
            ),
            None => finished(verb, &argument, context.attempt),
        }
    }

    async fn preflight(&self) -> Vec<Diagnostic> {
        vec![Diagnostic::without_place(
            Level::Note,
            "scripted",
            "commands are scripted here".to_owned(),
        )]
    }
}

fn finished(verb: &str, argument: &str, attempt: u32) -> StepReport {
    let failed = |retry: Retry| {
        let exit = Some(Exit::Code(2));
        let summary = "exit code 2".to_owned();
        report(
            Outcome::Failed {
                exit,
                summary,
                retry,
            },
            exit,
        )
    };
    let succeeded = || {
        report(
            Outcome::Succeeded {
                summary: "exit code 0".to_owned(),
            },
            Some(Exit::Code(0)),
        )
    };
    match verb {
        "fail" => failed(Retry::Worthwhile),
        "refuse" => failed(Retry::Pointless),
        "flaky" if attempt <= argument.parse().unwrap() => failed(Retry::Worthwhile),
        "late" if attempt == 1 => failed(Retry::Worthwhile),
        "result" => {
            let mut result = Object::new();
            result.insert("step".to_owned(), argument.parse::<i64>().unwrap().into());
            StepReport {
                result: Some(result),
                ..succeeded()
            }
        }
        _ => succeeded(),
    }
}

fn report(outcome: Outcome, exit: Option<Exit>) -> StepReport {
    StepReport {
        outcome,
        exit,
        result: None,
    }
}
