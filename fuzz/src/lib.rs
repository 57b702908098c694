//! What must hold for every input from outside, one module for each target.
//!
//! A target brings its own seeds: they are written into the directory that it
//! is started with before libFuzzer reads that.

use std::{env, fs, path::Path};

use model::event::Event;
use serde_json::{Value, json};

pub mod cloud_event;
pub mod condition;
pub mod cursor;
pub mod event_json;
pub mod rule_file;
pub mod topic;

/// Writes the seeds into the first directory of the command line.
pub fn seed(seeds: &[&str]) {
    let Some(corpus) = env::args().skip(1).find(|arg| !arg.starts_with('-')) else {
        return;
    };
    for (number, seed) in seeds.iter().enumerate() {
        let path = Path::new(&corpus).join(format!("seed-{number}"));
        fs::write(path, seed).expect("the directory of the corpus is there");
    }
}

/// Two texts: up to the first line break, and behind it.
fn halves(data: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(data).ok()?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}

/// An event with this body.
fn event(body: &Value) -> Event {
    let event = json!({
        "id": "e", "topic": "org.example.build", "source": "api",
        "time": "2026-01-02T03:04:05Z", "accepted": "2026-01-02T03:04:05Z",
        "severity": "info", "headers": {"colour": "red"}, "body": body,
        "origin": {"verified": false, "by": null, "via": "http"},
    });
    serde_json::from_value(event).expect("this is an event")
}
