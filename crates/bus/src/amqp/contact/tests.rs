//! What is said of the broker, and what it says itself.

use super::*;

fn at(seconds: i64) -> BootTime {
    BootTime {
        boot: "b".to_owned(),
        millis: seconds * 1000,
    }
}

#[test]
fn silence_counts_from_the_last_answer_or_refusal() {
    let hearing = Hearing::new(at(0));
    assert_eq!(Contact::Silent { since: at(0) }, hearing.get());
    hearing.connected(1, at(10));
    hearing.answered(1, at(15));
    hearing.answered(7, at(99));
    assert_eq!(
        Contact::Live {
            connection: 1,
            answered: at(15)
        },
        hearing.get()
    );
    hearing.lost();
    assert_eq!(Contact::Silent { since: at(15) }, hearing.get());
    hearing.refused(at(40));
    assert_eq!(Contact::Down, hearing.get());
    hearing.unclear();
    assert_eq!(Contact::Silent { since: at(40) }, hearing.get());
}

#[test]
fn the_brokers_limit_is_read_from_its_words() {
    // As RabbitMQ 3.8.17 to 4.1 say it.
    let said = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout \
                value used: 60000 ms. This timeout value can be configured, see consumers doc \
                guide to learn more";
    assert_eq!(Some(Duration::from_secs(30)), patience_of(said));
    assert_eq!(
        None,
        patience_of("PRECONDITION_FAILED - unknown delivery tag 7")
    );
    // Before that it named no value.
    assert_eq!(
        None,
        patience_of("PRECONDITION_FAILED - consumer ack timed out on channel 1")
    );
}
