//! What people read. A pipe that closes or a disk that is full is an error, never a panic.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use ruleiq_bench::report::terminal::Style;

/// Columns where the terminal does not say.
const COLUMNS: u16 = 120;

/// Writes to the standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("failed to write to the standard output")
}

/// Writes a line to the standard error. Where that is closed, nobody is there to be told.
pub(super) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// How a report is set on the standard output.
pub(super) fn style() -> Style {
    if !io::stdout().is_terminal() {
        return Style::plain();
    }
    let columns = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok());
    Style {
        width: columns.unwrap_or(COLUMNS),
        color: std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
    }
}
