//! What steps need of the machine that runs them and the listing of the project
//! does not say: the files of secrets, programs, and directories of
//! collections.
//!
//! Nothing is looked at here. The caller does it and says what is wrong, so
//! that the finding stands where the rule names the thing.

use model::{diagnostic::Diagnostic, ports::ProjectText};

use super::{field, one_or_list, rules, text_of};
use crate::{
    code::Code,
    listing::{check_name, plain_path},
    yaml::{Data, Node, Reader},
};

/// Something that a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'n> {
    /// A file with a secret, by its whole path.
    Secret(&'n str),
    /// The program of a command that is found with the service's own path.
    Program(&'n str),
    /// A directory of the project with collections, by its path there.
    Collections(&'n str),
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

/// Warnings about what these rules need and `look` finds wanting.
pub fn needs(text: &ProjectText, look: &dyn Fn(Need<'_>) -> Option<Doubt>) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (file, content) in &text.files {
        let mut reader = Reader::new(file, content);
        let Some(root) = reader.parse() else { continue };
        let mut doubts = Reader::new(file, content);
        for step in rules(&root)
            .iter()
            .flat_map(|rule| one_or_list(field(rule, "run")))
        {
            for (node, need) in of_step(step) {
                if let Some(Doubt {
                    code,
                    message,
                    hint,
                }) = look(need)
                {
                    doubts.warning(code, node.span, message, hint);
                }
            }
        }
        findings.extend(doubts.finish());
    }
    findings
}

fn of_step(step: &Node) -> Vec<(&Node, Need<'_>)> {
    let mut needs = Vec::new();
    if let Some(Node {
        data: Data::List(argv),
        ..
    }) = field(step, "command")
    {
        let program = argv.first().and_then(|node| Some((node, text_of(node)?)));
        let has_path = field(step, "env").is_some_and(|env| field(env, "PATH").is_some());
        if let Some((node, name)) = program
            && (name.contains('/') || !has_path)
            && !name.contains("{{")
        {
            needs.push((node, Need::Program(name)));
        }
    }
    if let Some(http) = field(step, "http") {
        let headers = match field(http, "headers").map(|node| &node.data) {
            Some(Data::Mapping(headers)) => headers.as_slice(),
            Some(Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_))
            | None => &[],
        };
        let values = headers.iter().map(|header| &header.value);
        for value in values.chain(field(http, "url")) {
            needs.extend(of_file(value));
        }
    }
    if field(step, "playbook").is_some() {
        let keys = ["private_key", "connection_password", "become_password"];
        let places = keys.iter().filter_map(|key| field(step, key));
        let vault = field(step, "vault");
        for place in places.chain(one_or_list(vault)) {
            needs.extend(of_file(place));
            if let Some(Node {
                data: Data::List(argv),
                ..
            }) = field(place, "command")
                && let Some(node) = argv.first()
                && let Some(name) = text_of(node)
            {
                needs.push((node, Need::Program(name)));
            }
        }
        for node in one_or_list(field(step, "collections")) {
            // What is no path of the project is an error of the rule.
            let path = text_of(node).map(plain_path);
            if let Some(path) = path.filter(|path| check_name(path).is_ok() && !path.contains("{{"))
            {
                needs.push((node, Need::Collections(path)));
            }
        }
    }
    needs
}

/// The file that a secret stands in. What is no whole path is an error of the
/// rule.
fn of_file(place: &Node) -> Option<(&Node, Need<'_>)> {
    let node = field(place, "file")?;
    let path = text_of(node).filter(|path| path.starts_with('/'))?;
    Some((node, Need::Secret(path)))
}
