//! ansible-rulebook with its own webhook source and a rule that runs the
//! playbook, from a private environment and with the machine's Java.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{super::client::Client, PLAYBOOK, moment, now, wait};
use crate::{
    run::{find, target},
    services,
};

pub(super) struct Rulebook {
    /// Of the environment.
    bin: PathBuf,
    java: PathBuf,
    pub(super) version: String,
}

/// Installs it where it is not. `Err`: why it cannot be measured here.
pub(super) fn provide() -> Result<Rulebook> {
    let java = find("java").context("this machine has no Java")?;
    let java = fs_err::canonicalize(java)?;
    let java = java.ancestors().nth(2).context("Java has no home")?;
    let (directory, version) = services::rulebook()?;
    Ok(Rulebook {
        bin: directory.join("bin"),
        java: java.to_owned(),
        version,
    })
}

impl Rulebook {
    pub(super) fn ansible_playbook(&self) -> PathBuf {
        self.bin.join("ansible-playbook")
    }

    /// With a project of its own, listening.
    pub(super) fn start(&self, playbook: &str, options: &[&str]) -> Result<Running> {
        let directory = tempfile::tempdir_in(target())?;
        let at = directory.path();
        // Taken by somebody else at worst: then it does not start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let rulebook = format!(
            "- name: bench\n  hosts: all\n  sources:\n    - eda.builtin.webhook:\n        \
             host: 127.0.0.1\n        port: {port}\n  rules:\n    - name: bench\n      \
             condition: event.payload.number is defined\n      \
             action:\n        run_playbook: {{name: {PLAYBOOK}}}\n"
        );
        fs_err::write(at.join("rulebook.yml"), rulebook)?;
        fs_err::write(at.join("hosts"), "localhost ansible_connection=local\n")?;
        fs_err::write(at.join(PLAYBOOK), playbook)?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new(self.bin.join("ansible-rulebook"))
            .args(["--rulebook", "rulebook.yml", "--inventory", "hosts"])
            .args(options)
            .current_dir(at)
            .env("PATH", format!("{}:{path}", self.bin.display()))
            .env("JAVA_HOME", &self.java)
            .env("ANSIBLE_NOCOLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start ansible-rulebook")?;
        let said = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        keep(stdout, Arc::clone(&said));
        keep(stderr, Arc::clone(&said));
        let mut running = Running {
            child,
            said,
            directory,
            address: format!("127.0.0.1:{port}"),
            count: 0,
        };
        running.until_it_listens()?;
        Ok(running)
    }
}

fn keep(from: impl std::io::Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut said = into.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
}

pub(super) struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    directory: TempDir,
    address: String,
    count: usize,
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    fn until_it_listens(&mut self) -> Result<()> {
        let (address, said) = (self.address.clone(), Arc::clone(&self.said));
        wait("ansible-rulebook", || {
            if let Some(status) = self.child.try_wait()? {
                let said = said.lock().unwrap_or_else(PoisonError::into_inner);
                bail!("ansible-rulebook ended with {status}: {said}");
            }
            Ok(TcpStream::connect(&address).is_ok())
        })
    }

    pub(super) fn send(&mut self, count: usize) -> Result<()> {
        let mut client = Client::connect(&self.address)?;
        for _ in 0..count {
            self.count += 1;
            let body = format!(r#"{{"number":{}}}"#, self.count);
            client.post("/endpoint", &body)?;
        }
        Ok(())
    }

    pub(super) fn until_ended(&self, count: usize) -> Result<()> {
        wait("the end of the playbooks", || {
            let said = self.said();
            if said.contains("fatal:") {
                bail!("a playbook failed: {said}");
            }
            Ok(said.matches("PLAY RECAP").count() >= count)
        })
    }

    /// Seconds from sending an event until its playbook's task ran.
    pub(super) fn start_one(&mut self) -> Result<f64> {
        let begun = now()?;
        self.send(1)?;
        self.until_ended(self.count)?;
        Ok(moment(&self.said())? - begun)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It leaves its playbooks running.
        super::processes::end_all(self.child.id());
        let stopped = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = stopped {
            eprintln!("ansible-rulebook could not be stopped: {error}");
        }
    }
}
