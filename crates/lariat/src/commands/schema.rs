//! `lariat schema`: JSON Schema (2020-12) of the files that people write, for
//! editors.
//!
//! `lariat check` knows more than a schema can say. What the schema refuses,
//! the check refuses, too.

use std::path::Path;

use clap::ValueEnum;

use crate::{
    args::{Schema, SchemaOf},
    console::Console,
    exit::Exit,
    failure::Failure,
};

const CONFIG: &str = include_str!("schema/config.json");
const ACCOUNTS: &str = include_str!("schema/accounts.json");

impl SchemaOf {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Config => CONFIG,
            Self::Rules => rules::schema::RULES,
            Self::Tests => rules::schema::TESTS,
            Self::Accounts => ACCOUNTS,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Config => "config.schema.json",
            Self::Rules => "rules.schema.json",
            Self::Tests => "tests.schema.json",
            Self::Accounts => "accounts.schema.json",
        }
    }
}

pub(crate) fn run(command: &Schema, console: &mut Console) -> Result<(), Failure> {
    if let Some(files) = command.files {
        return console.block(files.text());
    }
    let dir = command.dir.as_deref().unwrap_or(Path::new("."));
    let written = |error| Failure::new(Exit::Unexpected, error).context("cannot write the schemas");
    fs_err::create_dir_all(dir).map_err(written)?;
    for files in SchemaOf::value_variants() {
        let path = dir.join(files.file());
        fs_err::write(&path, files.text()).map_err(written)?;
        console.line(&path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
