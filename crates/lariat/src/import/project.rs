//! The project that does what Loopabull's configuration did, as texts.

use std::{collections::BTreeSet, path::Path};

use model::{
    json::hex,
    topic::{Topic, TopicPattern},
};

use crate::import::{
    found::{Found, whole},
    loopabull::{Login, Loopabull, Looper, Rabbit, RoutingKeys, Translator},
    names::NAMES,
    notes,
    scalar::{list, scalar},
};

/// The password, if there is one, stands in this file alone.
pub(super) const SECRET: &str = "rabbitmq.secret";

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: String,
    /// For its owner's eyes only.
    pub(super) is_secret: bool,
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) files: Vec<File>,
    /// What is not as it was, and why: whole sentences.
    pub(super) remarks: Vec<String>,
}

/// `file`: the configuration's name, for people.
pub(super) fn compose(file: &str, config: &Loopabull, found: &Found) -> Written {
    let mut remarks = config.remarks.clone();
    let rules = rules(config, found, &mut remarks);
    let lariat = lariat(file, config, &mut remarks);
    remarks.extend(notes::of_the_machine(config, found));
    remarks.extend(notes::of_loopabull(config));
    let mut files = vec![
        text("lariat.yml", lariat),
        text("rules/loopabull.yml", rules),
        text("NOTES.md", notes::document(file, &remarks)),
    ];
    let mut ignored = "# The store and what stands beside it.\n/lariat.db*\n".to_owned();
    if let Some(password) = password(config) {
        ignored.extend(["# The broker's password.\n/", SECRET, "\n"]);
        files.push(File {
            path: SECRET,
            text: format!("{password}\n"),
            is_secret: true,
        });
    }
    files.push(text(".gitignore", ignored));
    if let Some((_, cfg)) = &found.ansible_cfg {
        files.push(text("ansible.cfg", cfg.clone()));
    }
    Written { files, remarks }
}

fn text(path: &'static str, text: String) -> File {
    File {
        path,
        text,
        is_secret: false,
    }
}

/// A password that is worth hiding.
fn password(config: &Loopabull) -> Option<&str> {
    let Looper::Rabbit(rabbit) = &config.looper else {
        return None;
    };
    let Login::Plain { password, .. } = &rabbit.login else {
        return None;
    };
    Some(password.reveal()).filter(|password| !password.is_empty())
}

fn lariat(file: &str, config: &Loopabull, remarks: &mut Vec<String>) -> String {
    let mut lines = vec![
        format!(
            "# Written by `lariat import loopabull` from {}.",
            scalar(file)
        ),
        "# NOTES.md says what is not as it was.".to_owned(),
        "listen: 127.0.0.1:8470".to_owned(),
        "store: sqlite:lariat.db".to_owned(),
    ];
    match &config.looper {
        Looper::Rabbit(rabbit) => lines.extend(source(file, rabbit)),
        Looper::Fedmsg | Looper::Redis | Looper::Other(_) => {}
    }
    if let Some(command) = playbook_command(&config.playbook_cmd, remarks) {
        lines.push(format!(
            "ansible: {{playbook_command: {}}}",
            scalar(&command)
        ));
    }
    lines.push("# Loopabull runs one playbook at a time.".to_owned());
    lines.push("workers: {concurrency: 1}".to_owned());
    if config.log_level != "info" {
        lines.push(format!("log: {{level: {}}}", config.log_level));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn source(file: &str, rabbit: &Rabbit) -> Vec<String> {
    let beside = Path::new(file).parent().unwrap_or(Path::new(""));
    let is_tls = matches!(rabbit.login, Login::External { .. });
    let scheme = if is_tls { "amqps" } else { "amqp" };
    let host = if rabbit.host.contains(':') {
        format!("[{}]", rabbit.host)
    } else {
        rabbit.host.clone()
    };
    let port = rabbit.port.map_or(String::new(), |port| format!(":{port}"));
    let url = format!("{scheme}://{host}{port}/{}", encoded(&rabbit.vhost));
    let mut lines = vec![
        "sources:".to_owned(),
        "  loopabull:".to_owned(),
        "    kind: amqp".to_owned(),
        format!("    url: {}", quoted_url(&url)),
    ];
    match &rabbit.login {
        Login::Guest => {}
        Login::Plain { username, password } => {
            lines.push(format!("    username: {}", scalar(username)));
            lines.push(if password.reveal().is_empty() {
                "    password: ''".to_owned()
            } else {
                format!("    password: {{file: {SECRET}}}")
            });
        }
        Login::External { ca, cert, key } => {
            lines.push("    tls:".to_owned());
            for (name, path) in [("ca", ca), ("cert", cert), ("key", key)] {
                let path = whole(path, beside).display().to_string();
                lines.push(format!("      {name}: {}", scalar(&path)));
            }
        }
    }
    if !rabbit.bindings.is_empty() {
        lines.push(format!("    exchange: {}", scalar(&rabbit.exchange)));
        lines.push(format!("    bindings: {}", list(&rabbit.bindings)));
    }
    let queue = &rabbit.queue;
    lines.push("    queue:".to_owned());
    lines.push(format!("      name: {}", scalar(&queue.name)));
    lines.push("      # As Loopabull declares it, should it not be there.".to_owned());
    lines.push("      type: classic".to_owned());
    for (name, is_set) in [
        ("durable", queue.durable),
        ("exclusive", queue.exclusive),
        ("auto_delete", queue.auto_delete),
    ] {
        lines.push(format!("      {name}: {is_set}"));
    }
    lines.push("    # Old serializers' messages and those of Loopabull 0.0.7 alike.".to_owned());
    lines.push("    format: serializer".to_owned());
    if goes_away(rabbit) {
        lines.push(
            "    # The queue goes away with its connection: the store holds the work.".to_owned(),
        );
        lines.push("    ack: stored".to_owned());
    } else {
        lines.push("    ack: done".to_owned());
    }
    if let Some(seconds) = rabbit.heartbeat {
        lines.push(format!("    heartbeat: {seconds}s"));
    }
    lines
}

/// Whether the queue is gone when nobody reads it.
pub(super) fn goes_away(rabbit: &Rabbit) -> bool {
    rabbit.queue.exclusive || rabbit.queue.auto_delete
}

/// Percent-encoded, every byte that means something in an address.
fn encoded(vhost: &str) -> String {
    if vhost == "/" {
        return String::new();
    }
    let mut text = String::new();
    for byte in vhost.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.extend(["%", &hex(&[byte]).to_uppercase()]);
        }
    }
    text
}

