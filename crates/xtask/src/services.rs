//! What tests and demo need beside Rust: private installations of Ansible and
//! of the Python programs that Lariat talks to, and a RabbitMQ that tests
//! start themselves.
//!
//! Everything goes below `target/tools`, except packages of the system that a
//! private installation cannot replace. No service of the system is started.

mod python;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use self::python::{Python, Wanted};
use crate::run::{find, read, run, tools};

/// A private Python environment. The names are those of `testkit::tools`.
struct Venv {
    name: &'static str,
    requirements: &'static [&'static str],
    /// The package whose version is shown.
    shown: &'static str,
    /// Whether the requirements of the requirements are installed too.
    is_whole: bool,
    python: Wanted,
}

impl Venv {
    /// A version of Ansible with the Pythons that it supports as a controller.
    const fn ansible(
        name: &'static str,
        requirements: &'static [&'static str],
        python: Wanted,
    ) -> Self {
        Self {
            name,
            requirements,
            shown: "ansible-core",
            is_whole: true,
            python,
        }
    }
}

const NEWEST_ANSIBLE: Venv = Venv::ansible("ansible-newest", &["ansible-core"], Wanted::Newest);

/// The two ends of what is supported and one between.
const ANSIBLE: [Venv; 3] = [
    Venv::ansible(
        "ansible-2.14",
        &["ansible-core>=2.14,<2.15"],
        Wanted::OldestOf(9..=11),
    ),
    Venv::ansible(
        "ansible-2.17",
        &["ansible-core>=2.17,<2.18"],
        Wanted::Within(10..=12),
    ),
    NEWEST_ANSIBLE,
];

/// What the full run takes beside them.
const MORE_ANSIBLE: [Venv; 3] = [
    Venv::ansible(
        "ansible-2.16",
        &["ansible-core>=2.16,<2.17"],
        Wanted::Within(10..=12),
    ),
    Venv::ansible(
        "ansible-2.18",
        &["ansible-core>=2.18,<2.19"],
        Wanted::Within(11..=13),
    ),
    Venv::ansible(
        "ansible-2.19",
        &["ansible-core>=2.19,<2.20"],
        Wanted::Within(11..=13),
    ),
];

/// What Lariat talks to in the tests; fedora-messaging's with the same schema
/// packages.
const PEERS: [Venv; 7] = [
    Venv {
        name: "fedora-messaging-3.5",
        requirements: &[
            "fedora-messaging>=3.5,<3.6",
            // Its command imports it without requiring it.
            "requests",
            "bodhi-messages",
            "pagure-messages",
            "koji-fedoramessaging-messages",
        ],
        shown: "fedora-messaging",
        is_whole: true,
        python: Wanted::Usual,
    },
    Venv {
        name: "fedora-messaging-newest",
        requirements: &[
            "fedora-messaging",
            "bodhi-messages",
            "pagure-messages",
            "koji-fedoramessaging-messages",
        ],
        shown: "fedora-messaging",
        is_whole: true,
        python: Wanted::Usual,
    },
    Venv {
        name: "cloudevents-1",
        requirements: &["cloudevents<2"],
        shown: "cloudevents",
        is_whole: true,
        python: Wanted::Usual,
    },
    Venv {
        name: "cloudevents-newest",
        requirements: &["cloudevents"],
        shown: "cloudevents",
        is_whole: true,
        python: Wanted::Usual,
    },
    Venv {
        name: "prometheus-client",
        requirements: &["prometheus-client"],
        shown: "prometheus-client",
        is_whole: true,
        python: Wanted::Usual,
    },
    Venv {
        name: "schemathesis",
        requirements: &["schemathesis"],
        shown: "schemathesis",
        is_whole: true,
        python: Wanted::Usual,
    },
    Venv {
        name: "loopabull",
        // It requires fedmsg, which does not install any more, and does not
        // require what its AMQP plugin imports.
        requirements: &["loopabull==0.0.7", "pika", "pyyaml", "setuptools<80"],
        shown: "loopabull",
        is_whole: false,
        python: Wanted::Usual,
    },
];

/// Where the package puts the server's own programs. The name is that of
/// `testkit::broker`.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// What steps of other users and on other hosts are tested with: the package,
/// its program, and how to ask for its version. The paths are those of
/// `testkit::tools`.
const ACCOUNTS: [(&str, &str, &[&str]); 2] = [
    ("sudo", "/usr/bin/sudo", &["-W", "-f${Version}", "sudo"]),
    (
        "openssh-server",
        "/usr/sbin/sshd",
        &["-W", "-f${Version}", "openssh-server"],
    ),
];

pub(crate) struct Services {
    installed: Vec<(String, String)>,
}

impl Services {
    pub(crate) fn print(&self) {
        for (name, version) in &self.installed {
            println!("{name:<24} {version}");
        }
    }
}

