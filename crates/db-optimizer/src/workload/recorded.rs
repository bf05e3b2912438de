//! The statements that `pg_stat_statements` has recorded.

use ruleiq_query::{Fingerprint, Queries, Token, TokenKind, tokens};

use super::{Workload, WorkloadStatement};
use crate::{
    AdviseError, Error, count,
    generic_plan::planned_text,
    statements_view::{self, Found, StatementsView},
};

/// So many statements are read, those with the most time in all first.
const MAX_STATEMENTS: i64 = 200;
/// A longer text is left out.
const MAX_CHARS: usize = 16_384;

/// Reads what this database has run since the statistics began. The texts have parameters in place
/// of constants, so they are planned for any constants.
pub(crate) async fn read(queries: &impl Queries) -> Result<Workload, AdviseError> {
    let view = match statements_view::find(queries).await? {
        Found::View(view) => view,
        Found::Nothing | Found::UnknownColumns => return Err(AdviseError::NotRecorded),
    };
    let rows = match queries.query(&sql(&view), &[&MAX_STATEMENTS]).await {
        Ok(rows) => rows,
        // Installed, and not loaded when the server started.
        Err(error) if error.as_db_error().is_some() => return Err(AdviseError::NotRecorded),
        Err(error) => return Err(Error::reading("the recorded statements")(error).into()),
    };
    let mut statements: Vec<(Fingerprint, WorkloadStatement)> = Vec::new();
    for row in rows {
        let (text, calls): (String, f64) = (row.get(0), row.get(1));
        let is_read = planned_text(&text).is_some() && text.chars().count() <= MAX_CHARS;
        if !is_read || !reads_tables(&text) {
            continue;
        }
        let fingerprint = Fingerprint::of(&text);
        match statements.iter_mut().find(|it| it.0 == fingerprint) {
            Some((_, known)) => known.calls += calls,
            None => {
                let name = fingerprint.to_string();
                statements.push((fingerprint, WorkloadStatement::new(name, text, calls)));
            }
        }
    }
    let hidden = hidden(queries, &view).await?;
    match (statements.is_empty(), hidden) {
        (true, 0) => Err(AdviseError::NoStatements),
        (true, statements) => Err(AdviseError::Hidden { statements }),
        _ => Ok(Workload {
            is_recorded: true,
            hidden,
            ..Workload::new(statements.into_iter().map(|it| it.1))
        }),
    }
}

/// How many statements of this database have texts that this role may not read.
async fn hidden(queries: &impl Queries, view: &StatementsView) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM {}.pg_stat_statements
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND queryid IS NULL",
        view.schema
    );
    let row = queries.query_one(&sql, &[]).await;
    let row = row.map_err(Error::reading("the recorded statements"))?;
    Ok(count::of(row.get(0)))
}

/// Whether a statement names anything but the system's catalogues and functions: what looks after
/// a server, this crate included, is recorded, too.
fn reads_tables(text: &str) -> bool {
    let words: Vec<Token<'_>> = tokens(text).collect();
    let is_before = |it: &Token<'_>| {
        ["from", "join", "into", "update", "using"]
            .iter()
            .any(|word| it.is_word(word))
    };
    let is_filler = |it: &&Token<'_>| it.is_word("only") || it.is_word("lateral");
    let mut named = words.iter().enumerate().filter(|(_, it)| is_before(it));
    named.any(|(at, _)| {
        let name = words[at + 1..].iter().find(|it| !is_filler(it));
        name.is_some_and(|it| is_a_users(it))
    })
}

fn is_a_users(name: &Token<'_>) -> bool {
    let text = name.text.to_ascii_lowercase();
    let is_systems = [
        "pg_",
        "hypopg",
        "information_schema",
        "unnest",
        "generate_series",
    ]
    .iter()
    .any(|it| text.starts_with(it));
    match name.kind {
        TokenKind::Word => !is_systems,
        TokenKind::QuotedIdentifier => true,
        _ => false,
    }
}

fn sql(view: &StatementsView) -> String {
    let StatementsView {
        schema,
        total_time,
        top_level,
        ..
    } = view;
    format!(
        "SELECT min(query), sum(calls)::float8
         FROM {schema}.pg_stat_statements
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND queryid IS NOT NULL AND query IS NOT NULL AND calls > 0 AND {top_level}
         GROUP BY queryid
         ORDER BY sum({total_time}) DESC, queryid
         LIMIT $1"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_after_the_server_is_told_from_what_reads_tables() {
        for text in [
            "select current_setting($1)",
            "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_index i ON true",
            "select hypopg_relation_size(it) from unnest($1::oid[]) it",
            "select * from (select pid from pg_stat_activity) it",
        ] {
            assert!(!reads_tables(text), "{text}");
        }
        for text in [
            "select from only orders",
            "insert into \"pg_odd\" values ($1)",
            "update orders set a = $1",
            "select * from (select * from orders) it",
            "delete from orders",
            "select 1 from pg_class join orders on true",
        ] {
            assert!(reads_tables(text), "{text}");
        }
    }
}
