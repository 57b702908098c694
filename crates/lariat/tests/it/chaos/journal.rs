//! What the jobs themselves say about when they ran.
//!
//! Every job appends lines of one write each, with the boot-time clock's
//! reading, and holds locks while it runs; so what ran twice at once is known
//! for certain, whatever the stores say.

use std::path::{Path, PathBuf};

/// One attempt: notes that it begins and ends, and holds two locks that no
/// other may find taken: that of its rule and event, and that of its key here.
/// Every eighth job leaves a process of its own session behind, which holds
/// the locks as well. `$1` is what it does, `$2` for how long, `$3` its key;
/// `hold` goes on until the file `go` is there.
pub(crate) const WORK: &str = r#"
here=${PWD##*/}
say() {
  read -r up _ </proc/uptime
  echo "$1 $LARIAT_EVENT_ID $LARIAT_RULE $here $up" >>"$RUNS/log"
}
exec 9>>"$RUNS/locks/$LARIAT_EVENT_ID.$LARIAT_RULE"
flock -n 9 || say overlap
if [ -n "$3" ]; then
  exec 8>>"$RUNS/locks/$here.key.$3"
  flock -n 8 || say key-overlap
fi
say begin
case $LARIAT_JOB in *[08]) setsid sleep 60 & ;; esac
sleep "$2"
while [ "$1" = hold ] && [ ! -e "$RUNS/go" ]; do sleep 0.05; done
case $1:$LARIAT_ATTEMPT in fail:* | flaky:1) say fail; exit 1 ;; esac
say end
"#;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Begin,
    End,
    Fail,
    /// Another attempt for the same event had not ended.
    Overlap,
    /// Another job with the same key ran on the same instance.
    KeyOverlap,
}

impl Mark {
    fn read(word: &str) -> Option<Self> {
        match word {
            "begin" => Some(Self::Begin),
            "end" => Some(Self::End),
            "fail" => Some(Self::Fail),
            "overlap" => Some(Self::Overlap),
            "key-overlap" => Some(Self::KeyOverlap),
            _ => None,
        }
    }
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) mark: Mark,
    pub(crate) event: String,
    pub(crate) rule: String,
    pub(crate) instance: String,
    /// Seconds of the boot-time clock.
    pub(crate) at: f64,
}

impl Entry {
    pub(crate) fn is_beginning(&self) -> bool {
        self.mark == Mark::Begin
    }

    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [mark, event, rule, instance, at] = words[..] else {
            return None;
        };
        Some(Self {
            mark: Mark::read(mark)?,
            event: event.to_owned(),
            rule: rule.to_owned(),
            instance: instance.to_owned(),
            at: at.parse().ok()?,
        })
    }
}

/// The file that all jobs append to.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    runs: PathBuf,
}

impl Journal {
    pub(crate) fn new(root: &Path) -> Self {
        let runs = root.join("runs");
        fs_err::create_dir_all(runs.join("locks")).unwrap();
        Self { runs }
    }

    /// What jobs find as `RUNS`.
    pub(crate) fn runs(&self) -> &Path {
        &self.runs
    }

    /// Lets those end that hold on.
    pub(crate) fn go(&self) {
        fs_err::write(self.runs.join("go"), "").unwrap();
    }

    pub(crate) fn count(&self, mark: Mark) -> usize {
        let entries = self.entries();
        entries.iter().filter(|entry| entry.mark == mark).count()
    }

    /// All lines, oldest first. One that is half written is not one yet.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let text = fs_err::read_to_string(self.runs.join("log")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let entry = |line| Entry::read(line).unwrap_or_else(|| panic!("not a line: `{line}`"));
        whole.lines().map(entry).collect()
    }
}

/// Seconds of the clock that the jobs read.
pub(crate) fn boot_seconds() -> f64 {
    let text = fs_err::read_to_string("/proc/uptime").unwrap();
    let seconds = text.split(' ').next().and_then(|word| word.parse().ok());
    seconds.expect("it begins with a number")
}
