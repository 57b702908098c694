//! What is seen of a run, without what differs from run to run anyway, and
//! how two of them differ.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use model::task::TaskEvent;
use serde_json::Value;

use super::case::Case;

/// One run, as text: equal texts are equal runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How it ended, as the job's history would show it, and its result.
    pub(crate) end: String,
    pub(crate) output: String,
    /// What every task did on every host.
    pub(crate) tasks: String,
    /// What is in the directory that it was told to write to.
    pub(crate) files: String,
    /// What its process found itself to be.
    pub(crate) process: String,
}

impl Seen {
    /// Whether there was a process at all, which then ended somehow.
    pub(crate) fn has_started(&self) -> bool {
        !self.end.starts_with("- | ")
    }

    /// `None`: equal. Otherwise the first difference of each part.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let mut text = String::new();
        for (part, one, two) in [
            ("end", &self.end, &other.end),
            ("output", &self.output, &other.output),
            ("tasks", &self.tasks, &other.tasks),
            ("files", &self.files, &other.files),
            ("process", &self.process, &other.process),
        ] {
            if one != two {
                writeln!(text, "  {part}:\n{}", first_difference(one, two)).unwrap();
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// A few lines from where two texts part, each side marked.
fn first_difference(one: &str, two: &str) -> String {
    const SHOWN: usize = 12;
    let (one, two): (Vec<&str>, Vec<&str>) = (one.lines().collect(), two.lines().collect());
    let same = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
    let same_after = one[same..]
        .iter()
        .rev()
        .zip(two[same..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut text = String::new();
    for line in &one[same.saturating_sub(3)..same] {
        writeln!(text, "      {line}").unwrap();
    }
    for (sign, lines) in [('-', &one), ('+', &two)] {
        for line in lines[same..lines.len() - same_after].iter().take(SHOWN) {
            writeln!(text, "    {sign} {line}").unwrap();
        }
    }
    text
}

/// Texts that name a run, and what stands for them.
#[derive(Debug, Default)]
pub(crate) struct Mask(Vec<(String, &'static str)>);

impl Mask {
    /// The longest first, so that none is hidden by a part of it.
    pub(crate) fn add(&mut self, text: impl Into<String>, name: &'static str) {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((text, name));
            self.0
                .sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    pub(crate) fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (found, name) in &self.0 {
            text = text.replace(found, name);
        }
        text
    }
}

/// Values in printed results that are times, numbers of processes and the like.
const TIMES: [&str; 4] = ["delta", "end", "start", "ansible_job_id"];

/// The task that asks for a job in the background until it is done: how often
/// is chance.
const ASKS: &str = "Ask";
/// What a task says that leaves a job in the background.
const BACKGROUND: &str = "goes on as job ";

pub(crate) fn output(text: &str, case: &Case, mask: &Mask) -> String {
    let asks = format!("FAILED - RETRYING: [alpha]: {ASKS} ");
    let lines = mask
        .apply(text)
        .lines()
        .filter(|line| !line.starts_with("ASYNC ") && !line.starts_with(&asks))
        // So is for how many hosts a file was included at once.
        .filter(|line| !(case.unordered && line.starts_with("included: ")))
        .map(|line| {
            let line = line.to_owned();
            TIMES.iter().fold(line, |line, key| blank(&line, key))
        })
        .collect();
    joined(lines, case)
}

fn joined(mut lines: Vec<String>, case: &Case) -> String {
    if case.unordered {
        lines.retain(|line| !line.is_empty());
        lines.sort_unstable();
        // A task is announced again for each host that comes to it alone.
        lines.dedup();
    }
    lines.join("\n")
}

/// What was told of plays, tasks and hosts, without times.
pub(crate) fn tasks(events: &[TaskEvent], case: &Case, mask: &Mask) -> String {
    let lines = events
        .iter()
        .map(|event| {
            let mut event = event.clone();
            if let TaskEvent::Result(result) = &mut event {
                result.duration_ms = None;
                if result.task == ASKS {
                    result.tries = None;
                }
                // The job's number follows.
                if let Some(message) = &mut result.message
                    && message.starts_with(BACKGROUND)
                {
                    message.truncate(BACKGROUND.len());
                }
            }
            mask.apply(&format!("{event:?}"))
        })
        .collect();
    joined(lines, case)
}

/// Puts nothing in the place of a text value of this key.
fn blank(line: &str, key: &str) -> String {
    let begin = format!("\"{key}\": \"");
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(&begin) {
        let value = after.split_once('"').map_or("", |(_, after)| after);
        out.push_str(before);
        out.push_str(&begin);
        out.push('"');
        rest = value;
    }
    out.push_str(rest);
    out
}

/// Paths, modes and contents below a directory; what begins with a dot is not
/// a playbook's result.
pub(crate) fn files(dir: &Path, mask: &Mask) -> String {
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    let mut text = String::new();
    for (path, what) in found {
        writeln!(text, "{path} {}", mask.apply(&what)).unwrap();
    }
    text
}

fn walk(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
    use std::os::unix::fs::PermissionsExt;

    for entry in fs_err::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            found.insert(name, format!("{mode:o}"));
            walk(root, &path, found);
        } else {
            let bytes = fs_err::read(&path).unwrap();
            found.insert(
                name,
                format!("{mode:o} {:?}", String::from_utf8_lossy(&bytes)),
            );
        }
    }
}

/// What the plugin `probe` of the project wrote, unless no play began.
pub(crate) fn probe(dir: &Path) -> Option<Value> {
    let bytes = fs_err::read(dir.join(".probe.json")).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

/// Whether the first process of a run came out of a fork server: its guard
/// was given it instead of starting it.
pub(crate) fn is_warm(probe: &Value) -> bool {
    let parent = probe["parent"].as_array().unwrap();
    parent.iter().any(|argument| argument == "--adopt")
}

/// The probe without what says that a run was warm.
pub(crate) fn process(probe: Option<Value>, mask: &Mask) -> String {
    let Some(mut probe) = probe else {
        return "no play began".to_owned();
    };
    probe.as_object_mut().unwrap().remove("parent");
    mask.apply(&format!("{probe:#}"))
}
