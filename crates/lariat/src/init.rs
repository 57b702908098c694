//! `lariat init`: writes a working project with one rule and one playbook.
//!
//! What it writes is `examples/hello`, file for file. It never overwrites.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use crate::{args::Init, console::Console, exit::Exit, failure::Failure};

const FILES: [(&str, &str); 6] = [
    (
        "lariat.yml",
        include_str!("../../../examples/hello/lariat.yml"),
    ),
    (
        "rules/hello.yml",
        include_str!("../../../examples/hello/rules/hello.yml"),
    ),
    (
        "tests/hello.yml",
        include_str!("../../../examples/hello/tests/hello.yml"),
    ),
    (
        "playbooks/hello.yml",
        include_str!("../../../examples/hello/playbooks/hello.yml"),
    ),
    (
        "inventory/hosts",
        include_str!("../../../examples/hello/inventory/hosts"),
    ),
    (
        ".gitignore",
        include_str!("../../../examples/hello/.gitignore"),
    ),
];

pub(crate) fn run(command: &Init, console: &mut Console) -> Result<(), Failure> {
    let dir = &command.dir;
    let taken: Vec<String> = FILES
        .iter()
        .filter(|(path, _)| fs_err::symlink_metadata(dir.join(path)).is_ok())
        .map(|(path, _)| format!("`{}` is there already", dir.join(path).display()))
        .collect();
    if !taken.is_empty() {
        return Err(Failure::message(
            Exit::Usage,
            "nothing was written: files would be overwritten",
        )
        .details(taken)
        .hint("name a directory of its own, such as `lariat init my-project`"));
    }
    let mut written = Vec::new();
    for (path, text) in FILES {
        write(&dir.join(path), text)
            .map_err(|error| Failure::unexpected(error).context("cannot write the project"))?;
        written.push(dir.join(path).display().to_string());
        if !command.json.json {
            console.line(&dir.join(path).display().to_string())?;
        }
    }
    if command.json.json {
        return console.json(&json!({ "files": written }));
    }
    let project = if dir == Path::new(".") {
        String::new()
    } else {
        format!(" --project {}", quoted(dir))
    };
    console.say(&format!(
        "\ntest its rules:\n  lariat test{project}\nstart it:\n  lariat serve{project}\nthen, in another terminal:\n  \
         lariat publish org.example.hello '{{\"name\": \"world\"}}' --wait"
    ));
    Ok(())
}

/// As a shell would want it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?
        .write_all(text.as_bytes())
}
