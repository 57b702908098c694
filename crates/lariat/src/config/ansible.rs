//! `ansible:`: which program runs playbooks, and how it is started.

use std::time::Duration;

use rules::{
    Code,
    yaml::{Node, Reader},
};

use crate::config::{DAY, SECOND, section};

/// What `ansible:` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ansible {
    /// The program of playbook steps, looked up on PATH. Default
    /// `ansible-playbook`.
    pub(crate) playbook_command: String,
    /// Whether playbooks may be started by a fork server. Default true.
    pub(crate) warm: bool,
    /// Fork servers at one time, 1 to 64. Default 4.
    pub(crate) warm_max: usize,
    /// A fork server that was not used for so long is ended, 10s to 1d.
    /// Default 15m.
    pub(crate) warm_idle: Duration,
}

impl Default for Ansible {
    fn default() -> Self {
        Self {
            playbook_command: "ansible-playbook".to_owned(),
            warm: true,
            warm_max: 4,
            warm_idle: Duration::from_secs(15 * 60),
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, ansible: &mut Ansible) {
    let Some(mut section) = reader.mapping(node, "`ansible`") else {
        return;
    };
    if let Some(node) = section.optional("playbook_command")
        && let Some(text) = reader.string(node)
    {
        if text.is_empty() || text.contains('\0') || text.starts_with('-') {
            reader.error(
                Code::BadValue,
                node.span,
                "this is not the name of a program".to_owned(),
                Some(
                    "one program without arguments, such as `/opt/ansible/bin/ansible-playbook`"
                        .to_owned(),
                ),
            );
        } else {
            ansible.playbook_command = text.to_owned();
        }
    }
    if let Some(node) = section.optional("warm")
        && let Some(warm) = reader.bool(node)
    {
        ansible.warm = warm;
    }
    section::count(
        reader,
        &mut section,
        ("warm_max", 1, 64),
        &mut ansible.warm_max,
    );
    if let Some(node) = section.optional("warm_idle")
        && let Some(idle) = reader.duration(node, 10 * SECOND..=DAY)
    {
        ansible.warm_idle = idle;
    }
    section.finish(reader, &[]);
}
