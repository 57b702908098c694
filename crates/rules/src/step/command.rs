//! The `command` step: reading its keys, rendering it into a call.
//!
//! A command is a list of arguments and never a shell string. What an event
//! says can be an argument, but neither the program nor an option nor code.

use std::collections::BTreeMap;

use model::action::{CommandCall, StepCall};

use super::{
    Field, NoCall, Renderer,
    read::{Tally, read_path},
};
use crate::{
    code::Code,
    listing::{Listing, check_name},
    yaml::{Data, Mapping, Node, Reader, shorten},
};

#[derive(Debug)]
pub(crate) struct Command {
    argv: Vec<Field>,
    env: Vec<(String, Field)>,
    chdir: Option<Field>,
    detach: bool,
}

impl Command {
    pub(super) fn what(&self) -> String {
        let words: Vec<&str> = self.argv.iter().map(Field::source).collect();
        words.join(" ")
    }

    /// Whether nothing in it is computed.
    pub(super) fn is_fixed(&self) -> bool {
        let env = self.env.iter().map(|(_, field)| field);
        let mut fields = self.argv.iter().chain(env).chain(&self.chdir);
        fields.all(|field| field.fixed().is_some())
    }

    /// `node` is the value of the key `command`.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        keys: &mut Mapping<'_>,
        node: &Node,
        listing: &Listing,
    ) -> Option<Self> {
        let argv = read_argv(reader, node);
        let env = match keys.stated(reader, "env") {
            Some(node) => read_env(reader, node),
            None => Some(Vec::new()),
        };
        let chdir = match keys.stated(reader, "chdir") {
            Some(node) => read_chdir(reader, node, listing).map(Some),
            None => Some(None),
        };
        let detach = keys
            .stated(reader, "detach")
            .and_then(|node| reader.bool(node));
        Some(Self {
            argv: argv?,
            env: env?,
            chdir: chdir?,
            detach: detach.unwrap_or(false),
        })
    }

    pub(super) fn render(
        &self,
        renderer: &Renderer<'_>,
        listing: &Listing,
    ) -> Result<StepCall, NoCall> {
        let mut tally = Tally::default();
        let mut argv = Vec::new();
        let mut after_dashes = false;
        for field in &self.argv {
            let is_rendered = field.fixed().is_none();
            let text = field.text(renderer).and_then(|text| {
                if is_rendered && !after_dashes && text.starts_with('-') {
                    return Err(NoCall::Bad(format!(
                        "the rendered argument {:?} starts with `-` and would be an option; \
                         put `--` before it if the program knows that",
                        shorten(&text)
                    )));
                }
                Ok(text.into_owned())
            });
            argv.extend(tally.take("command", text)?);
            after_dashes |= field.fixed() == Some("--");
        }
        let mut env = BTreeMap::new();
        for (name, field) in &self.env {
            let text = field.text(renderer).map_err(|error| error.of(name));
            if let Some(text) = tally.take("env", text)? {
                env.insert(name.clone(), text.into_owned());
            }
        }
        let mut chdir = None;
        if let Some(field) = &self.chdir {
            let found = find_directory(field, renderer, listing);
            chdir = tally.take("chdir", found)?;
        }
        tally.finish()?;
        Ok(StepCall::Command(CommandCall {
            argv,
            env,
            chdir,
            detach: self.detach,
        }))
    }
}

