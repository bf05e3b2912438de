//! A file of statements.

use ruleiq_query::tokens;

use super::WorkloadStatement;

/// The most statements of a file.
const MAX_STATEMENTS: usize = 1_000;

/// Why a text is no workload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// There is nothing to plan.
    #[error("there is no statement in the workload")]
    Empty,
    /// More than anyone can search for.
    #[error("the workload has more than {MAX_STATEMENTS} statements")]
    TooMany,
    /// A weight is not a number above zero.
    #[error("`{text}` is no weight: it must be a number above zero (statement {statement})")]
    Weight {
        /// What stands there.
        text: String,
        /// Which statement, from 1.
        statement: usize,
    },
}

pub(super) fn parse(text: &str) -> Result<Vec<WorkloadStatement>, WorkloadError> {
    let mut statements = Vec::new();
    // The end of the statement before: the comments of one stand between that and its first token.
    let mut from = 0;
    let mut first = None;
    let mut last_end = 0;
    let mut end = |comments: &str, sql: &str| {
        let number = statements.len() + 1;
        if number > MAX_STATEMENTS {
            return Err(WorkloadError::TooMany);
        }
        statements.push(statement(comments, sql, number)?);
        Ok(())
    };
    for token in tokens(text) {
        if token.text == ";" {
            if let Some(start) = first.take() {
                end(&text[from..start], &text[start..token.start])?;
            }
            from = token.end();
        } else {
            first.get_or_insert(token.start);
            last_end = token.end();
        }
    }
    if let Some(start) = first {
        end(&text[from..start], &text[start..last_end])?;
    }
    match statements.is_empty() {
        true => Err(WorkloadError::Empty),
        false => Ok(statements),
    }
}

fn statement(comments: &str, sql: &str, number: usize) -> Result<WorkloadStatement, WorkloadError> {
    let header = comments
        .lines()
        .map(str::trim)
        .filter_map(|it| it.strip_prefix("--"));
    let header: Vec<&str> = header.collect();
    let name = header.iter().rev().find_map(|it| field(it, "name:"));
    let calls = match header.iter().rev().find_map(|it| field(it, "weight:")) {
        Some(text) => match text.parse::<f64>() {
            Ok(calls) if calls > 0.0 && calls.is_finite() => calls,
            _ => {
                return Err(WorkloadError::Weight {
                    text: text.to_owned(),
                    statement: number,
                });
            }
        },
        None => 1.0,
    };
    Ok(WorkloadStatement {
        name: name.map_or_else(|| format!("statement {number}"), str::to_owned),
        sql: sql.trim_end().to_owned(),
        calls,
    })
}

/// The word after a key in a comment.
fn field<'a>(comment: &'a str, key: &str) -> Option<&'a str> {
    let at = comment.find(key)?;
    comment[at + key.len()..].split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str, f64)]) {
        let found = parse(text).unwrap();
        let found: Vec<_> = (found.iter())
            .map(|it| (it.name.as_str(), it.sql.as_str(), it.calls))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn statements_are_named_and_weighed_by_the_comment_before_them() {
        check("select 1", &[("statement 1", "select 1", 1.0)]);
        check(
            "-- about\n-- name: a weight: 2.5 tags: x,y\nselect ';' -- ;\n, 2;\n;\n\n/* ; */ select 3 ; -- end",
            &[
                ("a", "select ';' -- ;\n, 2", 2.5),
                ("statement 2", "select 3", 1.0),
            ],
        );
        check(
            "-- name: f weight: 1e3\nselect $$a;b$$;",
            &[("f", "select $$a;b$$", 1000.0)],
        );
    }

    #[test]
    fn what_is_no_workload_says_why() {
        assert!(matches!(
            parse(" -- nothing\n;;"),
            Err(WorkloadError::Empty)
        ));
        for weight in ["0", "-1", "x", "inf", "nan"] {
            let text = format!("-- weight: {weight}\nselect 1");
            let error = parse(&text).unwrap_err();
            assert!(error.to_string().contains(weight), "{error}");
        }
        let many = "select 1;".repeat(MAX_STATEMENTS + 1);
        assert!(matches!(parse(&many), Err(WorkloadError::TooMany)));
    }
}
