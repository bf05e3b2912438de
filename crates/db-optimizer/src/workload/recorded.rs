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
        if !is_read || is_upkeep(&text) {
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

/// Whether a statement speaks of the system alone, as what looks after a server does, this crate
/// included. One that speaks of neither is told by its plan.
fn is_upkeep(text: &str) -> bool {
    let words: Vec<Token<'_>> = tokens(text).collect();
    words.iter().any(is_systems) && !(0..words.len()).any(|at| names_a_table(&words[at..]))
}

/// Whether a table of a user follows.
fn names_a_table(words: &[Token<'_>]) -> bool {
    const BEFORE: [&str; 5] = ["from", "join", "into", "update", "using"];
    let is_filler = |it: &&Token<'_>| it.is_word("only") || it.is_word("lateral");
    let name = words[1..].iter().find(|it| !is_filler(it));
    BEFORE.iter().any(|it| words[0].is_word(it))
        && name.is_some_and(|it| match it.kind {
            TokenKind::Word => !is_systems(it) && !it.is_word("unnest"),
            TokenKind::QuotedIdentifier => true,
            _ => false,
        })
}

fn is_systems(word: &Token<'_>) -> bool {
    let text = word.text.to_ascii_lowercase();
    let prefixes = ["pg_", "hypopg", "information_schema"];
    word.kind == TokenKind::Word && prefixes.iter().any(|it| text.starts_with(it))
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
            "select pg_advisory_lock($1)",
            "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_index i ON true",
            "select hypopg_relation_size(it) from unnest($1::oid[]) it",
            "select * from (select pid from pg_stat_activity) it",
        ] {
            assert!(is_upkeep(text), "{text}");
        }
        for text in [
            "select from only orders",
            "select * from unnest($1::int[]) id, orders o where o.id = id",
            "table orders",
            "select current_setting($1)",
            "select pg_column_size(o) from orders o",
            "insert into \"pg_odd\" values ($1)",
            "update orders set a = $1",
            "select * from (select * from orders) it",
            "delete from orders",
            "select 1 from pg_class join orders on true",
        ] {
            assert!(!is_upkeep(text), "{text}");
        }
    }
}
