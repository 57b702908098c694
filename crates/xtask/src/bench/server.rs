//! A `lariat serve` of the release build on a project made for measuring.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::run::target;

/// The topic of what is sent.
const TOPIC: &str = "org.example.prod.compose.status";

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(project: &TempDir) -> Result<Self> {
        let mut child = Command::new(target().join("release/lariat"))
            .args(["serve", "--listen", "127.0.0.1:0", "--project"])
            .arg(project.path())
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start lariat")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line?;
            if let Some(url) = line.strip_prefix("listening on http://") {
                let address = url.trim().to_owned();
                std::thread::spawn(move || {
                    for line in lines.map_while(Result::ok) {
                        eprintln!("{line}");
                    }
                });
                return Ok(Self { child, address });
            }
            eprintln!("{line}");
        }
        bail!("lariat ended before it listened")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = stopped {
            eprintln!("the server could not be stopped: {error}");
        }
    }
}

/// A project to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec<'a> {
    /// Rules that there are.
    pub(crate) rules: usize,
    /// How many of them look at the topic that is sent.
    pub(crate) about_it: usize,
    /// What those ask of an event beside its status and number.
    pub(crate) also: &'a str,
    /// What they run.
    pub(crate) command: &'a str,
    /// Further lines of `lariat.yml`.
    pub(crate) config: &'a str,
}

/// A project with `count` rules, of which `firing` match what [`event`] makes.
/// The first job sleeps and the others wait for it: what is measured is intake
/// alone.
pub(crate) fn project(count: usize, firing: usize) -> Result<TempDir> {
    project_of(&Spec {
        rules: count,
        about_it: firing,
        also: "",
        command: "sleep, \"86400\"",
        config: "",
    })
}

pub(crate) fn project_of(spec: &Spec<'_>) -> Result<TempDir> {
    let Spec {
        rules: count,
        about_it,
        also,
        command,
        config,
    } = spec;
    let dir = tempfile::tempdir_in(target())?;
    let common = "store: sqlite:lariat.db\nworkers: {concurrency: 1}\nlimits: {queue: 10000000}\n";
    write(dir.path(), "lariat.yml", &format!("{common}{config}"))?;
    let mut rules = vec!["rules:\n".to_owned()];
    for number in 0..*count {
        let is_about_it = number < *about_it;
        let status = if is_about_it { "FINISHED" } else { "DOOMED" };
        let also = if is_about_it { also } else { "" };
        // As on a bus with many applications: most rules are about the topics
        // of one, some look at everything and decide by content.
        let topic = if is_about_it {
            TOPIC.to_owned()
        } else if number % 20 == 0 {
            "org.example.#".to_owned()
        } else {
            format!("org.example.prod.app{}.#", number % 100)
        };
        rules.push(format!(
            "  - name: rule-{number}\n    on: {topic}\n    \
             when: event.body.status == '{status}' and event.body.number >= {number}{also}\n    \
             run: {{command: [{command}]}}\n"
        ));
    }
    write(dir.path(), "rules/bench.yml", &rules.concat())?;
    Ok(dir)
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    Ok(fs_err::write(path, text)?)
}

/// One event of about 1 KiB.
pub(crate) fn event(id: &str) -> String {
    let padding = "x".repeat(800);
    format!(
        r#"{{"id":"{id}","topic":"{TOPIC}","body":{{"status":"FINISHED","number":5000,"release":"f43","padding":"{padding}"}}}}"#
    )
}
