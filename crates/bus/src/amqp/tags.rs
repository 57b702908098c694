//! Which deliveries of a connection are not settled, and how few messages tell
//! the broker what has become of them. Pure.

use std::collections::BTreeSet;

/// A delivery, or all up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) number: u64,
    pub(super) multiple: bool,
}

/// The deliveries of one channel that are not settled.
#[derive(Debug, Default)]
pub(super) struct Outstanding(BTreeSet<u64>);

impl Outstanding {
    pub(super) fn add(&mut self, number: u64) {
        self.0.insert(number);
    }

    /// Takes these out. One message covers everything up to the last of them
    /// that has nothing unsettled before it; the others go one by one.
    /// Numbers that are not outstanding are left out: settling twice closes
    /// the channel.
    pub(super) fn settle(&mut self, numbers: &[u64]) -> Vec<Settlement> {
        let mut gone: Vec<u64> = numbers
            .iter()
            .copied()
            .filter(|number| self.0.remove(number))
            .collect();
        gone.sort_unstable();
        let oldest = self.0.first().copied().unwrap_or(u64::MAX);
        let covered = gone.partition_point(|number| *number < oldest);
        let mut settlements = Vec::new();
        if let Some(last) = covered.checked_sub(1).and_then(|at| gone.get(at)) {
            settlements.push(Settlement {
                number: *last,
                multiple: covered > 1,
            });
        }
        settlements.extend(gone.iter().skip(covered).map(|number| Settlement {
            number: *number,
            multiple: false,
        }));
        settlements
    }
}

#[cfg(test)]
mod tests;
