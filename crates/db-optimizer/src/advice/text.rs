//! Advice for people.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::{Advice, IndexAdvice, ReplacedIndex};
use crate::{DiscardReason, Trial, duration, workload::beginning};

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
        if !self.replaced.is_empty() && !self.indexes.is_empty() {
            writeln!(f, "-- once the indexes above are there:")?;
        }
        for it in &self.replaced {
            writeln!(f, "{it}")?;
        }
        for it in &self.droppable {
            writeln!(
                f,
                "-- {} ({}) could go: {}\n--   {};\n--   to make it again: {}\n",
                it.index,
                megabytes(it.bytes),
                it.reason,
                it.sql,
                it.rollback_sql
            )?;
        }
        self.write_statements(f)?;
        let has_discarded = |it: &Trial| !it.discarded.is_empty();
        let is_discarded = self.trial.as_ref().is_some_and(has_discarded);
        let is_none = self.indexes.is_empty() && self.untested.is_empty();
        if is_none && self.is_complete && !is_discarded {
            writeln!(
                f,
                "-- no index helps within the budget: none of {} that were thought of",
                self.candidates
            )?;
        }
        self.write_sum(f)?;
        if let Some(trial) = &self.trial {
            write!(f, "\n{trial}")?;
        }
        for it in &self.unplanned {
            write!(f, "\n-- {it}")?;
        }
        if self.hidden > 0 {
            write!(
                f,
                "\n-- {} recorded statements of other roles were not seen: GRANT pg_read_all_stats",
                self.hidden
            )?;
        }
        Ok(())
    }
}

impl Advice {
    /// What the names of the statements that are helped stand for.
    fn write_statements(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advised = self.indexes.iter().chain(&self.untested);
        let mut named: BTreeSet<&str> = advised
            .flat_map(|it| it.helps.iter().take(NAMED))
            .map(|it| it.name.as_str())
            .collect();
        if let Some(trial) = &self.trial {
            let slower = trial.statements.iter().filter(|it| it.is_slower);
            named.extend(slower.map(|it| it.name.as_str()));
            named.extend(trial.not_run.iter().map(|it| it.name.as_str()));
            named.extend(trial.discarded.iter().filter_map(|it| match &it.reason {
                DiscardReason::Slower { statement, .. } => Some(statement.as_str()),
                _ => None,
            }));
        }
        let helped = self.statements.iter();
        let helped: Vec<_> = helped
            .filter(|it| named.contains(it.name.as_str()))
            .collect();
        if !helped.is_empty() {
            writeln!(f, "-- the statements:")?;
        }
        for it in helped {
            writeln!(f, "--   {}: {}", it.name, beginning(&it.statement))?;
        }
        Ok(())
    }

    fn write_sum(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_what_if {
            return write!(
                f,
                "-- nothing was tested by what-if: what all costs then is not known"
            );
        }
        write!(
            f,
            "-- {:.2} % of the cost is left, with {} of {}, after {} plans in {:.1} s",
            100.0 * super::ratio(self.cost_after, self.cost_before),
            megabytes(self.size_bytes),
            megabytes(self.budget_bytes),
            self.explains,
            Duration::from_millis(self.elapsed_ms).as_secs_f64(),
        )?;
        match self.is_complete {
            true => Ok(()),
            false => write!(
                f,
                "; a limit ended the search (of time, of plans, or Ctrl-C)"
            ),
        }
    }
}

impl fmt::Display for IndexAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "-- saves {:.2} % of what all would cost without it; {}",
            100.0 * (1.0 - self.cost_ratio),
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
        let why = match (&self.by, self.is_tested) {
            (Some(by), true) => format!("{by} serves all that it does, and no plan misses it"),
            (Some(by), false) => format!("{by} serves all that it does, not tested by what-if"),
            (None, _) => "no plan of the workload misses it, other statements may".to_owned(),
        };
        writeln!(
            f,
            "-- {} ({}) could go: {why}\n--   {};\n--   to make it again: {}",
            self.index,
            megabytes(self.size_bytes),
            self.sql,
            self.rollback_sql
        )
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "-- run for real, {} statements as often as they weigh: {} without the indexes",
            self.statements.len(),
            time(self.before()),
        )?;
        if let Some(with_all) = self.with_all.filter(|_| !self.discarded.is_empty()) {
            write!(f, ", {} with all of them", time(with_all))?;
        }
        if let Some(after) = self.after() {
            let built = megabytes(self.size_bytes);
            write!(
                f,
                ", {} with those that are left, which take {built}",
                time(after)
            )?;
        }
        for it in &self.discarded {
            write!(f, "\n-- left out: {}: {}", line(&it.name), it.reason)?;
        }
        for name in &self.passed_over {
            write!(f, "\n-- could not be tried: {}", line(name))?;
        }
        for it in self.statements.iter().filter(|it| it.is_slower) {
            let (before, after) = (time(it.before), it.after.map_or_else(String::new, time));
            write!(f, "\n-- {} is slower: {before} to {after}", line(&it.name))?;
            if let Some(reason) = &it.fails {
                write!(f, ", the limit: it fails ({reason:?})")?;
            }
        }
        for it in &self.not_run {
            write!(f, "\n-- {} was not run: {:?}", line(&it.name), it.reason)?;
        }
        match self.is_complete {
            true => Ok(()),
            false => write!(f, "\n-- a limit ended the trial (of time, or Ctrl-C)"),
        }
    }
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiscardReason::Slower {
                statement,
                before,
                after,
                fails,
            } => {
                let (before, statement) = (time(*before), line(statement));
                match fails {
                    Some(reason) => write!(f, "with it, {statement} failed ({reason:?})"),
                    None => {
                        let after = time(*after);
                        write!(f, "with it, {statement} was slower: {before} to {after}")
                    }
                }
            }
            DiscardReason::Unused => f.write_str("no plan takes it"),
            DiscardReason::NotBuilt { sql_state } => {
                write!(f, "it could not be built (SQLSTATE {sql_state})")
            }
        }
    }
}

/// A name in a comment, which ends with its line.
fn line(name: &str) -> String {
    name.replace(char::is_control, " ")
}

fn time(time: Duration) -> String {
    format!("{:.1} ms", duration::milliseconds(time))
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
