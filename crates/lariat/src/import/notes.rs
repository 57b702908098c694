//! What is not as it was with Loopabull, in sentences, and the file that keeps
//! them.

use std::path::Path;

use crate::import::{
    found::Found,
    loopabull::{Loopabull, Looper},
    project::goes_away,
};

/// Settings of `ansible.cfg` that are paths. A relative one starts where the
/// file is, and the file has moved.
const PATHS: [&str; 24] = [
    "action_plugins",
    "become_plugins",
    "cache_plugins",
    "callback_plugins",
    "cliconf_plugins",
    "collections_path",
    "collections_paths",
    "connection_plugins",
    "fact_caching_connection",
    "filter_plugins",
    "inventory",
    "inventory_plugins",
    "library",
    "log_path",
    "lookup_plugins",
    "module_utils",
    "private_key_file",
    "role_path",
    "roles_path",
    "strategy_plugins",
    "test_plugins",
    "vars_plugins",
    "vault_identity_list",
    "vault_password_file",
];

/// About what was found on this machine, and what was not.
pub(super) fn of_the_machine(config: &Loopabull, found: &Found) -> Vec<String> {
    let mut remarks = found.skipped.clone();
    if found.directory.is_none() {
        remarks.push(format!(
            "There is no directory `{}` here: copy the playbooks into `playbooks/`.",
            config.playbooks_dir.display()
        ));
    }
    match &found.ansible_cfg {
        None => remarks.push(format!(
            "`{}` cannot be read here: copy it to `ansible.cfg`, or Ansible looks where it always \
             looks.",
            config.ansible_cfg.display()
        )),
        Some((place, text)) => remarks.extend(relative_paths(place, text)),
    }
    remarks
}

fn relative_paths(place: &Path, text: &str) -> Vec<String> {
    let beside = place.parent().unwrap_or(Path::new("")).display();
    let mut remarks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim().to_lowercase(), value.trim());
        let is_relative = value.split([':', ',']).map(str::trim).any(|part| {
            let part = part.rsplit('@').next().unwrap_or(part);
            !part.is_empty() && !part.starts_with(['/', '~', '$', '{'])
        });
        // `host,` is a list of hosts.
        let is_hosts = key == "inventory" && value.ends_with(',');
        if PATHS.contains(&key.as_str()) && is_relative && !is_hosts {
            remarks.push(format!(
                "`ansible.cfg`, line {}: `{key} = {value}` is relative to the file. It was in \
                 `{beside}`; copy what it names, or write the whole path.",
                index + 1
            ));
        }
    }
    remarks
}

/// About what Lariat does in another way, whatever the configuration.
pub(super) fn of_loopabull(config: &Loopabull) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut add = |text: &str| remarks.push(text.to_owned());
    match &config.looper {
        Looper::Rabbit(rabbit) => {
            if rabbit.queue.exclusive || rabbit.queue.auto_delete || !rabbit.queue.durable {
                add(
                    "The queue goes away with its connection, or with the broker, as it did with \
                     Loopabull: what is sent meanwhile is lost. A durable queue that is neither \
                     `exclusive` nor `auto_delete`, under another name, keeps it.",
                );
            }
            if goes_away(rabbit) {
                add(
                    "Messages are acknowledged when they are stored (`ack: stored`), not when \
                     their playbooks have ended: a queue that goes away cannot hold them.",
                );
            }
            if rabbit.queue.exclusive {
                add(
                    "An exclusive queue has one reader: stop Loopabull before you start this, and \
                     start one instance only.",
                );
            }
        }
        Looper::Fedmsg => add(
            "The `fedmsg` looper has no source here: this version does not read fedmsg's ZeroMQ \
             (`kind: fedmsg`). The rules are there. Feed them from RabbitMQ (`kind: amqp`), where \
             Fedora's messages are today, or over HTTP.",
        ),
        Looper::Redis => add(
            "The `redis` looper has no source here: this version does not read Redis (and \
             Loopabull 0.0.7 itself fails at it). The rules are there. Feed them from RabbitMQ \
             (`kind: amqp`) or over HTTP.",
        ),
        Looper::Other(name) => remarks.push(format!(
            "The looper `{name}` is a plugin of your own and has no source here. The rules are \
             there. Feed them from RabbitMQ (`kind: amqp`) or over HTTP."
        )),
    }
    remarks.extend(
        [
            "A playbook that fails is tried three times, with pauses, and then is a dead letter \
             (`lariat dead list`). Loopabull put its message back and ran it again for ever. \
             `retry:` of a rule says otherwise.",
            "A message that is no JSON is a dead letter. It ended Loopabull, again at each start.",
            "One playbook runs at a time (`workers: {concurrency: 1}`), in the order of arrival. \
             What is tried again later comes after what arrived meanwhile; a `key` on the rules \
             keeps the order even then.",
            "A playbook that takes longer than an hour is ended: `timeout:` of a step says \
             otherwise. Loopabull waited without end, and the broker hung up on it.",
            "Values of messages reach playbooks as text that Ansible does not template. A playbook \
             that relied on `{{ … }}` inside of a message no longer runs it.",
            "Playbooks have `PATH`, `HOME` and `LANG`; Loopabull gave them nothing but \
             `ANSIBLE_CONFIG`. They also have `event` and `lariat` beside `msg`.",
        ]
        .map(str::to_owned),
    );
    remarks
}

/// NOTES.md.
pub(super) fn document(file: &str, remarks: &[String]) -> String {
    let mut text = format!(
        "# Imported from Loopabull\n\nThis project does what `{}` did. `lariat check` says whether \
         it is sound; the manual's chapter *Moving from Loopabull* says how to run both side by \
         side.\n\n## What is not as it was\n\n",
        file.replace(['`', '\n'], "?")
    );
    for remark in remarks {
        text.push_str("* ");
        text.push_str(&remark.replace('\n', " "));
        text.push('\n');
    }
    text
}
