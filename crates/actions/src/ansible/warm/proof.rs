//! The proof that a warm start does what a cold one does: the same playbook is
//! run both ways, and what can be seen of the two is compared.
//!
//! Both go exactly the way that playbooks of steps go, the guard included.
//! Only the clock may make a difference.

use std::{
    mem,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use model::{
    action::{StepContext, StepControl},
    clock::Timestamp,
    event::{Event, EventDraft, Origin, Severity},
    id::JobId,
    job::Exit,
    json::Object,
    ports::{
        OutputSink,
        chain::{FollowUpError, FollowUps},
        task::TaskSink,
    },
    task::TaskEvent,
};
use serde_json::json;
use tokio::sync::watch;

use super::{Shared, lock, seed::Seed, server::Server};
use crate::{
    ansible::{
        cold::{self, Recipe},
        told, vars,
    },
    process::{self, End, Ended},
    settings::ActionSettings,
    step::{self, StepFiles},
};

/// What is run: far from everything that Ansible can do, and something of each
/// part of it that a kept process could get wrong.
pub(super) const CANARY: [(&str, &str); 6] = [
    (
        "canary/canary.yml",
        include_str!("../../../../../ansible/canary/canary.yml"),
    ),
    (
        "canary/filter_plugins/canary.py",
        include_str!("../../../../../ansible/canary/filter_plugins/canary.py"),
    ),
    (
        "canary/roles/canary/defaults/main.yml",
        include_str!("../../../../../ansible/canary/roles/canary/defaults/main.yml"),
    ),
    (
        "canary/roles/canary/handlers/main.yml",
        include_str!("../../../../../ansible/canary/roles/canary/handlers/main.yml"),
    ),
    (
        "canary/roles/canary/tasks/main.yml",
        include_str!("../../../../../ansible/canary/roles/canary/tasks/main.yml"),
    ),
    (
        "canary/roles/canary/templates/canary.j2",
        include_str!("../../../../../ansible/canary/roles/canary/templates/canary.j2"),
    ),
];

/// Directories among them, each before what is in it.
const DIRECTORIES: [&str; 8] = [
    "canary",
    "canary/filter_plugins",
    "canary/roles",
    "canary/roles/canary",
    "canary/roles/canary/defaults",
    "canary/roles/canary/handlers",
    "canary/roles/canary/tasks",
    "canary/roles/canary/templates",
];

/// A run of it takes about a second.
const TIMEOUT: Duration = Duration::from_secs(60);
const OUTPUT: u64 = 1024 * 1024;
/// A difference that does not come again was no difference of the two ways.
const TRIES: usize = 2;

/// Why a server is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// It does something else than a cold start.
    Differs(String),
    /// It could not be compared.
    Failed(String),
}

pub(super) struct Trial<'a> {
    pub(super) shared: &'a Shared,
    pub(super) seed: &'a Seed,
    pub(super) server: &'a Server,
}

