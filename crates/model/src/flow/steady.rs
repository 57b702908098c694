//! The time that windows and delays are measured in.
//!
//! Within one boot it is the boot-time clock, so that a wall clock that jumps
//! moves nothing. Readings of the boot-time clock mean nothing after a reboot;
//! so each boot is laid on one line with those before, at the place where the
//! wall clock says that it is.

use std::time::Duration;

use crate::clock::{BootTime, Timestamp};

/// A place on the line, in milliseconds. It is near the wall clock as long as
/// nobody sets that, and is not to be shown to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub i64);

impl Tick {
    /// This place moved forward.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long after `earlier` it lies; zero when it does not.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// One moment, for what is decided and for what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub tick: Tick,
    pub wall: Timestamp,
}

impl Moment {
    /// The moment at `tick`, if nobody sets the wall clock until then.
    #[must_use]
    pub fn at(self, tick: Tick) -> Self {
        let wall = if tick >= self.tick {
            self.wall.plus(tick.since(self.tick))
        } else {
            self.wall.minus(self.tick.since(tick))
        };
        Self { tick, wall }
    }
}

/// Where one boot lies on the line. A store keeps that of the boot in which
/// it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    pub boot: String,
    /// The tick at which the boot-time clock was zero.
    pub zero: i64,
}

impl Steady {
    /// A boot that is seen for the first time, with the latest time that the
    /// store has seen before: a wall clock that is behind it has not been set
    /// yet, and would make the past come again.
    pub fn begin(wall: Timestamp, boot: &BootTime, seen: Option<Timestamp>) -> Self {
        let wall = seen.map_or(wall, |seen| wall.max(seen));
        Self {
            boot: boot.boot.clone(),
            zero: wall.as_millis().saturating_sub(boot.millis),
        }
    }

    /// What the clock reads; nothing when it is the clock of another boot.
    pub fn tick(&self, boot: &BootTime) -> Option<Tick> {
        (self.boot == boot.boot).then(|| Tick(self.zero.saturating_add(boot.millis)))
    }
}
