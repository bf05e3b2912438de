//! Where `pg_stat_statements` stands in this database, and what its columns are called.
//!
//! The extension may be older than the server, so only the catalogue knows the columns.

use ruleiq_query::Queries;

use crate::Error;

/// The view and the names in it that changed over time.
#[derive(Debug)]
pub(crate) struct StatementsView {
    /// The schema as it is written in SQL.
    pub(crate) schema: String,
    pub(crate) total_time: &'static str,
    pub(crate) max_time: &'static str,
    /// Whether the statement was sent by a client, as SQL: up to 1.8 that is not known.
    pub(crate) top_level: &'static str,
    /// Whether there is `pg_stat_statements_info`, which came with 1.9.
    pub(crate) has_info: bool,
}

/// What the catalogue says of the extension.
#[derive(Debug)]
pub(crate) enum Found {
    /// It is not installed in this database.
    Nothing,
    /// It has no columns for times that are known here.
    UnknownColumns,
    View(StatementsView),
}

const FIND: &str = "
SELECT quote_ident(nsp.nspname),
       ARRAY(
           SELECT att.attname::text
           FROM pg_attribute att
           JOIN pg_class view ON view.oid = att.attrelid
           WHERE view.relnamespace = nsp.oid AND view.relname = 'pg_stat_statements'
             AND att.attnum > 0 AND NOT att.attisdropped
       ),
       EXISTS (
           SELECT FROM pg_class view
           WHERE view.relnamespace = nsp.oid AND view.relname = 'pg_stat_statements_info'
       )
FROM pg_extension ext
JOIN pg_namespace nsp ON nsp.oid = ext.extnamespace
WHERE ext.extname = 'pg_stat_statements'";

/// The names of the total and of the longest time: of 1.8 and later, and of those before.
const TIMES: [(&str, &str); 2] = [
    ("total_exec_time", "max_exec_time"),
    ("total_time", "max_time"),
];

/// Looks the extension up.
pub(crate) async fn find(queries: &impl Queries) -> Result<Found, Error> {
    let row = queries
        .query_opt(FIND, &[])
        .await
        .map_err(Error::reading("the extensions from the catalogue"))?;
    let Some(row) = row else {
        return Ok(Found::Nothing);
    };
    let columns: Vec<String> = row.get(1);
    let has = |name: &str| columns.iter().any(|it| it == name);
    let Some((total_time, max_time)) = TIMES.into_iter().find(|it| has(it.0) && has(it.1)) else {
        return Ok(Found::UnknownColumns);
    };
    Ok(Found::View(StatementsView {
        schema: row.get(0),
        total_time,
        max_time,
        top_level: if has("toplevel") { "toplevel" } else { "true" },
        has_info: row.get(2),
    }))
}
