//! Tables with more dead rows than autovacuum was told to leave.

use super::check::{Check, number, of_users};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

pub(super) const CHECK: Check = Check {
    code: "vacuum_lag",
    what: "the dead rows of tables",
    sql: concat!(
        "
WITH tab AS (
    SELECT format('%I.%I', nsp.nspname, rel.relname) AS subject,
           pg_stat_get_live_tuples(rel.oid) AS live, pg_stat_get_dead_tuples(rel.oid) AS dead,
           current_setting('autovacuum')::bool AND coalesce(
               (opt.options ->> 'autovacuum_enabled')::bool, true) AS is_automatic,
           coalesce(opt.options ->> 'autovacuum_vacuum_threshold',
                    current_setting('autovacuum_vacuum_threshold'))::float8
           + coalesce(opt.options ->> 'autovacuum_vacuum_scale_factor',
                      current_setting('autovacuum_vacuum_scale_factor'))::float8
             * greatest(rel.reltuples, 0) AS threshold,
           -- 18 and later; -1 means none.
           nullif(coalesce(opt.options ->> 'autovacuum_vacuum_max_threshold',
                           current_setting('autovacuum_vacuum_max_threshold', true))::float8, -1)
               AS max_threshold
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
SELECT subject, live, dead, is_automatic, least(threshold, max_threshold) AS threshold,
       dead::float8 / greatest(live + dead, 1) AS share
FROM tab
WHERE dead > $1::float8 * least(threshold, max_threshold)
ORDER BY dead DESC, subject
LIMIT 51"
    ),
    limits: |limits| vec![limits.vacuum_lag],
    finding: |row| {
        let (dead, share) = (number(row, "dead"), number(row, "share"));
        let subject: &str = row.get("subject");
        Finding::new("vacuum_lag", Severity::Warning, subject)
            .seen(format!(
                "{} dead rows, {} of all; autovacuum should act from {} on{}",
                Count(dead),
                Share(share),
                Count(number(row, "threshold")),
                if row.get("is_automatic") { "" } else { ", but is off" },
            ))
            .number("dead_rows", dead)
            .number("live_rows", number(row, "live"))
            .number("threshold_rows", number(row, "threshold"))
            .why("dead rows are read by every scan, take memory and disk, and keep index-only scans from working")
            .action(match row.get("is_automatic") {
                true => {
                    "vacuum it now; if that frees nothing, an old transaction, a slot or a standby holds \
                     the rows; else let autovacuum work harder: lower its scale factor for this table, \
                     raise `autovacuum_vacuum_cost_limit`"
                }
                false => "vacuum it now, and turn autovacuum on again for it",
            })
            .sql(format!("VACUUM (ANALYZE) {subject}"))
    },
};
