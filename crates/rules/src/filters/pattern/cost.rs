//! What applying a regular expression to a text may cost.
//!
//! The worst case is the product of the text and of what the expression becomes
//! when its repetitions are written out: `(a{100}){100}` is a text of 10,000
//! characters, any of which may be the next.

use regex_syntax::{
    ParserBuilder,
    hir::{Hir, HirKind},
};

/// Bytes of text for a step, with an expression of a few parts.
const BYTES_PER_STEP: usize = 16;
/// The same for what is read again behind each match.
const BYTES_AHEAD_PER_STEP: usize = 256;
/// Parts that are looked at in the time of one more reading of the text.
const PARTS_PER_READING: usize = 4;
/// Groups whose places are kept in the time of one more reading of the text.
const GROUPS_PER_READING: usize = 16;

/// The size of an expression, as far as it decides about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// What may come next at once, at most.
    parts: usize,
    /// The end of a match may be certain only at the end of the text, so that
    /// looking for all of them may read the same text each time.
    reads_ahead: bool,
}

impl Cost {
    /// Of an expression that is valid.
    pub(super) fn of(pattern: &str, ignorecase: bool, multiline: bool) -> Option<Self> {
        let hir = ParserBuilder::new()
            .case_insensitive(ignorecase)
            .multi_line(multiline)
            .nest_limit(super::DEEPEST)
            .build()
            .parse(pattern)
            .ok()?;
        Some(Self {
            parts: parts(&hir),
            reads_ahead: reads_ahead(&hir, false),
        })
    }

    /// To compile it.
    pub(super) fn compiling(self) -> usize {
        self.parts / PARTS_PER_READING
    }

    /// To read a text of this many bytes once.
    pub(crate) fn reading(self, bytes: usize) -> usize {
        (bytes / BYTES_PER_STEP).saturating_mul(self.readings())
    }

    /// To keep the places of groups while it is read.
    pub(super) fn grouping(self, bytes: usize, groups: usize) -> usize {
        self.reading(bytes)
            .saturating_mul(1 + groups / GROUPS_PER_READING)
    }

    /// To look for a further match in what is left of a text.
    pub(super) fn further(self, bytes: usize) -> usize {
        if self.reads_ahead {
            (bytes / BYTES_AHEAD_PER_STEP).saturating_mul(self.readings())
        } else {
            0
        }
    }

    fn readings(self) -> usize {
        1 + self.parts / PARTS_PER_READING
    }
}

fn parts(hir: &Hir) -> usize {
    let all = |parts_of: &[Hir]| parts_of.iter().map(parts).fold(1, usize::saturating_add);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => 1,
        // A text alone is looked for without trying each of its characters.
        HirKind::Literal(text) => 1 + text.0.len() / 8,
        HirKind::Capture(group) => 1 + parts(&group.sub),
        HirKind::Concat(of) | HirKind::Alternation(of) => all(of),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.max(1));
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            parts(&repetition.sub).saturating_mul(times).max(1)
        }
    }
}

/// Whether something without an end is only one of the ways to match.
fn reads_ahead(hir: &Hir, is_choice: bool) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Literal(_) => false,
        HirKind::Capture(group) => reads_ahead(&group.sub, is_choice),
        HirKind::Concat(of) => of.iter().any(|part| reads_ahead(part, is_choice)),
        HirKind::Alternation(of) => of.iter().any(|part| reads_ahead(part, true)),
        HirKind::Repetition(repetition) => {
            (is_choice && repetition.max.is_none()) || reads_ahead(&repetition.sub, true)
        }
    }
}
