//! A clock that tests move.
//!
//! The wall clock and the boot-time clock move apart, as in life: the wall
//! may jump, the boot clock only goes forward until a reboot. It never asks
//! the system for the time of day.

use std::{sync::Mutex, time::Duration};

use model::clock::{BootTime, Clock, Timestamp};
use tokio::time::Instant;

/// Where every test begins: a Friday evening.
pub const START: &str = "2026-11-20T22:43:00.000Z";

/// Time for tests.
#[derive(Debug)]
pub struct TestClock {
    hands: Mutex<Hands>,
}

#[derive(Debug)]
struct Hands {
    /// Both clocks follow tokio's time from here; absent: moved by hand only.
    since: Option<Instant>,
    /// The readings at `since`, with all that was moved by hand.
    wall: Timestamp,
    boot_millis: i64,
    boots: u32,
}

impl Hands {
    fn followed(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl TestClock {
    /// Both clocks follow tokio's, which a test may have paused, and can be
    /// moved by hand besides.
    pub fn following() -> Self {
        Self::with(Some(Instant::now()))
    }

    /// Moved by hand only: for stores that run on real threads.
    pub fn by_hand() -> Self {
        Self::with(None)
    }

    fn with(since: Option<Instant>) -> Self {
        Self {
            hands: Mutex::new(Hands {
                since,
                wall: START.parse().expect("the constant is a time"),
                boot_millis: 1_000_000,
                boots: 1,
            }),
        }
    }

    /// Time passes on both clocks.
    pub fn advance(&self, by: Duration) {
        self.change(|hands| {
            hands.wall = hands.wall.plus(by);
            hands.boot_millis += millis(by);
        });
    }

    /// Time passes on the boot-time clock, and the wall clock stands still.
    pub fn advance_boot(&self, by: Duration) {
        self.change(|hands| hands.boot_millis += millis(by));
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, to: Timestamp) {
        self.change(|hands| {
            let followed = hands.followed();
            hands.wall = to.minus(followed);
        });
    }

    /// The machine restarts: another boot, and its clock begins anew.
    pub fn reboot(&self) {
        self.change(|hands| {
            hands.boots += 1;
            hands.boot_millis = 0;
            if hands.since.is_some() {
                hands.wall = hands.wall.plus(hands.followed());
                hands.since = Some(Instant::now());
            }
        });
    }

    fn change(&self, how: impl FnOnce(&mut Hands)) {
        how(&mut self.hands.lock().expect("no holder of this lock panics"));
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("tests wait for less than an age")
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let hands = self.hands.lock().expect("no holder of this lock panics");
        hands.wall.plus(hands.followed())
    }

    fn boot(&self) -> BootTime {
        let hands = self.hands.lock().expect("no holder of this lock panics");
        BootTime {
            boot: format!("boot-{}", hands.boots),
            millis: hands.boot_millis + millis(hands.followed()),
        }
    }
}

/// Lets `duration` pass on tokio's paused clock, where time costs nothing.
///
/// # Panics
///
/// When the clock is not paused: a test waits for a condition, not for time.
pub async fn let_pass(duration: Duration) {
    let real = std::time::Instant::now();
    let never = std::future::pending::<()>();
    tokio::time::timeout(duration, never).await.ok();
    assert!(
        real.elapsed() < duration.max(Duration::from_secs(1)),
        "tokio's clock is not paused"
    );
}

#[cfg(test)]
mod tests;
