//! Loopabull's configuration file, checked.
//!
//! The keys are those that Loopabull 0.0.7 reads, and beside them the older
//! names of its RabbitMQ looper and the one that its README shows. What it
//! would fail on is a diagnostic; what it ignores, or what has no place in a
//! project of ours, is a remark.

use std::path::PathBuf;

use bus::amqp::Secret;
use model::{diagnostic::Diagnostic, suggest::nearest};
use rules::{
    Code,
    yaml::{Data, Mapping, Node, Reader},
};

mod looper;

pub(super) use looper::{Login, Looper, Rabbit};

/// Everything that is carried over.
#[derive(Debug)]
pub(super) struct Loopabull {
    /// A level of ours.
    pub(super) log_level: &'static str,
    pub(super) playbooks_dir: PathBuf,
    pub(super) ansible_cfg: PathBuf,
    pub(super) playbook_cmd: String,
    pub(super) routing_keys: RoutingKeys,
    pub(super) looper: Looper,
    pub(super) translator: Translator,
    /// What was left out while reading, and why: whole sentences.
    pub(super) remarks: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum RoutingKeys {
    All,
    /// Compared as they are: they are no patterns.
    These(Vec<String>),
}

/// How a routing key becomes the name of a playbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Translator {
    /// `a.b.c` is `a.b.c.yml`.
    Name,
    /// `a.b.c` is `a/b/c.yml`.
    Directory,
}

/// What is read from, and what is noticed on the way.
struct Source<'t> {
    reader: Reader<'t>,
    remarks: Vec<String>,
}

/// Reads the file; everything that is wrong is in the error.
pub(super) fn read(file: &str, text: &str) -> Result<Loopabull, Vec<Diagnostic>> {
    let mut source = Source {
        reader: Reader::new(file, text),
        remarks: Vec::new(),
    };
    let root = source.reader.parse();
    let config = root
        .as_ref()
        .and_then(|node| root_section(&mut source, node));
    match config {
        Some(config) if !source.reader.has_errors() => Ok(Loopabull {
            remarks: source.remarks,
            ..config
        }),
        Some(_) | None => Err(source.reader.finish()),
    }
}

fn root_section(source: &mut Source<'_>, node: &Node) -> Option<Loopabull> {
    let mut root = source.reader.mapping(node, "Loopabull's configuration")?;
    let log_level = log_level(source, root.optional("loglevel"));
    let ansible = root.required(&mut source.reader, "ansible");
    let ansible = ansible.and_then(|node| ansible_section(source, node));
    let routing_keys = root.required(&mut source.reader, "routing_keys");
    let routing_keys = routing_keys.and_then(|node| routing_keys_section(source, node));
    let plugins = plugins(source, &mut root);
    let known = ["loglevel", "ansible", "routing_keys", "plugins", "plugin"];
    misspelt(source, &root, &known);
    source.unread(&root, "", &known);
    let (playbooks_dir, ansible_cfg, playbook_cmd) = ansible?;
    let (looper, translator) = plugins?;
    Some(Loopabull {
        log_level: log_level?,
        playbooks_dir,
        ansible_cfg,
        playbook_cmd,
        routing_keys: routing_keys?,
        looper,
        translator,
        remarks: Vec::new(),
    })
}

