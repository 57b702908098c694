use std::time::Duration;

use model::clock::{BootTime, Timestamp};

use super::look;

fn boot(seconds: i64) -> BootTime {
    BootTime {
        boot: "one".to_owned(),
        millis: seconds * 1000,
    }
}

fn wall(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
}

/// Looks at each (boot, wall) in seconds; says whether the last is believed.
#[track_caller]
fn check(readings: &[(i64, i64)], expect: bool) {
    let mut seen = None;
    for (boot_seconds, wall_seconds) in readings {
        let (now, _) = look(seen.as_ref(), wall(*wall_seconds), boot(*boot_seconds));
        seen = Some(now);
    }
    assert_eq!(expect, seen.unwrap().is_settled());
}

#[test]
fn a_clock_that_jumps_is_not_believed_until_it_has_settled() {
    let year = 365 * 24 * 3600;
    check(&[(0, 0)], true);
    check(&[(0, 0), (60, 60), (120, 121)], true);
    check(&[(0, 0), (60, year)], false);
    check(&[(0, 0), (60, -year)], false);
    check(&[(0, 0), (60, year), (120, year + 60)], false);
    check(&[(0, 0), (60, year), (3660, year + 3600)], true);
    check(&[(0, 0), (60, year), (120, 120), (3660, 3660)], false);
}

#[test]
fn a_reboot_between_two_looks_is_no_reason_to_panic() {
    let (seen, _) = look(None, wall(0), boot(0));
    let other = BootTime {
        boot: "two".to_owned(),
        millis: 5,
    };
    let (_, jump) = look(Some(&seen), wall(30), other);
    assert_eq!(None, jump);
    assert!(Duration::from_secs(30) < super::TOLERATED);
}
