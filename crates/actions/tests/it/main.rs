//! Real programs and real playbooks under a real guard.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at the system themselves"
)]

mod bad_days;
mod command;
mod conformance;
mod corpus;
mod guard;
mod playbook;
mod playbook_options;
mod sshd;
mod stage;
mod supervise_account;
mod supervise_playbook;
mod tasks;
mod warm;
mod worker;
