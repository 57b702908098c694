//! A `lariat serve` of the release build on a project made for measuring.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::run::target;

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

/// A project with `count` rules, of which `firing` match what [`event`] makes.
/// The first job sleeps and the others wait for it: what is measured is intake
/// alone.
pub(crate) fn project(count: usize, firing: usize) -> Result<TempDir> {
    let dir = tempfile::tempdir_in(target())?;
    write(
        dir.path(),
        "lariat.yml",
        "store: sqlite:lariat.db\nworkers: {concurrency: 1}\nlimits: {queue: 10000000}\n",
    )?;
    let mut rules = vec!["rules:\n".to_owned()];
    for number in 0..count {
        let status = if number < firing {
            "FINISHED"
        } else {
            "DOOMED"
        };
        // As on a bus with many applications: most rules are about the topics
        // of one, some look at everything and decide by content.
        let topic = if number < firing {
            "org.example.prod.compose.status".to_owned()
        } else if number % 20 == 0 {
            "org.example.#".to_owned()
        } else {
            format!("org.example.prod.app{}.#", number % 100)
        };
        rules.push(format!(
            "  - name: rule-{number}\n    on: {topic}\n    \
             when: event.body.status == '{status}' and event.body.number >= {number}\n    \
             run: {{command: [sleep, \"86400\"]}}\n"
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
        r#"{{"id":"{id}","topic":"org.example.prod.compose.status","body":{{"status":"FINISHED","number":5000,"release":"f43","padding":"{padding}"}}}}"#
    )
}
