//! The statements that `pg_stat_statements` has recorded.

use ruleiq_query::{Fingerprint, Queries};

use super::{Workload, WorkloadStatement};
use crate::{
    AdviseError, Error,
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
        if planned_text(&text).is_none() || text.chars().count() > MAX_CHARS {
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
    match statements.is_empty() {
        true => Err(AdviseError::NoStatements),
        false => Ok(Workload::new(statements.into_iter().map(|it| it.1))),
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
