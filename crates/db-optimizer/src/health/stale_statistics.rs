//! Tables that have changed much since they were analyzed.

use super::check::{Check, number, of_users};
use crate::{Finding, Severity, quantity::Count};

pub(super) const CHECK: Check = Check {
    code: "stale_statistics",
    what: "the changes of tables since they were analyzed",
    sql: concat!(
        "
WITH tab AS (
    SELECT format('%I.%I', nsp.nspname, rel.relname) AS subject,
           pg_stat_get_live_tuples(rel.oid) AS live,
           pg_stat_get_mod_since_analyze(rel.oid) AS changed,
           greatest(pg_stat_get_last_analyze_time(rel.oid),
                    pg_stat_get_last_autoanalyze_time(rel.oid)) IS NULL AS is_new,
           coalesce(opt.options ->> 'autovacuum_analyze_threshold',
                    current_setting('autovacuum_analyze_threshold'))::float8
           + coalesce(opt.options ->> 'autovacuum_analyze_scale_factor',
                      current_setting('autovacuum_analyze_scale_factor'))::float8
             * greatest(rel.reltuples, 0) AS threshold
    FROM pg_class rel
    JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(option_name, option_value) AS options
        FROM pg_options_to_table(rel.reloptions)
    ) opt
    WHERE rel.relkind IN ('r', 'm') AND ",
        of_users!("rel", "nsp"),
        "
)
SELECT subject, live, changed, is_new, threshold
FROM tab
WHERE changed > $1::float8 * threshold
ORDER BY changed DESC, subject
LIMIT 51"
    ),
    limits: |limits| vec![limits.vacuum_lag],
    finding: |row| {
        let changed = number(row, "changed");
        let subject: &str = row.get("subject");
        Finding::new("stale_statistics", Severity::Warning, subject)
            .seen(format!(
                "{} rows changed since {}; autovacuum should act from {} on",
                Count(changed),
                match row.get("is_new") {
                    true => "counting began, and it was not analyzed since",
                    false => "it was analyzed",
                },
                Count(number(row, "threshold")),
            ))
            .number("changed_rows", changed)
            .number("live_rows", number(row, "live"))
            .number("threshold_rows", number(row, "threshold"))
            .why("the planner chooses by statistics of what the table no longer is")
            .action("analyze it; if that happens again and again, lower `autovacuum_analyze_scale_factor` for it")
            .sql(format!("ANALYZE {subject}"))
    },
};
