//! Times as people say them.

use model::clock::Timestamp;

/// `3 s ago`, `in 2 min`; from thirty days on the date.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let millis = now.as_millis() - at.as_millis();
    let seconds = millis.unsigned_abs() / 1_000;
    let amount = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        86_400..2_592_000 => format!("{} d", seconds / 86_400),
        _ => return at.to_string().chars().take(10).collect(),
    };
    if millis > 0 {
        format!("{amount} ago")
    } else {
        format!("in {amount}")
    }
}

/// `0.12 s`, `48 s`, `3 min 5 s`, `2 h 7 min`. A clock that was set back
/// between the two makes it nothing.
pub(super) fn between(from: Timestamp, to: Timestamp) -> String {
    let millis = u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0);
    let seconds = millis / 1_000;
    match seconds {
        0..10 => format!("{}.{:02} s", seconds, millis % 1_000 / 10),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}
