//! The rules of a revision, compiled once.
//!
//! A job runs the rules that fired it, also when they have been replaced
//! since. Nothing here decides what happens to a job whose revision is gone.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use model::{id::Revision, ports::StoreError};
use rules::RuleSet;
use tokio::sync::OnceCell;

use crate::{shared::Shared, tasks};

/// Old revisions that are kept compiled.
const KEPT: usize = 8;

/// Why the rules of a revision are not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    #[error("the rules of revision `{0}` are not in the store")]
    Missing(Revision),
    #[error("the rules of revision `{revision}` are not valid for this version: {problem}")]
    Broken { revision: Revision, problem: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Cell = Arc<OnceCell<Arc<RuleSet>>>;

/// Compiled revisions, the last used last.
#[derive(Default)]
pub(crate) struct Revisions {
    cells: Mutex<VecDeque<(Revision, Cell)>>,
}

impl Revisions {
    fn cell(&self, revision: &Revision) -> Cell {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cells.iter().position(|(id, _)| id == revision);
        let entry = match found.and_then(|index| cells.remove(index)) {
            Some(entry) => entry,
            None => (revision.clone(), Cell::default()),
        };
        let cell = Arc::clone(&entry.1);
        cells.push_back(entry);
        if cells.len() > KEPT {
            cells.pop_front();
        }
        cell
    }

    /// Keeps rules that were just replaced: their jobs still run.
    pub(crate) fn keep(&self, rules: Arc<RuleSet>) {
        let cell = self.cell(rules.revision());
        // An equal revision that is there already is as good.
        drop(cell.set(rules));
    }
}

/// The rules of `revision`: those in force, kept ones, or compiled from the
/// text in the store.
pub(crate) async fn get(
    shared: &Shared,
    revision: &Revision,
) -> Result<Arc<RuleSet>, RevisionError> {
    let current = shared.rules.load_full();
    if current.revision() == revision {
        return Ok(current);
    }
    let cell = shared.revisions.cell(revision);
    let rules = cell.get_or_try_init(|| load(shared, revision)).await?;
    Ok(Arc::clone(rules))
}

async fn load(shared: &Shared, revision: &Revision) -> Result<Arc<RuleSet>, RevisionError> {
    let text = shared
        .parts
        .upkeep
        .revision(revision)
        .await?
        .ok_or_else(|| RevisionError::Missing(revision.clone()))?;
    let broken = |problem: String| RevisionError::Broken {
        revision: revision.clone(),
        problem,
    };
    let compiled = tasks::blocking(move || rules::compile(Arc::new(text)))
        .await
        .map_err(|panicked| broken(panicked.message))?;
    match compiled {
        Ok(checked) => Ok(Arc::new(checked.rules)),
        Err(problems) => Err(broken(match problems.first() {
            Some(first) => format!("{}:{}: {}", first.file, first.line, first.message),
            None => "no reason given".to_owned(),
        })),
    }
}
