//! What one run sets, the next must not see: pairs of cases, in which the
//! first changes all that it can and the second finds itself as if it had
//! been alone.

/// What sets something: variables of the run, secrets, options, facts and
/// hosts, warnings that were given, and the process itself.
const FIRST: [&str; 9] = [
    "overridden",
    "vault",
    "change in check mode",
    "tags chosen",
    "locals, every option",
    "facts",
    "groups",
    "warnings",
    "dirty",
];

/// What notices that something is set. All of them write down their process:
/// directory, environment, umask, signals, descriptors, limits, Python's and
/// Ansible's own state.
const SECOND: [&str; 9] = [
    "not-overridden",
    "vault without a password",
    "change",
    "tags",
    "locals",
    "facts",
    "groups",
    "warnings",
    "environment",
];

/// The pairs to run. What is the matter with the `n`th of the one is noticed
/// by the `n`th of the other; the rest is for who has the time.
pub(super) fn pairs(is_full: bool) -> Vec<(&'static str, &'static str)> {
    if !is_full {
        return FIRST.into_iter().zip(SECOND).collect();
    }
    let all = FIRST
        .iter()
        .flat_map(|one| SECOND.iter().map(|two| (*one, *two)));
    all.collect()
}
