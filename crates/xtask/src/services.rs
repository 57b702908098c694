//! What tests and demo need beside Rust: private installations of Ansible and
//! of the Python programs that Lariat talks to, and a RabbitMQ that tests
//! start themselves.
//!
//! Everything goes below `target/tools`, except packages of the system that a
//! private installation cannot replace. No service of the system is started.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{find, read, run, tools};

/// A private Python environment. The names are those of `testkit::tools`.
struct Venv {
    name: &'static str,
    requirements: &'static [&'static str],
    /// The package whose version is shown.
    shown: &'static str,
    /// Whether the requirements of the requirements are installed too.
    is_whole: bool,
}

/// The two ends of what is supported, oldest first.
const ANSIBLE: [Venv; 2] = [
    Venv {
        name: "ansible-2.14",
        requirements: &["ansible-core>=2.14,<2.15"],
        shown: "ansible-core",
        is_whole: true,
    },
    Venv {
        name: "ansible-newest",
        requirements: &["ansible-core"],
        shown: "ansible-core",
        is_whole: true,
    },
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
    },
    Venv {
        name: "cloudevents-1",
        requirements: &["cloudevents<2"],
        shown: "cloudevents",
        is_whole: true,
    },
    Venv {
        name: "cloudevents-newest",
        requirements: &["cloudevents"],
        shown: "cloudevents",
        is_whole: true,
    },
    Venv {
        name: "prometheus-client",
        requirements: &["prometheus-client"],
        shown: "prometheus-client",
        is_whole: true,
    },
    Venv {
        name: "schemathesis",
        requirements: &["schemathesis"],
        shown: "schemathesis",
        is_whole: true,
    },
    Venv {
        name: "loopabull",
        // It requires fedmsg, which does not install any more, and does not
        // require what its AMQP plugin imports.
        requirements: &["loopabull==0.0.7", "pika", "pyyaml", "setuptools<80"],
        shown: "loopabull",
        is_whole: false,
    },
];

/// Where the package puts the server's own programs. The name is that of
/// `testkit::broker`.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

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

/// Installs what is missing and says so.
pub(crate) fn provide() -> Result<Services> {
    let mut installed = Vec::new();
    for venv in ANSIBLE.iter().chain(&PEERS) {
        let dir = provide_venv(venv)?;
        installed.push((venv.name.to_owned(), package_version(&dir, venv.shown)?));
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
    Ok(Services { installed })
}

/// An `ansible-playbook` for the demo: the one on PATH, else a private one.
pub(crate) fn any_ansible() -> Result<PathBuf> {
    match find("ansible-playbook") {
        Some(path) => Ok(path),
        None => Ok(provide_venv(&ANSIBLE[1])?.join("bin/ansible-playbook")),
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
/// not finished or has other requirements.
fn provide_venv(venv: &Venv) -> Result<PathBuf> {
    let Venv {
        name,
        requirements,
        shown: _,
        is_whole,
    } = venv;
    let dir = tools().join(name);
    let finished = dir.join("requirements.txt");
    let wanted = requirements.join("\n");
    if fs_err::read_to_string(&finished).is_ok_and(|text| text == wanted) {
        return Ok(dir);
    }
    println!(
        "installing {} into {}",
        requirements.join(", "),
        dir.display()
    );
    make_venv(&dir)?;
    let pip = dir.join("bin/pip");
    let mut args = vec!["install", "--quiet", "--disable-pip-version-check"];
    if !is_whole {
        args.push("--no-deps");
    }
    args.extend_from_slice(requirements);
    run(&pip.to_string_lossy(), &args)?;
    fs_err::write(&finished, wanted)?;
    Ok(dir)
}

fn make_venv(dir: &Path) -> Result<()> {
    fs_err::create_dir_all(tools())?;
    if dir.exists() {
        fs_err::remove_dir_all(dir)?;
    }
    let target = dir.to_string_lossy();
    if find("python3").is_none() {
        apt_install(&["python3", "python3-venv"])?;
    }
    if run("python3", &["-m", "venv", &target]).is_ok() {
        return Ok(());
    }
    apt_install(&["python3-venv"])?;
    run("python3", &["-m", "venv", &target]).context("python3 cannot make virtual environments")
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