/// An address is plain YAML when it holds nothing but an address.
fn quoted_url(url: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_~%[]".contains(c);
    if url.chars().all(is_plain) {
        url.to_owned()
    } else {
        scalar(url)
    }
}

/// The program, unless it is the one that is found anyway.
fn playbook_command(command: &str, remarks: &mut Vec<String>) -> Option<String> {
    if ["ansible-playbook", "/usr/bin/ansible-playbook"].contains(&command) {
        return None;
    }
    let is_there = command.contains('/') && fs_err::metadata(command).is_ok();
    if command.starts_with('-') || (command.contains(char::is_whitespace) && !is_there) {
        remarks.push(format!(
            "`playbook_cmd: {command}` was left out: it is one program without arguments. Write a \
             small script that adds them, and name it in `lariat.yml` as `ansible: \
             {{playbook_command: …}}`."
        ));
        return None;
    }
    if !command.ends_with("ansible-playbook") {
        remarks.push(format!(
            "`{command}` is called as `ansible-playbook` would be, with other arguments than \
             Loopabull's: see what it does with them."
        ));
    }
    Some(command.to_owned())
}

fn rules(config: &Loopabull, found: &Found, remarks: &mut Vec<String>) -> String {
    let vars = vars(found, remarks);
    let mut lines = vec![
        "# One rule for each of Loopabull's routing keys.".to_owned(),
        "rules:".to_owned(),
    ];
    match &config.routing_keys {
        RoutingKeys::All => {
            let playbook = match config.translator {
                Translator::Name => "{{ event.topic }}.yml",
                Translator::Directory => "{{ event.topic | replace('.', '/') }}.yml",
            };
            lines.extend(rule("all", "#", playbook, (true, &vars)));
        }
        RoutingKeys::These(keys) => {
            let mut names = BTreeSet::new();
            let mut seen = BTreeSet::new();
            for key in keys {
                if !seen.insert(key) {
                    continue;
                }
                if let Err(why) = topic(key) {
                    remarks.push(format!("The routing key `{key}` has no rule: {why}."));
                    continue;
                }
                let path = match config.translator {
                    Translator::Name => format!("{key}.yml"),
                    Translator::Directory => format!("{}.yml", key.replace('.', "/")),
                };
                let is_missing = !found.has_playbook(&path);
                if is_missing {
                    remarks.push(format!(
                        "There is no playbook `{path}`. Loopabull would try it for ever; its rule \
                         passes such events over until there is one (`missing: skip`)."
                    ));
                }
                let name = rule_name(key, &mut names);
                lines.extend(rule(&name, key, &path, (is_missing, &vars)));
            }
            if lines.len() == 2 {
                lines.pop();
                lines.push("rules: []".to_owned());
            }
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn rule(
    name: &str,
    on: &str,
    playbook: &str,
    (may_be_missing, vars): (bool, &[(&str, &str)]),
) -> Vec<String> {
    let mut lines = vec![
        format!("  - name: {}", scalar(name)),
        format!("    on: {}", scalar(on)),
        "    run:".to_owned(),
        format!("      playbook: {}", scalar(playbook)),
    ];
    if may_be_missing {
        lines.push("      missing: skip".to_owned());
    }
    if !vars.is_empty() {
        lines.push("      vars:".to_owned());
        for (name, value) in vars {
            lines.push(format!("        {name}: {}", scalar(value)));
        }
    }
    lines
}

/// The names of the envelope that the playbooks use and do not set themselves.
fn vars(found: &Found, remarks: &mut Vec<String>) -> Vec<(&'static str, &'static str)> {
    let uses = &found.uses;
    for name in uses.used.intersection(&uses.defined) {
        remarks.push(format!(
            "Playbooks use `{name}` and also give it a value of their own, so it is not among \
             `vars`. Add it to the rules whose playbooks mean the envelope's."
        ));
    }
    NAMES
        .into_iter()
        .filter(|(name, _)| uses.used.contains(name) && !uses.defined.contains(name))
        .collect()
}

/// A routing key is compared as it is, so it has to be a topic.
fn topic(key: &str) -> Result<(), String> {
    if key.parse::<TopicPattern>().is_ok() && key.split('.').any(|word| ["*", "#"].contains(&word))
    {
        return Err(
            "Loopabull compares it as it is and never met it; a rule whose `on` it is would run"
                .to_owned(),
        );
    }
    if key.contains("{{") || key.contains("{%") || key.contains("{#") {
        return Err("it would be a template in the name of its playbook".to_owned());
    }
    match Topic::from_outside(key) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The key, as far as it can be the name of a rule.
fn rule_name(key: &str, taken: &mut BTreeSet<String>) -> String {
    const LONGEST: usize = 90;
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let base: String = key.chars().map(fit).take(LONGEST).collect();
    let mut name = base.clone();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{base}-{number}");
    }
    name
}

#[cfg(test)]
mod tests;
