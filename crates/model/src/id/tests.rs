use super::{DeadLetterId, EventId, JobId, Revision, RuleName, WorkerId};

#[track_caller]
fn refused<T: std::str::FromStr<Err = super::IdError>>(text: &str, expect: &str) {
    let error = text.parse::<T>().err().map(|error| error.to_string());
    let error = error.unwrap_or_default();
    assert!(error.starts_with(expect), "{error}");
}

#[test]
fn what_is_no_id_is_named_in_words() {
    refused::<EventId>("a b", "an event id may not contain ' '");
    refused::<EventId>("", "an event id must have 1 to 200 characters");
    refused::<JobId>("a/b", "a job id may not contain '/'");
    refused::<DeadLetterId>("a/b", "a dead letter id may not contain '/'");
    refused::<RuleName>("two words", "a rule name may not contain ' '");
    refused::<WorkerId>("", "a worker id must have 1 to 200 characters");
    refused::<Revision>("-", "a revision may not contain '-'");
}
