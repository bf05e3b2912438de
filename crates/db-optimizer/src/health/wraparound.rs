//! How many of the transaction ids, and of the multixact ids, are in use.
//!
//! There are 2³¹ of each; the server stops writing shortly before they run out (manual, section
//! 25.1.5).

use super::check::{Check, number};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

pub(super) const CHECK: Check = Check {
    code: "wraparound",
    what: "the ages of databases and tables",
    sql: "
WITH aged AS (
    SELECT 'database ' || quote_ident(datname) AS subject, NULL AS quoted,
           datname = current_database() AS is_here, 'transaction' AS kind,
           age(datfrozenxid)::bigint AS age
    FROM pg_database WHERE datallowconn
    UNION ALL
    SELECT 'database ' || quote_ident(datname), NULL, datname = current_database(), 'multixact',
           mxid_age(datminmxid)::bigint
    FROM pg_database WHERE datallowconn
    UNION ALL
    SELECT 'table ' || rel.name, rel.name, true, ages.kind, ages.age
    FROM (
        SELECT format('%I.%I', nsp.nspname, cls.relname) AS name, cls.relfrozenxid, cls.relminmxid
        FROM pg_class cls
        JOIN pg_namespace nsp ON nsp.oid = cls.relnamespace
        WHERE cls.relkind IN ('r', 'm', 't') AND cls.relfrozenxid <> '0'
    ) rel
    CROSS JOIN LATERAL (
        VALUES ('transaction', age(rel.relfrozenxid)::bigint),
               ('multixact', CASE WHEN rel.relminmxid <> '0'
                                  THEN mxid_age(rel.relminmxid)::bigint END)
    ) ages (kind, age)
)
SELECT subject, quoted, is_here, kind, age, age / 2147483647.0::float8 AS share
FROM aged
WHERE age / 2147483647.0::float8 >= $1::float8
ORDER BY quoted IS NOT NULL, age DESC, subject, kind
LIMIT 51",
    limits: |limits| vec![limits.wraparound],
    finding: |row| {
        let (age, share) = (number(row, "age"), number(row, "share"));
        let (subject, kind): (&str, &str) = (row.get("subject"), row.get("kind"));
        let table: Option<&str> = row.get("quoted");
        let severity = match share >= 0.8 {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        Finding::new("wraparound", severity, subject)
            .seen(format!(
                "its oldest {kind} id is {} old, {} of what there is",
                Count(age),
                Share(share)
            ))
            .number("age", age)
            .number("share", share)
            .why("when the ids run out, the server refuses all writes until the oldest rows are frozen")
            .action(match (table, row.get("is_here")) {
                (Some(_), _) => "vacuum this table; it will be read as a whole",
                (None, true) => {
                    "vacuum its oldest tables, and look for what holds them back: long and prepared \
                     transactions, slots, standbys with feedback"
                }
                (None, false) => "connect to that database and look at its health",
            })
            .sql(table.map(|it| format!("VACUUM (FREEZE) {it}")))
    },
};
