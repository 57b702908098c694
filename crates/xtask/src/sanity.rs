//! `ansible-test sanity` over the collection, with the newest Ansible of the
//! tools. It wants a git checkout in a directory of a certain name, so it gets
//! a copy of one, and it makes Python environments of its own.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::run::{read, run_with, target, tools, workspace};

const COLLECTION: &str = "ansible/collections/lariat/lariat";

/// In place of the program that ansible-test would fetch to get pip: Python has
/// one already.
const GET_PIP: &str = "import ensurepip, subprocess, sys
ensurepip.bootstrap()
words = [word for word in sys.argv[1:] if not word.startswith('--no-')]
sys.exit(subprocess.call([sys.executable, '-m', 'pip', 'install', *words]))
";

pub(crate) fn sanity() -> Result<()> {
    let place = target().join("sanity");
    if place.exists() {
        fs_err::remove_dir_all(&place)?;
    }
    let copy = place.join("ansible_collections/lariat/lariat");
    checkout(&copy)?;
    let program = tools().join("ansible-newest/bin/ansible-test");
    // With the Python of that Ansible: others may be there in name only.
    let python = program.with_file_name("python").display().to_string();
    let version = "import sys; print('%d.%d' % sys.version_info[:2])";
    let version = read(&python, &["-c", version])?;
    let home = place.join("home");
    fs_err::create_dir_all(&home)?;
    let ask = || {
        let mut command = Command::new(&program);
        command
            .args(["sanity", "--venv", "--color", "no", "--python"])
            .arg(version.trim())
            .current_dir(&copy)
            .env("HOME", &home);
        command.output().context("cannot start `ansible-test`")
    };
    let first = ask()?;
    let mut text = String::from_utf8_lossy(&[first.stdout, first.stderr].concat()).into_owned();
    let mut is_fine = first.status.success();
    // It says where the program is to be put that it cannot fetch.
    let wanted = text.split_once("manually downloaded and saved to: ");
    let wanted = wanted.and_then(|(_, rest)| rest.lines().next());
    if let Some(path) = wanted.map(Path::new).filter(|path| path.starts_with(&home)) {
        fs_err::create_dir_all(path.parent().unwrap_or(&home))?;
        fs_err::write(path, GET_PIP)?;
        let second = ask()?;
        is_fine = second.status.success();
        text = String::from_utf8_lossy(&[second.stdout, second.stderr].concat()).into_owned();
    }
    if !is_fine {
        println!("{text}");
        bail!("`ansible-test sanity` found something in `{COLLECTION}`");
    }
    let tests = count(&text)?;
    println!("{tests} sanity tests");
    Ok(())
}

/// How many tests ran; none is not a success, whatever the program says.
fn count(text: &str) -> Result<usize> {
    match text.matches("Running sanity test ").count() {
        0 => bail!("`ansible-test sanity` ran no test:\n{text}"),
        tests => Ok(tests),
    }
}

/// A checkout with everything that is in the collection now.
fn checkout(copy: &Path) -> Result<()> {
    let above = copy.parent().context("a collection lies in a directory")?;
    fs_err::create_dir_all(above)?;
    run_with(
        Command::new("cp")
            .arg("-r")
            .arg(workspace().join(COLLECTION))
            .arg(copy),
    )?;
    for args in [&["init", "--quiet"][..], &["add", "--all"]] {
        run_with(Command::new("git").arg("-C").arg(copy).args(args))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