impl Trial<'_> {
    pub(super) async fn run(&self) -> Result<(), Unproven> {
        let mut difference = String::new();
        for _ in 0..TRIES {
            let cold = self.observe(None).await.map_err(Unproven::Failed)?;
            if cold.exit != Some(Exit::Code(0)) {
                // Without an end there is nothing to compare with.
                return Err(Unproven::Failed(format!(
                    "the trial playbook does not succeed here when it starts cold: {}",
                    cold.complaint()
                )));
            }
            let warm = self.observe(Some(self.server));
            let warm = warm.await.map_err(Unproven::Failed)?;
            match cold.differs_from(&warm) {
                None => return Ok(()),
                Some(found) => difference = found,
            }
        }
        Err(Unproven::Differs(format!(
            "a warm start is not the same as a cold one here: {difference}"
        )))
    }

    /// Runs it once, one way.
    async fn observe(&self, server: Option<&Server>) -> Result<Observed, String> {
        let settings = &self.shared.settings;
        let context = context(self.seed, settings);
        let files = StepFiles::create(settings, &context)?;
        cold::furnish_bare(&files)?;
        let recipe = self.recipe(&context, &files)?;
        let mut program = recipe.program(&files)?;
        let listener = told::listen_to(&mut program)?;
        let kept = Arc::new(Kept::default());
        // Whoever could stop it stays until it has ended.
        let (_stop, stop) = watch::channel(None);
        let deadline = settings.clock.boot().plus(TIMEOUT * 2);
        let (_deadline, deadline) = watch::channel(deadline);
        let control = StepControl {
            stop,
            deadline,
            output: Arc::clone(&kept) as _,
            follow_ups: Arc::clone(&kept) as _,
            tasks: Arc::clone(&kept) as _,
        };
        let keeper = (&*kept as &dyn TaskSink, &*settings.clock);
        let ended = match server {
            None => {
                let running = process::run(program, &context, control, settings);
                listener.while_running(running, keeper).await
            }
            Some(server) => {
                let pipes = self.shared.fork(server, &program).await?;
                let running = process::run_warm(program, &context, control, settings, pipes);
                listener.while_running(running, keeper).await
            }
        };
        let Ended { end, exit, .. } = ended;
        if end != End::Exited {
            let way = if server.is_some() { "warm" } else { "cold" };
            return Err(format!("its trial playbook, started {way}: {end:?}"));
        }
        let place = files.place();
        Ok(Observed {
            exit,
            lines: kept.lines(&place),
            told: mem::take(&mut lock(&kept.told)),
            result: step::read_result(files.result),
        })
    }

    /// Modules run with the Python that is certainly there: which one Ansible
    /// would find on this machine is the playbooks' affair.
    fn vars(&self) -> Result<Object, String> {
        let python = self.seed.interpreter().map_err(|error| error.to_string())?;
        let python = python.program.display().to_string();
        let name = "ansible_python_interpreter".to_owned();
        Ok(Object::from_iter([(name, python.into())]))
    }

    fn recipe(&self, context: &StepContext, files: &StepFiles) -> Result<Recipe, String> {
        let own = |error: std::io::Error| format!("the files of a trial playbook: {error}");
        for name in DIRECTORIES {
            files.dir.directory(name).map_err(own)?;
        }
        for (name, text) in CANARY {
            files.dir.file(name, text.as_bytes()).map_err(own)?;
        }
        let text = vars::write(context, &self.vars()?).map_err(|error| own(error.into()))?;
        let vars = files.dir.file("vars.yml", text.as_bytes()).map_err(own)?;
        let place = files.place();
        let mut environment = self.seed.environment(&place);
        files.identify(&mut environment, context);
        let program = self.seed.key.program.clone();
        let at = |name: &str| place.join(name).display().to_string();
        Ok(Recipe {
            argv: vec![
                program.display().to_string(),
                "--inventory=localhost,".to_owned(),
                format!("--extra-vars=@{}", vars.display()),
                "--".to_owned(),
                at("canary/canary.yml"),
            ],
            program,
            environment,
            directory: self.seed.key.directory.clone(),
            private: place,
            account: self.seed.account.clone(),
        })
    }
}

/// A step that no rule has.
pub(super) fn context(seed: &Seed, settings: &ActionSettings) -> StepContext {
    let now = settings.clock.now();
    let expect = "a fixed name";
    StepContext {
        job: JobId::generate(),
        attempt: 1,
        step: 0,
        rule: "lariat-warm".parse().expect(expect),
        event: Arc::new(Event {
            id: "lariat-warm".parse().expect(expect),
            topic: "lariat.warm".parse().expect(expect),
            time: now,
            accepted: now,
            source: "lariat".to_owned(),
            severity: Severity::Debug,
            headers: Object::new(),
            body: json!({"text": "{{ 6 * 7 }}", "number": 1.5, "list": ["a", null, true]}),
            origin: Origin::open_http(),
            cause: None,
        }),
        project: seed.key.directory.clone(),
        account: seed.account.clone(),
        timeout: TIMEOUT,
        grace: Duration::from_secs(1),
        output_cap: OUTPUT,
    }
}

/// What can be seen of a run.
#[derive(Debug)]
struct Observed {
    exit: Option<Exit>,
    /// Times are hidden in them.
    lines: Vec<String>,
    /// What our callback plugin told of tasks and hosts.
    told: Vec<String>,
    /// The recap, and what `set_stats` collected.
    result: Result<Option<Object>, String>,
}

