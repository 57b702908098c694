use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Slot, Standing, State, keeper, pause, proof, seed::Key, stamp::Watched};

fn used(ago: Duration, now: Instant) -> Slot {
    Slot {
        generation: 1,
        standing: Standing::Cold {
            reason: String::new(),
            again: None,
        },
        watched: Arc::new(Watched::default()),
        version: None,
        started: 0,
        failures: 0,
        used: now - ago,
    }
}

/// Who is left of servers that were used so many seconds ago.
#[track_caller]
fn check_room(max: usize, ages: &[u64], left: &[u64], has_room: bool) {
    let now = Instant::now() + Duration::from_secs(10_000);
    let mut state = State::default();
    for age in ages {
        let slot = used(Duration::from_secs(*age), now);
        state.slots.insert(Key::of_test(*age), slot);
    }
    assert_eq!(has_room, state.make_room(max, now).is_ok(), "{ages:?}");
    let mut found: Vec<u64> = state
        .slots
        .values()
        .map(|slot| now.duration_since(slot.used).as_secs())
        .collect();
    found.sort_unstable();
    assert_eq!(left, found, "{ages:?}");
}

#[test]
fn the_server_that_was_not_used_for_longest_makes_room() {
    check_room(3, &[100, 200], &[100, 200], true);
    check_room(3, &[100, 200, 300], &[100, 200], true);
    check_room(1, &[100, 200, 300], &[], true);
}

#[test]
fn a_server_in_use_does_not() {
    check_room(2, &[1, 2], &[1, 2], false);
    check_room(2, &[1, 200], &[1], true);
}

#[test]
fn a_server_that_fails_again_and_again_is_left_alone_for_longer() {
    let pauses: Vec<u64> = (0..12).map(|failures| pause(failures).as_secs()).collect();
    assert_eq!(
        vec![0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300],
        pauses
    );
    assert_eq!(300, pause(u32::MAX).as_secs());
}

/// The files below a directory of the workspace, by their paths in it.
fn below(directory: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let mut open = vec![root.join(directory)];
    while let Some(path) = open.pop() {
        if path.ends_with("__pycache__") {
            continue;
        }
        if path.is_dir() {
            let entries = fs_err::read_dir(path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            let path = path.strip_prefix(root.join("ansible")).unwrap();
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn all_of_the_python_is_in_the_binary() {
    let sources: Vec<String> = keeper::SOURCES
        .map(|(name, _)| format!("warm/{name}"))
        .into();
    assert_eq!(below("ansible/warm"), sources);
    let canary: Vec<&str> = proof::CANARY.map(|(name, _)| name).into();
    assert_eq!(below("ansible/canary"), canary);
}
