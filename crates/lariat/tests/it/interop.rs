//! Lariat between the real programs that it has to get on with: their
//! publishers feed it, their consumers take what it publishes.
//!
//! The peers come from PyPI (`cargo xtask services`), the broker is private.

pub(crate) mod cloudevents;
mod fedora;
mod loopabull;
mod prometheus;
mod serializer;

use std::path::Path;

use serde_json::Value;
use testkit::process::wait_until;

use crate::harness::{PATIENCE, Service};

/// The objects of a file with one on each line; none when it is not there yet.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    // The last line may still be being written.
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    complete
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until a file has so many lines, and then these.
async fn wait_lines(path: &Path, count: usize, what: &str, service: &Service) -> Vec<Value> {
    let mut seen = Vec::new();
    let name = format!("{what} ({count} lines in {})", path.display());
    let ended = tokio::time::timeout(
        PATIENCE,
        wait_until(&name, PATIENCE * 2, async || {
            seen = lines(path);
            seen.len() >= count
        }),
    );
    if ended.await.is_err() {
        panic!(
            "{name}: {seen:#?}\nlariat said:\n{}",
            service.program.stderr()
        );
    }
    assert_eq!(count, seen.len(), "{what}: {seen:#?}");
    seen
}
