//! The only place that asks the system what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use model::clock::{BootTime, Clock, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// The system's clocks.
#[derive(Debug, Clone)]
pub(crate) struct SystemClock {
    boot: String,
}

impl SystemClock {
    pub(crate) fn new() -> std::io::Result<Self> {
        let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self {
            boot: boot.trim().to_owned(),
        })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn boot(&self) -> BootTime {
        let reading = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .expect("every supported kernel has a boot-time clock");
        let millis = reading.tv_sec() * 1000 + reading.tv_nsec() / 1_000_000;
        BootTime {
            boot: self.boot.clone(),
            millis,
        }
    }
}

/// What the wall clock says.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the implementation of `Clock` that all others are kept from"
)]
pub(crate) fn wall() -> Timestamp {
    let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    };
    Timestamp::from_millis(millis)
}
