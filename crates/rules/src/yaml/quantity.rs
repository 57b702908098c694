//! Durations and sizes as people write them: `90s`, `10MiB`.

use std::time::Duration;

/// A text that is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("expected a duration such as `500ms`, `90s`, `10m`, `2h` or `30d`, found {found:?}")]
    Duration { found: String },
    #[error("expected a size such as `512B`, `64KiB` or `10MiB`, found {found:?}")]
    Size { found: String },
    #[error("{found:?} is too large")]
    TooLarge { found: String },
}

/// A whole number and a unit: `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let (count, unit) = split(text).ok_or_else(|| QuantityError::Duration {
        found: shorten(text),
    })?;
    let millis_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(QuantityError::Duration {
                found: shorten(text),
            });
        }
    };
    // A century is longer than any clock here reaches.
    let most = 36_525 * 86_400_000;
    count
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(millis_each))
        .filter(|millis| *millis <= most)
        .map(Duration::from_millis)
        .ok_or_else(|| QuantityError::TooLarge {
            found: shorten(text),
        })
}

/// A whole number and a unit: `B`, `KiB`, `MiB`, `GiB`, or `kB`, `MB`, `GB`.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let (count, unit) = split(text).ok_or_else(|| QuantityError::Size {
        found: shorten(text),
    })?;
    let bytes_each: u64 = match unit {
        "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => {
            return Err(QuantityError::Size {
                found: shorten(text),
            });
        }
    };
    count
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(bytes_each))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| QuantityError::TooLarge {
            found: shorten(text),
        })
}

/// Digits and what follows them; both must be there.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    (end > 0).then(|| text.split_at(end))
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}
