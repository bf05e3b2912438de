//! Tables without a primary key.

use super::check::{Check, number, of_users};
use crate::{Finding, Severity, quantity::Count};

pub(super) const CHECK: Check = Check {
    code: "no_primary_key",
    what: "the tables without a primary key",
    // A unique index over whole columns that are never null can become the key at no cost.
    sql: concat!(
        "
SELECT format('%I.%I', nsp.nspname, rel.relname) AS subject,
       greatest(rel.reltuples, 0)::float8 AS row_count,
       (SELECT quote_ident(idx_rel.relname)
        FROM pg_index idx JOIN pg_class idx_rel ON idx_rel.oid = idx.indexrelid
        WHERE idx.indrelid = rel.oid AND idx.indisunique AND idx.indisvalid AND idx.indimmediate
          AND idx.indpred IS NULL AND idx.indexprs IS NULL AND rel.relkind = 'r'
          AND NOT EXISTS (SELECT FROM pg_constraint con WHERE con.conindid = idx.indexrelid)
          AND NOT EXISTS (
              SELECT FROM generate_series(0, idx.indnkeyatts - 1) place
              JOIN pg_attribute att ON att.attrelid = rel.oid AND att.attnum = idx.indkey[place]
              WHERE NOT att.attnotnull OR idx.indoption[place] <> 0)
        ORDER BY idx.indnkeyatts, idx_rel.relname LIMIT 1) AS candidate
FROM pg_class rel
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
WHERE rel.relkind IN ('r', 'p') AND NOT rel.relispartition
  AND NOT EXISTS (
      SELECT FROM pg_index idx WHERE idx.indrelid = rel.oid AND idx.indisprimary)
  AND ",
        of_users!("rel", "nsp"),
        "
ORDER BY rel.reltuples DESC, 1
LIMIT 51"
    ),
    limits: |_| Vec::new(),
    finding: |row| {
        let subject: &str = row.get("subject");
        let candidate: Option<&str> = row.get("candidate");
        Finding::new("no_primary_key", Severity::Notice, subject)
            .seen(format!("{} rows, no primary key", Count(number(row, "row_count"))))
            .number("rows", number(row, "row_count"))
            .why("nothing tells its rows apart: logical replication of updates, repairs and paging by key need that")
            .action(match candidate {
                Some(_) => "make its unique index the primary key",
                None => "add a primary key",
            })
            .sql(candidate.map(|it| format!("ALTER TABLE {subject} ADD PRIMARY KEY USING INDEX {it}")))
    },
};
