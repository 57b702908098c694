//! The arguments of those who write rules.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum, ValueHint};
use model::id::{EventId, IdError, RuleName};

use super::Json;

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The project directory.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    /// These test files of the project only, instead of tests/*.yml.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Results,
}

#[derive(Debug, Args)]
pub(crate) struct Results {
    /// Print every case with what came of it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which files it is about.
    #[arg(value_name = "FILES", required_unless_present = "dir")]
    pub(crate) files: Option<SchemaOf>,
    /// Write all schemas into this directory, made when it is missing, over
    /// those of another version.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "files")]
    pub(crate) dir: Option<PathBuf>,
}

/// Files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// lariat.yml
    Config,
    /// rules/*.yml
    Rules,
    /// tests/*.yml
    Tests,
    /// accounts.yml, which stands outside of the project
    Accounts,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The event's id, as `publish` and `events list` print it; or `@FILE`, an
    /// event in a file, which is judged here and not sent; or `-` for standard
    /// input.
    #[arg(value_name = "EVENT|@FILE|-")]
    pub(crate) subject: Subject,
    /// This rule only.
    #[arg(long)]
    pub(crate) rule: Option<RuleName>,
    /// For @FILE and --rules: the project directory.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) project: PathBuf,
    /// Judge with the rule files of this directory instead.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) rules: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Which event is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// One of the service's history.
    Id(EventId),
    File(PathBuf),
    Input,
}

impl Subject {
    /// Whether no service is needed to have it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Id(_) => false,
            Self::File(_) | Self::Input => true,
        }
    }
}

impl FromStr for Subject {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix('@') {
            Some(path) => Ok(Self::File(PathBuf::from(path))),
            None if text == "-" => Ok(Self::Input),
            None => text.parse().map(Self::Id),
        }
    }
}
