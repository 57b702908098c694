//! Two system users and one for the service, made by the test and gone with
//! it; a project that they can read, and a service in it.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use nix::unistd::{User, geteuid};
use testkit::{Program, TempProject, tools};

use crate::harness::{BINARY, PATIENCE, Ran, run};

/// `PATH` of the service and its steps.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Of the names of the users, which end with the id of the test's process.
const PREFIX: &str = "lariat-t";

/// The files of users have one lock, for which `useradd` does not wait long.
static USERS: Mutex<()> = Mutex::new(());

/// Users that are removed when this is dropped.
pub(crate) struct Users {
    /// Two accounts.
    pub(crate) ann: User,
    pub(crate) bob: User,
    /// Who the service may run as.
    pub(crate) service: User,
}

impl Users {
    /// `None`, said on standard error, where users cannot be made: a failure
    /// in CI.
    pub(crate) fn make(test: &str) -> Option<Self> {
        if !geteuid().is_root() {
            tools::lacking("only root can make system users");
            return None;
        }
        let _one_at_a_time = USERS.lock().unwrap();
        remove_stale();
        let make = |role: &str| {
            let name = format!("{PREFIX}{role}{test}{}", std::process::id());
            program(
                "useradd",
                &["--system", "--user-group", "--create-home", &name],
            );
            User::from_name(&name).unwrap().unwrap()
        };
        Some(Self {
            ann: make("a"),
            bob: make("b"),
            service: make("s"),
        })
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _one_at_a_time = USERS.lock().unwrap_or_else(|error| error.into_inner());
        for user in [&self.ann, &self.bob, &self.service] {
            remove(&user.name);
        }
    }
}

/// Those of tests that were killed.
fn remove_stale() {
    let passwd = fs_err::read_to_string("/etc/passwd").unwrap();
    for name in passwd.lines().filter_map(|line| line.split(':').next()) {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let pid = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        if !Path::new("/proc").join(pid).exists() {
            remove(name);
        }
    }
}

/// With everything that it has left.
fn remove(name: &str) {
    let Ok(Some(user)) = User::from_name(name) else {
        return;
    };
    for pid in processes_of(&user) {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
    }
    fs_err::remove_dir_all(private_of(&user)).ok();
    Command::new("userdel")
        .args(["--force", "--remove", name])
        .output()
        .unwrap();
}

/// The directory of its steps.
pub(crate) fn private_of(user: &User) -> PathBuf {
    PathBuf::from(format!("/tmp/lariat-{}", user.uid))
}