/// Installs what is missing and says so. `full` is every version that is
/// supported, not only the ends.
pub(crate) fn provide(full: bool) -> Result<Services> {
    let mut installed = Vec::new();
    let more: &[Venv] = if full { &MORE_ANSIBLE } else { &[] };
    for venv in ANSIBLE.iter().chain(more).chain(&PEERS) {
        let shown = match provide_venv(venv)? {
            Ok(dir) => package_version(&dir, venv.shown)?,
            Err(reason) => format!("not installed: {reason}"),
        };
        installed.push((venv.name.to_owned(), shown));
    }
    if !Path::new(RABBITMQ).is_file() {
        apt_install(&["rabbitmq-server"])?;
    }
    installed.push(("rabbitmq-server".to_owned(), rabbitmq_version()?));
    if find("systemd-analyze").is_none() {
        apt_install(&["systemd"])?;
    }
    let version = read("systemd-analyze", &["--version"])?;
    let version = version.lines().next().unwrap_or_default().to_owned();
    installed.push(("systemd-analyze".to_owned(), version));
    for (package, program, version) in ACCOUNTS {
        if !Path::new(program).is_file() {
            apt_install(&[package])?;
        }
        // Other systems have other packages.
        let version = read("dpkg-query", version).unwrap_or_else(|_| "installed".to_owned());
        installed.push((package.to_owned(), version));
    }
    Ok(Services { installed })
}

/// An `ansible-playbook` for the demo: the one on PATH, else a private one.
pub(crate) fn any_ansible() -> Result<PathBuf> {
    match find("ansible-playbook") {
        Some(path) => Ok(path),
        None => match provide_venv(&NEWEST_ANSIBLE)? {
            Ok(dir) => Ok(dir.join("bin/ansible-playbook")),
            Err(reason) => bail!("Ansible {reason}"),
        },
    }
}

/// The private environment of ansible-rulebook, for measurements beside it,
/// and its version.
pub(crate) fn rulebook() -> Result<(PathBuf, String)> {
    let venv = Venv {
        name: "ansible-rulebook",
        requirements: &["ansible-rulebook", "ansible-core"],
        shown: "ansible-rulebook",
        is_whole: true,
        python: Wanted::Usual,
    };
    match provide_venv(&venv)? {
        Ok(dir) => {
            let version = package_version(&dir, venv.shown)?;
            Ok((dir, version))
        }
        Err(reason) => bail!("ansible-rulebook {reason}"),
    }
}

fn package_version(dir: &Path, package: &str) -> Result<String> {
    let python = dir.join("bin/python");
    let script = format!(
        "import importlib.metadata, platform; \
         print(importlib.metadata.version({package:?}), 'on Python', platform.python_version())"
    );
    let text = read(&python.to_string_lossy(), &["-c", &script])?;
    Ok(format!("{package} {}", text.trim()))
}

/// From the directory that it is installed in, since asking the server itself
/// starts one.
fn rabbitmq_version() -> Result<String> {
    let program = fs_err::canonicalize(RABBITMQ)?;
    let version = program
        .components()
        .filter_map(|part| part.as_os_str().to_str())
        .find_map(|part| part.strip_prefix("rabbitmq_server-"));
    version
        .map(str::to_owned)
        .with_context(|| format!("`{}` does not say its version", program.display()))
}

/// The directory of a private environment, made when it is not there or was
/// not finished or is of other requirements or another Python. The inner
/// error: this machine has no Python for it.
fn provide_venv(venv: &Venv) -> Result<Result<PathBuf, String>> {
    let dir = tools().join(venv.name);
    let python = match venv.python.choose(pythons()?) {
        Ok(python) => python,
        Err(reason) => return Ok(Err(reason)),
    };
    let finished = dir.join("requirements.txt");
    let mut wanted = venv.requirements.join("\n");
    if !matches!(venv.python, Wanted::Usual) {
        wanted = format!("# Python 3.{}\n{wanted}", python.minor);
    }
    if fs_err::read_to_string(&finished).is_ok_and(|text| text == wanted) {
        return Ok(Ok(dir));
    }
    println!(
        "installing {} into {}",
        venv.requirements.join(", "),
        dir.display()
    );
    let begun = Instant::now();
    make_venv(&dir, &python.program)?;
    let pip = dir.join("bin/pip");
    let mut args = vec!["install", "--quiet", "--disable-pip-version-check"];
    if !venv.is_whole {
        args.push("--no-deps");
    }
    args.extend_from_slice(venv.requirements);
    run(&pip.to_string_lossy(), &args)?;
    fs_err::write(&finished, wanted)?;
    println!("installed in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(Ok(dir))
}

/// Those of the machine; it gets its system's own when `python3` will not do.
fn pythons() -> Result<&'static [Python]> {
    if find("python3").is_none_or(|program| python::ask(&program).is_none()) {
        apt_install(&["python3", "python3-venv"])?;
    }
    Ok(python::pythons())
}

fn make_venv(dir: &Path, python: &Path) -> Result<()> {
    fs_err::create_dir_all(tools())?;
    if dir.exists() {
        fs_err::remove_dir_all(dir)?;
    }
    let (python, target) = (python.to_string_lossy(), dir.to_string_lossy());
    run(&python, &["-m", "venv", &target])
        .with_context(|| format!("`{python}` cannot make virtual environments"))
}

/// Installs packages and starts none of their services: for the time of the
/// installation `policy-rc.d`, which Debian's packages ask, forbids it.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
"#;

fn apt_install(packages: &[&str]) -> Result<()> {
    println!(
        "installing packages of the system, without starting a service: {}",
        packages.join(" ")
    );
    let is_root = nix::unistd::geteuid().is_root();
    let first: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
    let words: Vec<&str> = first
        .iter()
        .chain(&["sh", "-c", INSTALL, "install"])
        .chain(packages)
        .copied()
        .collect();
    let Some((program, args)) = words.split_first() else {
        bail!("nothing to run");
    };
    run(program, args)
        .with_context(|| format!("install these packages by hand: {}", packages.join(" ")))
}
