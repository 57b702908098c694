//! What a person sees while a command waits: one moving line below everything
//! else on a terminal's standard error, and nothing anywhere else.
//!
//! It is taken away before anything is printed, and does not come back in the
//! middle of a line.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::neutral;

const TICK: Duration = Duration::from_millis(120);

/// The line, if there is anybody to see it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_seen: bool,
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Wait {
    what: String,
    since: Instant,
    /// Absent while something else has the line.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(is_seen: bool) -> Self {
        Self {
            is_seen,
            wait: None,
        }
    }

    /// Shows that `what` is waited for, from now on.
    pub(super) fn begin(&mut self, what: &str) {
        self.end();
        if self.is_seen {
            self.wait = Some(Wait {
                what: neutral::line(what),
                since: Instant::now(),
                bar: None,
            });
            self.show();
        }
    }

    pub(super) fn end(&mut self) {
        self.hide();
        self.wait = None;
    }

    /// Before something is printed.
    pub(super) fn hide(&mut self) {
        if let Some(bar) = self.wait.as_mut().and_then(|wait| wait.bar.take()) {
            bar.finish_and_clear();
        }
    }

    /// After whole lines were printed.
    pub(super) fn show(&mut self) {
        let Some(wait) = self.wait.as_mut().filter(|wait| wait.bar.is_none()) else {
            return;
        };
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
            .expect("the template has three known fields");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
            .with_style(style)
            .with_message(wait.what.clone())
            .with_elapsed(wait.since.elapsed());
        bar.enable_steady_tick(TICK);
        wait.bar = Some(bar);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