/// The processes that run as this user.
pub(crate) fn processes_of(user: &User) -> Vec<u32> {
    let entries = fs_err::read_dir("/proc").unwrap();
    let mut found: Vec<u32> = entries
        .flatten()
        .filter(|entry| {
            entry
                .metadata()
                .is_ok_and(|found| found.uid() == user.uid.as_raw())
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    found.sort_unstable();
    found
}

#[track_caller]
fn program(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The words that run a program as `user`, as at a login of its own.
fn as_user(user: &User) -> Vec<String> {
    [
        "setpriv",
        &format!("--reuid={}", user.uid),
        &format!("--regid={}", user.gid),
        "--init-groups",
        "--",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A project with its accounts, and a binary that all users can start.
pub(crate) struct Place {
    pub(crate) project: TempProject,
    /// The user of the service; absent: root.
    service: Option<User>,
}

impl Place {
    pub(crate) fn new(service: Option<&User>, files: &[(&str, &str)]) -> Self {
        let project = TempProject::new(files);
        let open = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(project.path(), open).unwrap();
        fs_err::create_dir(project.join("bin")).unwrap();
        fs_err::copy(BINARY, project.join("bin/lariat")).unwrap();
        // Where the service may write, beside the project.
        let state = project.join("state");
        fs_err::create_dir(&state).unwrap();
        if let Some(user) = service {
            chown(&state, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        project.write(
            "lariat.yml",
            "store: sqlite:state/lariat.db\nworkers: {lease: 5s}\n",
        );
        Self {
            project,
            service: service.cloned(),
        }
    }

    pub(crate) fn binary(&self) -> String {
        self.text("bin/lariat")
    }

    pub(crate) fn accounts(&self) -> String {
        self.text("accounts.yml")
    }

    fn text(&self, path: &str) -> String {
        self.project.join(path).to_str().unwrap().to_owned()
    }

    /// The command line of `lariat` as the service's user.
    fn words(&self, args: &[&str]) -> Vec<String> {
        let mut words = self.service.as_ref().map(as_user).unwrap_or_default();
        words.push(self.binary());
        words.extend(args.iter().map(|word| (*word).to_owned()));
        words
    }

    /// Makes the first token.
    pub(crate) fn token(&self) -> String {
        let project = self.text("");
        let args = ["token", "create", "--role", "admin", "--name", "test"];
        let words = self.words(&[&args[..], &["--project", &project]].concat());
        let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        program(&words[0], &rest).trim().to_owned()
    }

    /// Starts the service; `token` is what its clients show.
    pub(crate) async fn serve(&self, token: &str) -> Service {
        let (project, accounts) = (self.text(""), self.accounts());
        let words = self.words(&[
            "serve",
            "--project",
            &project,
            "--listen",
            "127.0.0.1:0",
            "--accounts",
            &accounts,
        ]);
        // What a service has in its environment is not for its steps.
        let env = [("PATH", PATH), ("SECRET_OF_THE_SERVICE", "hunter2")];
        let mut program = Program::start(Path::new(&words[0]), &words[1..], &env);
        let url = program.wait_listening(PATIENCE).await;
        Service {
            program,
            url,
            token: token.to_owned(),
        }
    }
}

/// A running service; killed when it is dropped.
pub(crate) struct Service {
    pub(crate) program: Program,
    url: String,
    token: String,
}

impl Service {
    pub(crate) async fn lariat(&self, args: &[&str]) -> Ran {
        let env = [("LARIAT_URL", &*self.url), ("LARIAT_TOKEN", &*self.token)];
        run(args, &env).await
    }

    /// Publishes an event, waits for its jobs, and gives what they printed.
    pub(crate) async fn output_of(&self, topic: &str, body: &str) -> String {
        let args = ["publish", topic, body, "--wait"];
        self.lariat(&args).await.expect(0).stdout
    }

    /// The newest job.
    pub(crate) async fn newest_job(&self) -> serde_json::Value {
        let args = ["jobs", "list", "--limit", "1", "--json"];
        self.lariat(&args).await.expect(0).json()["items"][0].take()
    }
}

/// A file of sudo's that is removed when this is dropped.
pub(crate) struct Sudoers(PathBuf);

impl Sudoers {
    /// `None`, said on standard error, where there is no sudo: a failure in CI.
    pub(crate) fn allow(lines: &[String]) -> Option<Self> {
        let directory = Path::new("/etc/sudoers.d");
        if !directory.is_dir() || !Path::new("/usr/bin/sudo").exists() {
            tools::lacking("`sudo` is not installed");
            return None;
        }
        // sudo reads no file whose name has a dot.
        let path = directory.join(format!("lariat-test-{}", std::process::id()));
        let made = Self(path);
        fs_err::write(&made.0, lines.join("\n") + "\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o440);
        fs_err::set_permissions(&made.0, mode).unwrap();
        program("visudo", &["--check", "--file", made.0.to_str().unwrap()]);
        Some(made)
    }
}

impl Drop for Sudoers {
    fn drop(&mut self) {
        fs_err::remove_file(&self.0).ok();
    }
}

/// An `ansible-playbook` that `user` can start: one of the tools, or what is
/// installed for one of them under the Python of the system, since the Python
/// of a tool may lie where nobody else may look. `None`, said on standard
/// error, where there is none: a failure in CI.
pub(crate) fn ansible_for(user: &User, project: &TempProject) -> Option<PathBuf> {
    let works = |path: &Path| {
        let words = as_user(user);
        let mut command = Command::new(&words[0]);
        // `setpriv` itself could still start what its user may not.
        command
            .args(&words[1..])
            .args(["sh", "-c", "exec \"$0\" --version"])
            .arg(path);
        command.current_dir("/").env_clear().env("PATH", PATH);
        let output = command.env("HOME", &user.dir).output();
        output.is_ok_and(|output| output.status.success())
    };
    for version in tools::Ansible::ALL.into_iter().rev() {
        let tool = tools::workspace()
            .join("target/tools")
            .join(version.as_str());
        let own = tool.join("bin/ansible-playbook");
        if works(&own) {
            return Some(own);
        }
        if let Some(made) = under_system_python(&tool, project)
            && works(&made)
        {
            return Some(made);
        }
    }
    tools::lacking("no Ansible can be started by another user: `cargo xtask services`");
    None
}

fn under_system_python(tool: &Path, project: &TempProject) -> Option<PathBuf> {
    let python = Path::new("/usr/bin/python3");
    let asked = Command::new(python)
        .args([
            "-c",
            "import sys; print('python%d.%d' % sys.version_info[:2])",
        ])
        .output()
        .ok()?;
    let name = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
    let packages = tool.join("lib").join(&name).join("site-packages");
    if !packages.is_dir() {
        return None;
    }
    let made = project.join("ansible");
    let made_in = made.to_str().unwrap();
    Command::new(python)
        .args(["-m", "venv", "--without-pip", "--clear", made_in])
        .output()
        .ok()?;
    let path = format!("ansible/lib/{name}/site-packages/tools.pth");
    project.write(&path, &format!("{}\n", packages.display()));
    project.write_program(
        "ansible/bin/ansible-playbook",
        &format!(
            "#!{made_in}/bin/python3\nimport sys\nfrom ansible.cli.playbook import main\nsys.exit(main())\n"
        ),
    );
    Some(made.join("bin/ansible-playbook"))
}
