//! The part of a command that is planned: what a cursor reads, a `COPY` sends, a new table is made of.

use ruleiq_query::{Token, tokens};

/// What begins a statement that has a plan.
const PLANNED: [&str; 8] = [
    "select", "insert", "update", "delete", "merge", "with", "values", "table",
];

/// The statement in a text that has a plan: all of it, or what a command runs. `None` where nothing is planned.
pub(crate) fn planned_text(text: &str) -> Option<&str> {
    let all: Vec<Token<'_>> = tokens(text).collect();
    let first = all.iter().position(|it| it.text != "(")?;
    let is = |at: usize, word: &str| all.get(at).is_some_and(|it| it.is_word(word));
    if PLANNED.iter().any(|it| is(first, it)) {
        return Some(text);
    }
    let from = |at: usize| text.get(all.get(at)?.start..);
    let begins = |at: &usize| {
        let mut words = all[*at..].iter().filter(|it| it.text != "(");
        words
            .next()
            .is_some_and(|it| PLANNED.iter().any(|word| it.is_word(word)))
    };
    let after = |word: &str| (1..all.len()).find(|at| is(at - 1, word));
    if is(0, "declare") {
        return after("for").filter(begins).and_then(from);
    }
    let is_made = is(1, "materialized") || all.iter().take(4).any(|it| it.is_word("table"));
    if is(0, "create") && is_made {
        let start = all.get(after("as").filter(begins)?)?.start;
        return text.get(start..end_of_query(text, &all)?);
    }
    if is(0, "copy") && all.get(1)?.text == "(" && begins(&2) {
        let end = closing(&all, 1)?;
        return text.get(all[1].end()..all[end].start);
    }
    None
}

/// Where the query of a new table ends: before `WITH DATA`. `WITH NO DATA`, it does not run.
fn end_of_query(text: &str, all: &[Token<'_>]) -> Option<usize> {
    let is = |back: usize, word: &str| {
        let at = all.len().checked_sub(back);
        at.is_some_and(|it| all[it].is_word(word))
    };
    match (is(1, "data"), is(2, "no")) {
        (true, true) if is(3, "with") => None,
        (true, false) if is(2, "with") => Some(all[all.len() - 2].start),
        _ => Some(text.len()),
    }
}

/// The parenthesis that closes this one.
fn closing(all: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, token) in all.iter().enumerate().skip(open) {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_statement_is_planned_as_it_is() {
        for text in [
            "SELECT 1",
            "/* x */ (select $1)",
            "With x AS (SELECT 1) TABLE x",
            "merge into t",
        ] {
            assert_eq!(planned_text(text), Some(text));
        }
    }

    #[test]
    fn what_a_command_runs_is_planned() {
        let check = |text, expected| assert_eq!(planned_text(text), expected, "{text}");
        check(
            "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT * FROM t FOR UPDATE",
            Some("SELECT * FROM t FOR UPDATE"),
        );
        check(
            "copy (select a, (1) from t where b = ')') to stdout (format csv)",
            Some("select a, (1) from t where b = ')'"),
        );
        check(
            "CREATE TEMP TABLE x AS WITH y AS (SELECT 1) SELECT * FROM y",
            Some("WITH y AS (SELECT 1) SELECT * FROM y"),
        );
        check(
            "create materialized view v as (select 1)",
            Some("(select 1)"),
        );
        check(
            "create materialized view v as select 1 with data",
            Some("select 1 "),
        );
        for text in [
            "",
            "(",
            "CREATE VIEW v AS SELECT 1",
            "CREATE TABLE x AS SELECT 1 WITH NO DATA",
            "CREATE TABLE select (x int)",
            "CREATE TABLE x (a int GENERATED ALWAYS AS (b) STORED, b int)",
            "CREATE TABLE x AS EXECUTE y",
            "COPY t TO stdout",
            "COPY (SELECT 1",
            "DECLARE c CURSOR FOR",
            "BEGIN",
            "EXPLAIN SELECT 1",
            "selects",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(
            text in any::<String>(),
            dense in "(DECLARE|FOR|COPY|CREATE|TABLE|AS|SELECT|[()' ]){0,12}",
        ) {
            for text in [text, dense] {
                if let Some(planned) = planned_text(&text) {
                    prop_assert!(text.contains(planned));
                }
            }
        }
    }
}
