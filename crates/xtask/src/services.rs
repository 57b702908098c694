//! What tests and demo need beside Rust: private Ansible installations.
//!
//! Everything goes below `target/tools`, except packages of the system that a
//! private installation cannot replace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{find, read, run, tools};

/// The two ends of what is supported. The names are those of
/// `testkit::tools`.
const ANSIBLE: [(&str, &str); 2] = [
    ("ansible-2.14", "ansible-core>=2.14,<2.15"),
    ("ansible-newest", "ansible-core"),
];

pub(crate) struct Services {
    installed: Vec<(String, String)>,
}

impl Services {
    pub(crate) fn print(&self) {
        for (name, version) in &self.installed {
            println!("{name:<16} {version}");
        }
    }
}

/// Installs what is missing and says so.
pub(crate) fn provide() -> Result<Services> {
    let mut installed = Vec::new();
    for (name, requirement) in ANSIBLE {
        let playbook = venv_with(name, requirement, "ansible-playbook")?;
        installed.push((name.to_owned(), version(&playbook)?));
    }
    Ok(Services { installed })
}

/// An `ansible-playbook` for the demo: the one on PATH, else a private one.
pub(crate) fn any_ansible() -> Result<PathBuf> {
    match find("ansible-playbook") {
        Some(path) => Ok(path),
        None => {
            let (name, requirement) = ANSIBLE[1];
            venv_with(name, requirement, "ansible-playbook")
        }
    }
}

fn version(ansible_playbook: &Path) -> Result<String> {
    let text = read(&ansible_playbook.to_string_lossy(), &["--version"])?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The path of `program` in the private environment `name`.
fn venv_with(name: &str, requirement: &str, program: &str) -> Result<PathBuf> {
    let dir = tools().join(name);
    let path = dir.join("bin").join(program);
    if path.is_file() {
        return Ok(path);
    }
    println!("installing {requirement} into {}", dir.display());
    make_venv(&dir)?;
    let pip = dir.join("bin/pip");
    run(
        &pip.to_string_lossy(),
        &[
            "install",
            "--quiet",
            "--disable-pip-version-check",
            requirement,
        ],
    )?;
    if !path.is_file() {
        bail!("{requirement} has no `{program}`");
    }
    Ok(path)
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

fn apt_install(packages: &[&str]) -> Result<()> {
    println!("installing packages of the system: {}", packages.join(" "));
    let is_root = nix::unistd::geteuid().is_root();
    let (program, first): (&str, &[&str]) = if is_root {
        ("apt-get", &[])
    } else {
        ("sudo", &["-n", "apt-get"])
    };
    let update: Vec<&str> = first.iter().copied().chain(["update", "-q"]).collect();
    run(program, &update)?;
    let install: Vec<&str> = first
        .iter()
        .copied()
        .chain(["install", "-q", "-y", "--no-install-recommends"])
        .chain(packages.iter().copied())
        .collect();
    run(program, &install)
        .with_context(|| format!("install these packages by hand: {}", packages.join(" ")))
}
