//! The real binary, driven as people drive it: with real projects, a real
//! store, and real `ansible-playbook` where a playbook is run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests start programs and say what is wrong by panicking"
)]

mod accounts;
mod amqp;
mod ansible;
mod author;
mod by_hand;
mod chaos;
mod check;
mod collection;
mod dice;
mod examples;
mod faces;
mod harness;
mod hostile;
mod import;
mod interop;
mod life;
mod logs;
mod machine;
mod openapi;
mod payload;
mod publish;
mod sweep;
mod systemd;
mod tail;
mod tasks;
mod terminal;
mod tokens;
