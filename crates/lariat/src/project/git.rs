//! Which commit a project is at, read from the files of git itself: no process
//! is started and nothing of the repository's configuration is obeyed.
//!
//! Whatever is unusual gives no commit rather than an error: the revision does
//! not depend on it.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// `packed-refs` of a large repository has some megabytes.
const LARGEST: u64 = 32 * 1024 * 1024;

/// The commit that is checked out in the repository around `project`.
pub(super) fn commit(project: &Path) -> Option<String> {
    let git = project.ancestors().find_map(git_dir)?;
    let head = read(&git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return object_id(&head);
    };
    let name = name.trim();
    let is_safe = name.starts_with("refs/") && !name.split('/').any(|part| part == "..");
    if !is_safe {
        return None;
    }
    // A work tree has its own HEAD and shares the branches.
    let shared = match read(&git.join("commondir")) {
        Some(path) => git.join(path.trim()),
        None => git.clone(),
    };
    [&git, &shared]
        .into_iter()
        .find_map(|dir| read(&dir.join(name)))
        .and_then(|text| object_id(&text))
        .or_else(|| packed(&shared, name))
}

fn git_dir(directory: &Path) -> Option<PathBuf> {
    let path = directory.join(".git");
    let metadata = fs_err::metadata(&path).ok()?;
    if metadata.is_dir() {
        return Some(path);
    }
    let text = read(&path)?;
    let target = text.strip_prefix("gitdir: ")?.trim();
    Some(directory.join(target))
}

fn packed(git: &Path, name: &str) -> Option<String> {
    let text = read(&git.join("packed-refs"))?;
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, found)| *found == name)
        .and_then(|(id, _)| object_id(id))
}

fn object_id(text: &str) -> Option<String> {
    let id = text.trim();
    let is_hex = id
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_hex && matches!(id.len(), 40 | 64)).then(|| id.to_owned())
}

fn read(path: &Path) -> Option<String> {
    if !fs_err::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    fs_err::File::open(path)
        .ok()?
        .take(LARGEST)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}
