//! Lengths of time as people write them on the command line: `90s`, `10m`,
//! `24h`, `30d`.

use std::{str::FromStr, time::Duration};

use rules::yaml::{QuantityError, parse_duration};

/// A length of time, read as the configuration reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_duration(text).map(Self)
    }
}

/// Short and readable: `1.2s`, `3m 10s`, `2h 5m`, `4d 1h`.
pub(crate) fn display(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (large, small) = match seconds {
        0..10 => return format!("{:.1}s", duration.as_secs_f64()),
        10..60 => return format!("{seconds}s"),
        60..3600 => ((seconds / 60, "m"), (seconds % 60, "s")),
        3600..86400 => ((seconds / 3600, "h"), (seconds % 3600 / 60, "m")),
        _ => ((seconds / 86400, "d"), (seconds % 86400 / 3600, "h")),
    };
    if small.0 == 0 {
        format!("{}{}", large.0, large.1)
    } else {
        format!("{}{} {}{}", large.0, large.1, small.0, small.1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::display;

    #[test]
    fn a_length_of_time_is_shown_shortly() {
        assert_eq!("0.0s", display(Duration::ZERO));
        assert_eq!("1.5s", display(Duration::from_millis(1500)));
        assert_eq!("59s", display(Duration::from_millis(59_900)));
        assert_eq!("3m 10s", display(Duration::from_secs(190)));
        assert_eq!("1h", display(Duration::from_secs(3600)));
        assert_eq!("2h 5m", display(Duration::from_secs(7500)));
        assert_eq!("4d 1h", display(Duration::from_secs(4 * 86400 + 3600)));
    }
}
