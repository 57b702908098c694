//! Which callback plugins the project has, so that ours is added to them.
//!
//! Ansible's variable for the search path replaces what its configuration
//! says. This reads the one key that is concerned from the file that Ansible
//! will read, and nothing else.

use std::path::{Path, PathBuf};

/// Where Ansible looks when nothing is configured.
const CALLBACKS: &str = "~/.ansible/plugins/callback:/usr/share/ansible/plugins/callback";
const COLLECTIONS: &str = "~/.ansible/collections:/usr/share/ansible/collections";

/// The configuration of the project itself, if it has one.
pub(super) fn of_project(project: &Path) -> Option<PathBuf> {
    Some(project.join("ansible.cfg")).filter(|path| path.is_file())
}

/// The search path for callback plugins with `ours` added. `given` is what
/// the step's environment says already, which Ansible would prefer.
pub(super) fn callback_plugins(
    project: &Path,
    home: &Path,
    given: Option<&str>,
    ours: &Path,
) -> String {
    let configured = match given {
        Some(given) => given.to_owned(),
        None => {
            let configured = configured(project, home, &["callback_plugins"]);
            configured.unwrap_or_else(|| CALLBACKS.to_owned())
        }
    };
    format!("{configured}:{}", ours.display())
}

/// The search path for collections with `ours` before it.
pub(super) fn collections_path(
    project: &Path,
    home: &Path,
    given: Option<&str>,
    ours: &str,
) -> String {
    let configured = match given {
        Some(given) => given.to_owned(),
        None => {
            let keys = ["collections_path", "collections_paths"];
            let configured = configured(project, home, &keys);
            configured.unwrap_or_else(|| COLLECTIONS.to_owned())
        }
    };
    format!("{ours}:{configured}")
}

/// Where Ansible looks for its configuration, in this order.
pub(super) fn candidates(project: &Path, home: &Path) -> [PathBuf; 3] {
    [
        project.join("ansible.cfg"),
        home.join(".ansible.cfg"),
        PathBuf::from("/etc/ansible/ansible.cfg"),
    ]
}

/// Where Ansible looks for collections, those beside the playbooks included.
pub(super) fn collections(project: &Path, home: &Path, given: Option<&str>) -> Vec<PathBuf> {
    let path = collections_path(project, home, given, "");
    let beside = ["collections", "playbooks/collections"].map(|name| project.join(name));
    path.split(':')
        .filter_map(|entry| match entry.strip_prefix('~') {
            Some(rest) => Some(home.join(rest.trim_start_matches('/'))),
            None => entry.starts_with('/').then(|| PathBuf::from(entry)),
        })
        .chain(beside)
        .collect()
}

/// From the first configuration file that Ansible finds, and there from the
/// first of these keys.
fn configured(project: &Path, home: &Path, keys: &[&str]) -> Option<String> {
    let file = candidates(project, home)
        .into_iter()
        .find(|path| path.is_file())?;
    let text = fs_err::read_to_string(&file).ok()?;
    let value = keys
        .iter()
        .find_map(|key| setting(&text, "defaults", key))?;
    let base = file.parent()?;
    let entries: Vec<String> = value
        .split(':')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            if entry.starts_with(['/', '~', '$', '{']) {
                entry.to_owned()
            } else {
                base.join(entry).display().to_string()
            }
        })
        .collect();
    (!entries.is_empty()).then(|| entries.join(":"))
}

/// One value of an INI file as Python's parser reads it, without the rarer
/// forms: continued lines.
fn setting<'a>(text: &'a str, section: &str, name: &str) -> Option<&'a str> {
    let mut is_inside = false;
    let mut found = None;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            is_inside = header.split(']').next() == Some(section);
        } else if is_inside
            && let Some((key, value)) = line.split_once(['=', ':'])
            && key.trim().eq_ignore_ascii_case(name)
        {
            found = Some(value.split(" ;").next().unwrap_or(value).trim());
        }
    }
    found
}

#[cfg(test)]
mod tests;
