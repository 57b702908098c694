//! Two kinds of time, kept apart by type.
//!
//! [`Timestamp`] is what people read and history is filtered by. It may jump.
//! [`BootTime`] is what leases, delays and deadlines are measured with: the
//! kernel's boot-time clock, which counts suspended time and never jumps.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC with millisecond precision.
///
/// Displays as RFC 3339, always with milliseconds: `2026-11-20T22:43:00.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch. Values outside the years that
    /// RFC 3339 can write are clamped to them.
    pub fn from_millis(millis: i64) -> Self {
        // 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z.
        Self(millis.clamp(-62_167_219_200_000, 253_402_207_200_999))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment moved forward; saturates at the end of the calendar.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This moment moved back; saturates at the start of the calendar.
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// Of a date in a header of HTTP, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http(text: &str) -> Option<Self> {
        let at = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Self::from_millis(at.timestamp().as_millisecond()))
    }

    /// The calendar year, as it appears in generated event ids.
    pub fn year(self) -> i16 {
        self.zoned().year()
    }

    fn zoned(self) -> jiff::Zoned {
        jiff::Timestamp::from_millisecond(self.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.zoned().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
    }
}

/// A text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an RFC 3339 time such as `2026-11-20T22:43:00Z`")]
pub struct TimestampError {
    pub text: String,
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(|at| Self::from_millis(at.as_millisecond()))
            .map_err(|_| TimestampError {
                text: text.chars().take(64).collect(),
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A reading of the boot-time clock: which boot, and milliseconds since it.
///
/// Readings of different boots cannot be compared: whatever was measured
/// before a reboot has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTime {
    /// The kernel's `boot_id`.
    pub boot: String,
    /// Milliseconds on `CLOCK_BOOTTIME`.
    pub millis: i64,
}

impl BootTime {
    /// This reading moved forward.
    pub fn plus(&self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            boot: self.boot.clone(),
            millis: self.millis.saturating_add(millis),
        }
    }

    /// Whether `self` lies at or before `now`, or in another boot.
    pub fn has_passed(&self, now: &Self) -> bool {
        self.boot != now.boot || self.millis <= now.millis
    }
}

/// Where time comes from. The only implementation that asks the system lives
/// in the binary; tests bring their own.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// The boot-time clock.
    fn boot(&self) -> BootTime;
}
