//! The wait grows to its cap and starts over.

use super::*;

#[test]
fn the_wait_grows_to_five_seconds_and_starts_over() {
    let mut backoff = Backoff::default();
    let waits: Vec<Duration> = (0..8).map(|_| backoff.next()).collect();
    assert!(waits[0] >= FIRST.mul_f64(0.75) && waits[0] < FIRST.mul_f64(1.25));
    assert!(waits[7] >= MOST.mul_f64(0.75) && waits[7] < MOST.mul_f64(1.25));
    backoff.reset();
    assert!(backoff.next() < FIRST.mul_f64(1.25));
}
