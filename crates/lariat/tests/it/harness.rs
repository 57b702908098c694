//! A service on a port and a project of its own, and its clients.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use testkit::{Program, TempProject};
use tokio::{io::AsyncWriteExt, process::Command};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_lariat");

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// It is an error of the test when the command did not exit with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            Some(code),
            self.code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "{error}: stdout:\n{}\nstderr:\n{}",
                self.stdout, self.stderr
            )
        })
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "`{text}` is missing; stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs the binary to its end.
pub(crate) async fn run<S: AsRef<OsStr>>(args: &[S], env: &[(&str, &str)]) -> Ran {
    run_with_input(args, env, "").await
}

pub(crate) async fn run_with_input<S: AsRef<OsStr>>(
    args: &[S],
    env: &[(&str, &str)],
    input: &str,
) -> Ran {
    let mut child = Command::new(BINARY)
        .args(args)
        .env_remove("LARIAT_LOG")
        .env_remove("LARIAT_URL")
        .env_remove("LARIAT_TOKEN")
        .env_remove("LARIAT_CA")
        .env_remove("LARIAT_ACCOUNTS")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read its input may have closed it.
    stdin.write_all(input.as_bytes()).await.ok();
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the command ends")
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running service; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) program: Program,
    pub(crate) url: String,
}

impl Service {
    pub(crate) async fn start(project: &Path) -> Self {
        Self::start_with(project, &[], &[]).await
    }

    /// With `ansible-playbook` first on PATH.
    pub(crate) async fn start_with_ansible(project: &Path, playbook: &Path) -> Self {
        let path = path_with(playbook);
        Self::start_with(project, &[], &[("PATH", &path)]).await
    }

    pub(crate) async fn start_with(project: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let project = project.to_str().unwrap();
        let mut all = vec!["serve", "--project", project, "--listen", "127.0.0.1:0"];
        all.extend_from_slice(args);
        let mut program = Program::start(Path::new(BINARY), &all, env);
        let url = program.wait_listening(PATIENCE).await;
        Self { program, url }
    }

    pub(crate) async fn lariat(&self, args: &[&str]) -> Ran {
        run(args, &[("LARIAT_URL", &self.url)]).await
    }

    /// The JSON that a command prints.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        self.lariat(&args).await.expect(0).json()
    }
}

/// PATH with the directory of `playbook` in front.
pub(crate) fn path_with(playbook: &Path) -> String {
    let bin = playbook.parent().unwrap().display();
    format!("{bin}:/usr/local/bin:/usr/bin:/bin")
}

/// A project whose rules run small programs of its own.
pub(crate) fn project(rules: &str, programs: &[(&str, &str)]) -> TempProject {
    let project = TempProject::new(&[
        ("lariat.yml", "workers: {lease: 5s}\n"),
        ("rules/test.yml", rules),
    ]);
    for (path, text) in programs {
        project.write_program(path, text);
    }
    project
}

/// A copy of one of the examples.
pub(crate) fn example(name: &str) -> TempProject {
    let project = TempProject::new(&[]);
    copy(&examples().join(name), project.path());
    project
}

pub(crate) fn examples() -> PathBuf {
    testkit::tools::workspace().join("examples")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs_err::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs_err::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
}

/// A client for the service's API.
pub(crate) fn client() -> reqwest::Client {
    // Nothing here speaks TLS, but the client wants a provider to be named.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let installed = rustls::crypto::ring::default_provider().install_default();
        assert!(
            installed.is_ok() || rustls::crypto::CryptoProvider::get_default().is_some(),
            "no TLS provider"
        );
    }
    reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}
