//! The playbooks that a rule names in so many words, for whoever wants to look
//! at them before an event does.

use super::Rule;
use crate::step::{Body, LiteralPlaybook};

impl Rule {
    /// One for each step whose playbook is not computed and is there, with the
    /// step's position.
    pub fn literal_playbooks(&self) -> Vec<(usize, LiteralPlaybook)> {
        let literal = |body: &Body| match body {
            Body::Playbook(playbook) => playbook.literal(&self.listing),
            Body::Command(_) | Body::Publish(_) | Body::Http(_) => None,
        };
        self.steps
            .iter()
            .enumerate()
            .filter_map(|(index, step)| Some((index, literal(&step.body)?)))
            .collect()
    }
}
