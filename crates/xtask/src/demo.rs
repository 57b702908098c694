//! `cargo xtask demo`: the main job, on a real project, with real Ansible.

use std::{
    io::{BufRead, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    run::{run_with, target, workspace},
    services,
};

/// The example that is shown, and the address that its README names.
const EXAMPLE: &str = "examples/demo";
const ADDRESS: &str = "127.0.0.1:8470";

pub(crate) fn demo() -> Result<()> {
    let ansible = services::any_ansible()?;
    say("building lariat");
    run_with(
        Command::new(env!("CARGO")).args(["build", "--locked", "--quiet", "--bin", "lariat"]),
    )?;
    let project = target().join("demo");
    copy_project(&workspace().join(EXAMPLE), &project)?;
    let demo = Demo::start(&project, &ansible)?;
    let shown = demo.show();
    let stopped = demo.stop(shown.is_ok());
    shown.and(stopped)
}

fn say(text: &str) {
    let is_plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if is_plain {
        println!("\n# {text}");
    } else {
        println!("\n\x1b[1m# {text}\x1b[0m");
    }
}

struct Demo {
    server: Child,
    url: String,
    path: std::ffi::OsString,
}

impl Demo {
    fn start(project: &Path, ansible: &Path) -> Result<Self> {
        // The demo's Ansible comes first, so that a private one is found.
        let bin = ansible.parent().unwrap_or(Path::new("/"));
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            std::iter::once(bin.to_owned()).chain(std::env::split_paths(&rest)),
        )?;
        let taken = std::net::TcpListener::bind(ADDRESS).is_err();
        let listen = if taken { "127.0.0.1:0" } else { ADDRESS };
        say(&format!("lariat serve --project {}", project.display()));
        let mut server = Command::new(binary())
            .args(["serve", "--listen", listen, "--project"])
            .arg(project)
            .env("PATH", &path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let stderr = server.stderr.take().context("the server has no stderr")?;
        match wait_for_address(stderr) {
            Ok(url) => Ok(Self { server, url, path }),
            Err(error) => {
                server.kill()?;
                server.wait()?;
                Err(error)
            }
        }
    }

    fn show(&self) -> Result<()> {
        self.lariat(&[
            "publish",
            "org.example.build.finished",
            r#"{"package": "kernel", "status": "ok", "release": "f43"}"#,
            "--id",
            "demo-build-1",
            "--wait",
        ])?;
        say("A failed build matches another rule, whose playbook fails once and is retried");
        self.lariat(&[
            "publish",
            "org.example.build.finished",
            r#"{"package": "mutt", "status": "failed", "release": "f43"}"#,
            "--id",
            "demo-build-2",
            "--wait",
        ])?;
        say("Why did the rules fire, or not?");
        self.lariat(&["explain", "demo-build-1"])?;
        say("The same event again makes nothing new");
        self.lariat(&[
            "publish",
            "org.example.build.finished",
            r#"{"package": "kernel", "status": "ok", "release": "f43"}"#,
            "--id",
            "demo-build-1",
            "--json",
        ])?;
        say("The history");
        self.lariat(&["events", "list"])?;
        self.lariat(&["jobs", "list"])
    }

    fn lariat(&self, args: &[&str]) -> Result<()> {
        println!("\n$ lariat {}", args.join(" "));
        run_with(
            Command::new(binary())
                .args(args)
                .env("LARIAT_URL", &self.url)
                .env("PATH", &self.path)
                .stdin(Stdio::null()),
        )
    }

    /// Waits for a person who is there, then stops the server.
    fn stop(mut self, went_well: bool) -> Result<()> {
        if went_well {
            say(&format!("Open {} in a browser", self.url));
            println!("The project is in {}", target().join("demo").display());
            if std::io::stdin().is_terminal() {
                println!("Press Enter here, or Ctrl-C, to stop.");
                std::io::stdin().lock().read_line(&mut String::new())?;
            } else {
                println!("Nobody is at the keyboard: stopping now.");
            }
        }
        let pid = i32::try_from(self.server.id()).context("process id")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let status = self.server.wait()?;
        if went_well && !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

/// Passes the server's talk on, from the line that names its address.
fn wait_for_address(stderr: impl Read + Send + 'static) -> Result<String> {
    let mut lines = BufReader::new(stderr);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            bail!("the server ended before it listened");
        }
        eprint!("{line}");
        if let Some(url) = line.trim().strip_prefix("listening on ") {
            let url = url.to_owned();
            std::thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    eprintln!("{line}");
                }
            });
            return Ok(url);
        }
    }
}

fn binary() -> PathBuf {
    target().join("debug/lariat")
}

fn copy_project(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs_err::remove_dir_all(to)?;
    }
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_project(&entry.path(), &target)?;
        } else {
            fs_err::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
