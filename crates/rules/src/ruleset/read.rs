//! Reads all rule files of a project, several at a time.
//!
//! What comes out is the same however many threads there are: files are put
//! together in the order of their paths, and only then names are compared.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use model::diagnostic::Diagnostic;

use crate::{
    code::Code,
    listing::Listing,
    rule::{Found, Names, Rule, read_rules},
    yaml::Reader,
};

/// Less text than this, in bytes, is read before a second thread has begun.
const LITTLE: usize = 256 << 10;

const MOST_THREADS: usize = 8;

/// All rules without an error in them, and everything that was found.
pub(super) fn read(
    files: &BTreeMap<String, String>,
    listing: &Arc<Listing>,
) -> (Vec<Rule>, Vec<Diagnostic>) {
    let texts: Vec<(&str, &str)> = files
        .iter()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    let size: usize = texts.iter().map(|(_, text)| text.len()).sum();
    let threads = if size < LITTLE {
        1
    } else {
        thread::available_parallelism().map_or(1, NonZero::get)
    };
    let read = each(&texts, threads.min(MOST_THREADS), |(file, text)| {
        let mut reader = Reader::new(file, text);
        let found = read_rules(&mut reader, listing);
        (reader, found)
    });
    put_together(read)
}

fn put_together(mut read: Vec<(Reader<'_>, Found)>) -> (Vec<Rule>, Vec<Diagnostic>) {
    let mut rules = Vec::with_capacity(read.iter().map(|(_, found)| found.rules.len()).sum());
    let mut findings = Vec::new();
    let named: Vec<Names> = read
        .iter_mut()
        .map(|(_, found)| std::mem::take(&mut found.names))
        .collect();
    let mut names = HashMap::new();
    for ((mut reader, found), here) in read.into_iter().zip(&named) {
        let file = reader.file();
        for (name, span) in here.iter() {
            match names.get(name) {
                None => {
                    names.insert(name, (file, span.line));
                }
                Some((file, line)) => reader.error(
                    Code::DuplicateRule,
                    span,
                    format!("there are two rules named `{name}`"),
                    Some(format!("the first is at {file}:{line}")),
                ),
            }
        }
        rules.extend(found.rules);
        findings.extend(reader.finish());
    }
    (rules, findings)
}

/// `work` done for each item, by so many threads; the results in order.
fn each<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match items.get(at) {
                Some(item) => done.push((at, work(item))),
                None => return done,
            }
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len()))
            .map(|_| scope.spawn(take))
            .collect();
        let mut done = take();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests;