impl Observed {
    fn differs_from(&self, warm: &Self) -> Option<String> {
        if self.exit != warm.exit {
            let said = |exit: Option<Exit>| exit.map_or("none".to_owned(), step::describe);
            return Some(format!("{}, not {}", said(warm.exit), said(self.exit)));
        }
        let printed = first_difference(&untimed(&self.lines), &untimed(&warm.lines))
            // Lines with times may stand in the order of these.
            .or_else(|| first_difference(&timed(&self.lines), &timed(&warm.lines)));
        if let Some((cold, warm)) = printed {
            return Some(format!("it printed {warm:?}, not {cold:?}"));
        }
        if let Some((cold, warm)) = first_difference(&self.told, &warm.told) {
            return Some(format!("it told {warm}, not {cold}"));
        }
        (self.result != warm.result)
            .then(|| "its recap or its `set_stats` say something else".to_owned())
    }

    /// What it has to say about its failure.
    fn complaint(&self) -> &str {
        let is_one = |line: &&String| line.contains("fatal:") || line.contains("ERROR");
        let line = self.lines.iter().find(is_one).or(self.lines.last());
        line.map_or("it prints nothing", String::as_str)
    }
}

const TIME: char = '#';

fn untimed(lines: &[String]) -> Vec<String> {
    let lines = lines.iter().filter(|line| !line.contains(TIME));
    lines.cloned().collect()
}

fn timed(lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines
        .iter()
        .filter(|line| line.contains(TIME))
        .cloned()
        .collect();
    lines.sort();
    lines
}

fn first_difference(cold: &[String], warm: &[String]) -> Option<(String, String)> {
    let longest = cold.len().max(warm.len());
    (0..longest)
        .map(|at| {
            let line =
                |lines: &[String]| lines.get(at).map_or("nothing", String::as_str).to_owned();
            (line(cold), line(warm))
        })
        .find(|(cold, warm)| cold != warm)
}

/// Keeps what a run says.
#[derive(Debug, Default)]
struct Kept {
    output: Mutex<Vec<u8>>,
    told: Mutex<Vec<String>>,
}

impl Kept {
    fn lines(&self, place: &Path) -> Vec<String> {
        let text = String::from_utf8_lossy(&lock(&self.output)).into_owned();
        let text = text.replace(place.to_string_lossy().as_ref(), "PRIVATE");
        text.lines().map(mask).collect()
    }
}

/// Hides times: numbers with a point or a colon in them.
fn mask(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut number = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_digit() || (matches!(c, '.' | ':') && !number.is_empty()) {
            number.push(c);
            continue;
        }
        let digits = number.trim_end_matches(['.', ':']);
        if digits.contains(['.', ':']) {
            masked.push(TIME);
            masked.push_str(number.get(digits.len()..).unwrap_or_default());
        } else {
            masked.push_str(&number);
        }
        number.clear();
        masked.push(c);
    }
    masked.truncate(masked.trim_end().len());
    masked
}

#[async_trait]
impl OutputSink for Kept {
    async fn write(&self, bytes: Vec<u8>) {
        lock(&self.output).extend(bytes);
    }
}

#[async_trait]
impl TaskSink for Kept {
    async fn tell(&self, events: Vec<(Timestamp, TaskEvent)>) {
        let lines = events.into_iter().filter_map(|(_, event)| match event {
            // Ansible counts plays and tasks differently in each process.
            TaskEvent::Play(_) | TaskEvent::Task(_) => None,
            TaskEvent::Result(result) => Some(format!(
                "{} {} handler {} {:?} censored {} {:?}",
                result.host,
                result.status,
                result.handler,
                result.message.as_deref().map(mask),
                result.censored,
                result.items
            )),
            TaskEvent::Recap(recap) => Some(format!("{recap:?}")),
            TaskEvent::LeftOut { count } => Some(format!("{count} left out")),
        });
        lock(&self.told).extend(lines);
    }
}

#[async_trait]
impl FollowUps for Kept {
    async fn follow_up(&self, _: EventDraft) -> Result<(), FollowUpError> {
        // A playbook has no way to ask for one.
        Ok(())
    }
}

#[cfg(test)]
mod tests;
