//! What a person sees while a run goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on a terminal's standard error. It is drawn between slices, never within one.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// No bar.
    pub fn hidden() -> Progress {
        Progress {
            bar: ProgressBar::hidden(),
        }
    }

    /// A bar on the standard error, if that is a terminal.
    pub fn on_stderr() -> Progress {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        // Without a ticker: a thread that draws would take part in the measurement.
        bar.disable_steady_tick();
        Progress { bar }
    }

    pub(super) fn begin(&self, blocks: usize) {
        self.bar.set_length(blocks as u64);
        self.bar.reset_elapsed();
    }

    pub(super) fn case(&self, name: &str) {
        self.bar.set_message(name.to_owned());
    }

    pub(super) fn block(&self) {
        self.bar.inc(1);
    }

    pub(super) fn skip(&self, blocks: usize) {
        self.bar.inc(blocks as u64);
    }

    pub(super) fn more(&self, blocks: usize) {
        self.bar.inc_length(blocks as u64);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// `3 min 20 s`.
pub fn in_words(duration: Duration) -> String {
    let s = duration.as_secs_f64().round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration in seconds"
    )]
    let s = s as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}