/// Reports keys that are nearly one that is not there.
fn misspelt(source: &mut Source<'_>, root: &Mapping<'_>, known: &[&'static str]) {
    let is_there = |key: &str| root.entries().iter().any(|entry| entry.key == key);
    let absent: Vec<&str> = known.iter().copied().filter(|key| !is_there(key)).collect();
    for entry in root.entries() {
        let key = entry.key.as_str();
        if !known.contains(&key)
            && let Some(meant) = nearest(key, absent.iter().copied())
        {
            let shown: String = key.chars().take(60).collect();
            source.reader.error(
                Code::UnknownKey,
                entry.key_span,
                format!("Loopabull's configuration has no key `{shown}`"),
                Some(format!("did you mean `{meant}`?")),
            );
        }
    }
}

/// Loopabull takes these words and stays at `info` with any other.
fn log_level(source: &mut Source<'_>, node: Option<&Node>) -> Option<&'static str> {
    let Some(node) = node else {
        return Some("info");
    };
    let text = source.reader.string(node)?;
    match text.to_lowercase().as_str() {
        "debug" | "debugging" => Some("debug"),
        "warn" | "warning" => Some("warn"),
        "error" => Some("error"),
        "info" => Some("info"),
        other => {
            source.remark(format!(
                "`loglevel: {other}` is no level of Loopabull, which then logs at `info`; so does \
                 this project."
            ));
            Some("info")
        }
    }
}

fn ansible_section(source: &mut Source<'_>, node: &Node) -> Option<(PathBuf, PathBuf, String)> {
    let mut section = source.reader.mapping(node, "`ansible`")?;
    let mut path = |key: &'static str| {
        let node = section.required(&mut source.reader, key)?;
        let text = source.reader.string(node)?;
        if text.is_empty() || text.contains('\0') {
            let message = format!("`{key}` is no path");
            source
                .reader
                .error(Code::BadValue, node.span, message, None);
            return None;
        }
        Some(text.to_owned())
    };
    let playbooks_dir = path("playbooks_dir");
    let ansible_cfg = path("cfg_file_path");
    let playbook_cmd = path("playbook_cmd");
    let known = ["playbooks_dir", "cfg_file_path", "playbook_cmd"];
    source.unread(&section, "ansible.", &known);
    Some((
        PathBuf::from(playbooks_dir?),
        PathBuf::from(ansible_cfg?),
        playbook_cmd?,
    ))
}

fn routing_keys_section(source: &mut Source<'_>, node: &Node) -> Option<RoutingKeys> {
    let items = source.reader.list(node)?;
    let keys: Vec<String> = items
        .iter()
        .filter_map(|item| source.reader.string(item).map(str::to_owned))
        .collect();
    let Some(first) = keys.first() else {
        if items.is_empty() {
            source.reader.error(
                Code::BadValue,
                node.span,
                "there is no routing key: Loopabull ends with the first message".to_owned(),
                Some("name the topics that have playbooks, or `all`".to_owned()),
            );
        }
        return None;
    };
    if first == "all" {
        if keys.len() > 1 {
            source.remark(
                "`all` stands first in `routing_keys`, so the other keys change nothing; the one \
                 rule is for all topics."
                    .to_owned(),
            );
        }
        return Some(RoutingKeys::All);
    }
    Some(RoutingKeys::These(keys))
}

fn plugins(source: &mut Source<'_>, root: &mut Mapping<'_>) -> Option<(Looper, Translator)> {
    if let Some(node) = root.optional("plugin")
        && root.optional("plugins").is_none()
    {
        let name = source.reader.string(node)?.to_lowercase();
        source.remark(format!(
            "`plugin: {name}` is what Loopabull's README shows; its code only reads `plugins`. It \
             was read as `plugins: {{looper: {{name: {name}}}}}`."
        ));
        let looper = looper::by_name(source, (node, &name), None)?;
        return Some((looper, Translator::Name));
    }
    let node = root.required(&mut source.reader, "plugins")?;
    let mut section = source.reader.mapping(node, "`plugins`")?;
    let looper = match section.optional("looper") {
        Some(node) => looper::read(source, node),
        None => Some(Looper::Fedmsg),
    };
    let translator = match section.optional("translator") {
        Some(node) => translator(source, node),
        None => Some(Translator::Name),
    };
    source.unread(&section, "plugins.", &["looper", "translator"]);
    Some((looper?, translator?))
}

fn translator(source: &mut Source<'_>, node: &Node) -> Option<Translator> {
    let mut section = source.reader.mapping(node, "a plugin")?;
    let name = section.required(&mut source.reader, "name")?;
    let name = source.reader.string(name)?.to_lowercase();
    source.unread(&section, "plugins.translator.", &["name"]);
    match name.as_str() {
        "rkname" => Some(Translator::Name),
        "rkdirectory" => Some(Translator::Directory),
        _ => {
            source.remark(format!(
                "The translator `{name}` is a plugin of your own. The rules name their playbooks \
                 as `rkname` does, `<topic>.yml`: change `playbook:` in `rules/loopabull.yml`."
            ));
            Some(Translator::Name)
        }
    }
}

impl Source<'_> {
    fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// Keys that Loopabull does not look at, and we do not either.
    fn unread(&mut self, section: &Mapping<'_>, above: &str, known: &[&str]) {
        for entry in section.entries() {
            if !known.contains(&entry.key.as_str()) {
                let key: String = entry.key.chars().take(60).collect();
                self.remark(format!(
                    "`{above}{key}` was left out: it has no meaning here."
                ));
            }
        }
    }

    /// A boolean as older YAML writes it, too.
    fn truth(&mut self, node: &Node) -> Option<bool> {
        if let Data::Text(text) = &node.data {
            match text.to_lowercase().as_str() {
                "yes" | "on" => return Some(true),
                "no" | "off" => return Some(false),
                _ => {}
            }
        }
        self.reader.bool(node)
    }

    fn text(&mut self, node: Option<&Node>) -> Option<String> {
        node.and_then(|node| self.reader.string(node))
            .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests;