fn read_argv(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Field>> {
    let items = match &node.data {
        Data::List(items) => items,
        Data::Text(text) => {
            let words: Vec<String> = text
                .split_whitespace()
                .take(8)
                .map(|word| format!("{word:?}"))
                .collect();
            reader.error(
                Code::WrongType,
                node.span,
                "a command is a list of arguments, never a shell string".to_owned(),
                Some(format!("write `[{}]`", words.join(", "))),
            );
            return None;
        }
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Mapping(_) => {
            reader.wrong_type(node, "a list");
            return None;
        }
    };
    let Some(first) = items.first() else {
        reader.error(
            Code::BadValue,
            node.span,
            "the command is empty".to_owned(),
            Some("write the program and its arguments".to_owned()),
        );
        return None;
    };
    let fields: Vec<Option<Field>> = items.iter().map(|item| Field::read(reader, item)).collect();
    let fields: Vec<Field> = fields.into_iter().collect::<Option<_>>()?;
    let mut is_good = true;
    match fields.first().map(Field::fixed) {
        Some(None) => {
            reader.error(
                Code::UntrustedCode,
                first.span,
                "the program of a command may not be computed".to_owned(),
                Some("write its name, and pass data as arguments".to_owned()),
            );
            is_good = false;
        }
        Some(Some("")) => {
            reader.error(
                Code::BadValue,
                first.span,
                "the program of the command is empty".to_owned(),
                None,
            );
            is_good = false;
        }
        Some(Some(_)) | None => {}
    }
    if let Some(node) = evaluated(&fields).and_then(|index| items.get(index)) {
        reader.error(
            Code::UntrustedCode,
            node.span,
            "this argument is run as code, and may not be computed".to_owned(),
            Some("keep the code fixed and pass data behind it, as `\"$1\"` or in `env`".to_owned()),
        );
        is_good = false;
    }
    is_good.then_some(fields)
}

/// The first computed argument that an interpreter takes as code.
fn evaluated(fields: &[Field]) -> Option<usize> {
    let mut flag: Option<char> = None;
    for (index, field) in fields.iter().enumerate() {
        let Some(text) = field.fixed() else {
            let before = index.checked_sub(1).and_then(|index| fields.get(index));
            let is_code = flag.is_some_and(|flag| {
                before
                    .and_then(Field::fixed)
                    .is_some_and(|word| is_flag(word, flag))
                    || field.source().starts_with(&format!("-{flag}"))
            });
            if is_code {
                return Some(index);
            }
            continue;
        };
        let program = text.rsplit('/').next().unwrap_or(text);
        let name = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        flag = match name {
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "fish" | "su" | "python" | "pwsh" => {
                Some('c')
            }
            "perl" | "ruby" | "node" | "lua" | "osascript" => Some('e'),
            "php" => Some('r'),
            _ => flag,
        };
    }
    None
}

/// Whether `word` is a group of short options with `flag` among them.
fn is_flag(word: &str, flag: char) -> bool {
    word.starts_with('-') && !word.starts_with("--") && word.contains(flag)
}

/// Variables that make programs load or run what they name.
const STEERING: [&str; 16] = [
    "PATH",
    "HOME",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELL",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "RUBYOPT",
    "RUBYLIB",
];
const STEERING_PREFIXES: [&str; 6] = ["LD_", "DYLD_", "PYTHON", "PERL5", "GIT_", "ANSIBLE_"];

/// Variables of a step's environment: names, and values that may be computed
/// unless the variable steers what programs load.
pub(super) fn read_env(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Field)>> {
    let Data::Mapping(entries) = &node.data else {
        reader.wrong_type(node, "a mapping");
        return None;
    };
    let mut env = Vec::new();
    let mut is_good = true;
    for entry in entries {
        let name = entry.key.as_str();
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_name = starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || name.starts_with("LARIAT_") {
            let (code, message) = if is_name {
                (
                    Code::ReservedVariable,
                    format!(
                        "variables that start with `LARIAT_` are the engine's own, as `{name}`"
                    ),
                )
            } else {
                (
                    Code::BadVariable,
                    format!(
                        "`{}` is not the name of an environment variable",
                        shorten(name)
                    ),
                )
            };
            reader.error(code, entry.key_span, message, None);
            is_good = false;
        }
        let Some(field) = Field::read(reader, &entry.value) else {
            is_good = false;
            continue;
        };
        let steers = STEERING.contains(&name)
            || STEERING_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix));
        if steers && field.fixed().is_none() {
            reader.error(
                Code::UntrustedCode,
                entry.key_span,
                format!("`{name}` decides what programs load, and may not be computed"),
                Some("write a plain value, or use another variable".to_owned()),
            );
            is_good = false;
        }
        env.push((entry.key.clone(), field));
    }
    is_good.then_some(env)
}

fn read_chdir(reader: &mut Reader<'_>, node: &Node, listing: &Listing) -> Option<Field> {
    let field = Field::read(reader, node)?;
    if let Some(text) = field.fixed() {
        let path = text.strip_suffix('/').unwrap_or(text);
        let path = path.strip_prefix("./").unwrap_or(path);
        if !read_path(reader, node, path) {
            return None;
        }
        if !listing.has_directory(path) {
            reader.error(
                Code::MissingFile,
                node.span,
                format!("there is no directory `{}` in the project", shorten(path)),
                None,
            );
            return None;
        }
        return Some(Field::Static(path.to_owned()));
    }
    Some(field)
}

fn find_directory(
    field: &Field,
    renderer: &Renderer<'_>,
    listing: &Listing,
) -> Result<String, NoCall> {
    let path = field.text(renderer)?;
    if let Err(error) = check_name(&path) {
        return Err(NoCall::Bad(format!(
            "the name {:?} is refused: {error}",
            shorten(&path)
        )));
    }
    if listing.has_directory(&path) {
        return Ok(path.into_owned());
    }
    Err(NoCall::Missing(format!(
        "there is no directory `{}` in the project",
        shorten(&path)
    )))
}
