//! What a person sees of long work: a spinner on a terminal, plain lines elsewhere.

use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Does work that prints nothing itself, and says how long it took.
pub(crate) fn during<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    let bar = spinner(what);
    let outcome = work();
    bar.finish_and_clear();
    let verdict = if outcome.is_ok() { "" } else { ": failed" };
    line(&format!("{what}{verdict} ({})", seconds(started.elapsed())));
    outcome
}

/// Prints one line of our own, apart from what programs print.
#[expect(
    clippy::print_stderr,
    reason = "standard output belongs to the programs that run"
)]
pub(crate) fn line(text: &str) {
    eprintln!("xtask: {text}");
}

/// A time as people say it.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds < 10.0 {
        true => format!("{seconds:.1} s"),
        false => format!("{seconds:.0} s"),
    }
}

fn spinner(what: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}
