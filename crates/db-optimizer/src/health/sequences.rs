//! Sequences that come to their end, or to the end of the column that they fill.

use super::check::{Check, number, of_users};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

pub(super) const CHECK: Check = Check {
    code: "sequence_exhaustion",
    what: "the sequences",
    // A column is owned (serial, identity) or merely has the sequence in its default. Privileges are asked
    // for by `seqrelid`: by the oid of a relation, they would be asked of tables, too, which is an error.
    sql: concat!(
        "
WITH used AS (
    SELECT dep.objid AS seq, dep.refobjid AS relid, dep.refobjsubid AS attnum
    FROM pg_depend dep
    WHERE dep.classid = 'pg_class'::regclass AND dep.refclassid = 'pg_class'::regclass
      AND dep.deptype IN ('a', 'i') AND dep.refobjsubid > 0
    UNION
    SELECT dep.refobjid, def.adrelid, def.adnum
    FROM pg_attrdef def
    JOIN pg_depend dep ON dep.classid = 'pg_attrdef'::regclass AND dep.objid = def.oid
    WHERE dep.refclassid = 'pg_class'::regclass
),
counted AS (
    SELECT format('%I.%I', nsp.nspname, rel.relname) AS subject,
           pg_sequence_last_value(seq.seqrelid)::float8 AS last_value,
           seq.seqmin::float8 AS seqmin, seq.seqmax::float8 AS seqmax,
           seq.seqincrement > 0 AS is_rising, seq.seqcycle, seq.seqtypid,
           CASE WHEN tab.oid IS NOT NULL
                THEN format('%I.%I', tab_nsp.nspname, tab.relname) END AS table_name,
           quote_ident(att.attname) AS column_name, format_type(att.atttypid, NULL) AS column_type,
           CASE att.atttypid WHEN 'int2'::regtype THEN 32767
                             WHEN 'int4'::regtype THEN 2147483647 END::float8 AS column_max
    FROM pg_sequence seq
    JOIN pg_class rel ON rel.oid = seq.seqrelid
    JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
    LEFT JOIN used ON used.seq = rel.oid
    LEFT JOIN pg_attribute att ON att.attrelid = used.relid AND att.attnum = used.attnum
    LEFT JOIN pg_class tab ON tab.oid = used.relid
    LEFT JOIN pg_namespace tab_nsp ON tab_nsp.oid = tab.relnamespace
    WHERE has_sequence_privilege(seq.seqrelid, 'SELECT, USAGE') AND ",
        of_users!("rel", "nsp"),
        "
),
bounded AS (
    SELECT *, CASE WHEN is_rising THEN least(seqmax, column_max)
                   ELSE -greatest(seqmin, -column_max - 1) END AS bound,
           CASE WHEN is_rising THEN last_value ELSE -last_value END AS reached
    FROM counted
    WHERE NOT seqcycle OR column_max < seqmax
)
SELECT subject, table_name, column_name, column_type, reached, bound,
       seqtypid <> 'int8'::regtype AS is_narrow, column_max IS NOT NULL AS is_column_narrow,
       reached / bound AS share
FROM bounded
WHERE bound > 0 AND reached / bound >= $1::float8
ORDER BY reached / bound DESC, subject
LIMIT 51"
    ),
    limits: |limits| vec![limits.sequence_used],
    finding: |row| {
        let (share, bound) = (number(row, "share"), number(row, "bound"));
        let subject: &str = row.get("subject");
        let severity = match share >= 0.9 {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        let column: Option<(&str, &str)> = row
            .get::<_, Option<&str>>("table_name")
            .zip(row.get("column_name"));
        let fills = column.map(|(table, column)| {
            let kind: &str = row.get("column_type");
            format!("; it fills {table}.{column}, which is {kind}")
        });
        let widen = column.filter(|_| row.get("is_column_narrow"));
        Finding::new("sequence_exhaustion", severity, subject)
            .seen(format!(
                "{} of {} are used up, {}{}",
                Count(number(row, "reached")),
                Count(bound),
                Share(share),
                fills.unwrap_or_default()
            ))
            .number("used", number(row, "reached"))
            .number("bound", bound)
            .number("share", share)
            .why("after the last value every insert fails")
            .action(match widen {
                Some(_) => {
                    "make the column a bigint, and all that refer to it; the statement rewrites the table \
                     and locks it meanwhile, so on a large one fill a second column beside it and swap them"
                }
                None => "raise the sequence's bound",
            })
            .sql(wider(subject, row.get("is_narrow"), widen))
    },
};

/// The statements that give a sequence and its column the range of a bigint.
fn wider(sequence: &str, is_narrow: bool, column: Option<(&str, &str)>) -> Option<String> {
    let sequence = is_narrow.then(|| format!("ALTER SEQUENCE {sequence} AS bigint"));
    let column = column
        .map(|(table, column)| format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE bigint"));
    match (sequence, column) {
        (Some(sequence), Some(column)) => Some(format!("{sequence}; {column}")),
        (one, other) => one.or(other),
    }
}
