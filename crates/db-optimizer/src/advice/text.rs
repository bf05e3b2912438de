//! Advice for people.

use std::fmt;

use super::{Advice, IndexAdvice, ReplacedIndex};

/// Of so many statements that an index helps, each is named.
const NAMED: usize = 5;

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in &self.indexes {
            writeln!(f, "{index}")?;
        }
        if !self.untested.is_empty() {
            let why = match self.has_what_if {
                true => "HypoPG knows no such indexes",
                false => "HypoPG is not installed: `CREATE EXTENSION hypopg`",
            };
            writeln!(
                f,
                "-- not tested by what-if, but estimated from statistics ({why}):\n"
            )?;
        }
        for index in &self.untested {
            writeln!(f, "{index}")?;
        }
        for it in &self.replaced {
            writeln!(f, "{it}\n")?;
        }
        for it in &self.droppable {
            writeln!(
                f,
                "-- {} ({}) could go: {}; to make it again: {}\n{};\n",
                it.index,
                megabytes(it.bytes),
                it.reason,
                it.rollback_sql,
                it.sql
            )?;
        }
        if self.indexes.is_empty() && self.untested.is_empty() && self.is_complete {
            writeln!(
                f,
                "-- no index helps: none of {} that were thought of",
                self.candidates
            )?;
        }
        write!(
            f,
            "-- {:.2} % of the cost is left, with {} of {}, after {} plans in {:.1} s",
            100.0 * super::ratio(self.cost_after, self.cost_before),
            megabytes(self.size_bytes),
            megabytes(self.budget_bytes),
            self.explains,
            std::time::Duration::from_millis(self.elapsed_ms).as_secs_f64(),
        )?;
        if !self.is_complete {
            write!(f, "; a limit ended the search")?;
        }
        for it in &self.unplanned {
            write!(f, "\n-- {it}")?;
        }
        Ok(())
    }
}

impl fmt::Display for IndexAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "-- {:.2} % of the cost without it; {}",
            100.0 * self.cost_ratio,
            megabytes(self.size_bytes)
        )?;
        for it in self.helps.iter().take(NAMED) {
            writeln!(
                f,
                "--   {}: {:.0} to {:.0}, {} times",
                it.name, it.cost_without, it.cost_with, it.calls
            )?;
        }
        if self.helps.len() > NAMED {
            writeln!(f, "--   and {} more statements", self.helps.len() - NAMED)?;
        }
        for note in &self.notes {
            writeln!(f, "--   {note}")?;
        }
        writeln!(f, "{};", self.sql)
    }
}

impl fmt::Display for ReplacedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-- {} ({})", self.index, megabytes(self.size_bytes))?;
        match (&self.by, self.is_tested) {
            (Some(by), true) => write!(f, ": {by} serves all that it does, and no plan misses it")?,
            (Some(by), false) => {
                write!(f, ": {by} serves all that it does, not tested by what-if")?
            }
            (None, _) => write!(
                f,
                ": no plan of the workload misses it, other statements may; to make it again: {}",
                self.rollback_sql
            )?,
        }
        write!(f, "; once the indexes above are there,\n{};", self.sql)
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
