//! How far seeding is: a bar on a terminal, and a line for each step that is done.

use std::{fmt, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// Shows one step of the work.
pub(super) struct Progress {
    bar: ProgressBar,
    name: &'static str,
    begun: Instant,
}

impl Progress {
    /// Begins a step of so many units.
    pub(super) fn begin(name: &'static str, units: u64) -> Progress {
        let style = ProgressStyle::with_template("{prefix:30} {bar:40} {percent:>3} %  {eta} left")
            .expect("the template is sound");
        // Where there is no terminal, nothing is drawn.
        let bar = ProgressBar::with_draw_target(Some(units), ProgressDrawTarget::stderr())
            .with_style(style)
            .with_prefix(name);
        Progress {
            bar,
            name,
            begun: Instant::now(),
        }
    }

    pub(super) fn advance(&self, units: u64) {
        self.bar.inc(units);
    }

    #[expect(
        clippy::print_stdout,
        reason = "what was done is what the command is for"
    )]
    pub(super) fn finish(self, count: u64, what: &str) {
        self.bar.finish_and_clear();
        println!(
            "{:30} {count:>9} {what} in {}",
            self.name,
            Seconds(self.begun.elapsed())
        );
    }
}

/// A time in seconds, to the tenth.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}
