//! Tables whose updates write to every index.

use super::check::{Check, limit, number, of_users};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

pub(super) const CHECK: Check = Check {
    code: "hot_updates",
    what: "the updates of tables",
    // How many updates found no room on their page came with 16.
    sql: concat!(
        "
SELECT format('%I.%I', nsp.nspname, rel.relname) AS subject, stat.n_tup_upd AS updates,
       stat.n_tup_hot_upd::float8 / stat.n_tup_upd AS share,
       (to_jsonb(stat) ->> 'n_tup_newpage_upd')::float8 / stat.n_tup_upd AS moved,
       (SELECT count(*) FROM pg_index idx WHERE idx.indrelid = rel.oid) AS indexes,
       coalesce((SELECT option_value FROM pg_options_to_table(rel.reloptions)
                 WHERE option_name = 'fillfactor'), '100')::int < 100 AS has_room
FROM pg_stat_all_tables stat
JOIN pg_class rel ON rel.oid = stat.relid
JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
WHERE rel.relkind = 'r' AND rel.relhasindex
  AND stat.n_tup_upd > 0 AND stat.n_tup_upd >= $1::float8
  AND stat.n_tup_hot_upd::float8 / stat.n_tup_upd < $2::float8
  AND ",
        of_users!("rel", "nsp"),
        "
ORDER BY stat.n_tup_upd - stat.n_tup_hot_upd DESC, 1
LIMIT 51"
    ),
    limits: |limits| vec![limit(limits.hot_update_count), limits.hot_updates],
    finding: |row| {
        let (updates, share) = (number(row, "updates"), number(row, "share"));
        let subject: &str = row.get("subject");
        let moved: Option<f64> = row.get("moved");
        let lacks_room = !row.get::<_, bool>("has_room");
        // Without the count it may be either.
        let is_full = moved.is_none_or(|moved| moved >= (1.0 - share) / 2.0);
        Finding::new("hot_updates", Severity::Notice, subject)
            .seen(format!(
                "{} of {} updates needed no entry in an index; {} indexes",
                Share(share),
                Count(updates),
                number(row, "indexes"),
            ))
            .number("updates", updates)
            .number("hot_ratio", share)
            .number("indexes", number(row, "indexes"))
            .why("every other update writes an entry into each index, and leaves one that vacuum has to remove")
            .action(
                "drop indexes on columns that change and are not searched; where no indexed column changes, \
                 the pages are full: leave room on them with a lower `fillfactor`, for rows to come",
            )
            .sql((lacks_room && is_full).then(|| format!("ALTER TABLE {subject} SET (fillfactor = 90)")))
    },
};
