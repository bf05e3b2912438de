//! What people read. A pipe that closes or a disk that is full is an error, never a panic.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
};

use anyhow::Context;
use ruleiq_bench::report::terminal::Style;

/// Columns where neither the environment nor the terminal says how many there are.
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
    let out = io::stdout();
    if !out.is_terminal() {
        return Style::plain();
    }
    let said = std::env::var("COLUMNS").ok();
    Style {
        width: width(said.as_deref(), columns(&out)),
        color: std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
    }
}

/// Shells know `COLUMNS` and do not export it: who sets it for a program means it.
fn width(said: Option<&str>, terminal: Option<u16>) -> u16 {
    let said = said.and_then(|it| it.parse().ok());
    let mut known = [said, terminal].into_iter().flatten();
    known.find(|it| *it > 0).unwrap_or(COLUMNS)
}

/// The columns of a terminal, as it says itself.
fn columns(terminal: impl AsFd) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some(size.ws_col)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn who_sets_columns_outranks_the_terminal() {
        let check = |said: Option<&str>, terminal: Option<u16>, expect: u16| {
            assert_eq!(width(said, terminal), expect, "{said:?} {terminal:?}");
        };
        check(Some("70"), Some(90), 70);
        check(None, Some(90), 90);
        check(Some("wide"), Some(90), 90);
        check(Some("0"), Some(90), 90);
        check(Some("70"), None, 70);
        // A serial line has a size of nothing.
        check(None, Some(0), COLUMNS);
        check(None, None, COLUMNS);
    }

    #[test]
    fn what_is_no_terminal_has_no_columns() {
        assert_eq!(columns(File::open("/dev/null").unwrap()), None);
    }
}
