//! How many blocks are found in shared memory.

use super::check::{Check, limit, number};
use crate::{
    Finding, Severity,
    quantity::{Count, Share},
};

pub(super) const CHECK: Check = Check {
    code: "cache_hits",
    what: "the cache hits of the database",
    sql: "
SELECT quote_ident(datname) AS subject, blks_hit AS hits, blks_read AS reads,
       blks_hit::float8 / (blks_hit + blks_read) AS ratio
FROM pg_stat_database
WHERE datname = current_database()
  AND blks_hit + blks_read > 0
  AND blks_hit + blks_read >= $1::float8
  AND blks_hit::float8 / (blks_hit + blks_read) < $2::float8
LIMIT 51",
    limits: |limits| vec![limit(limits.cache_blocks), limits.cache_hit_ratio],
    finding: |row| {
        let (ratio, reads) = (number(row, "ratio"), number(row, "reads"));
        Finding::new("cache_hits", Severity::Warning, row.get::<_, &str>("subject"))
            .seen(format!(
                "{} of blocks were in shared memory, {} had to be read",
                Share(ratio),
                Count(reads)
            ))
            .number("hit_ratio", ratio)
            .number("blocks_hit", number(row, "hits"))
            .number("blocks_read", reads)
            .why("what is not in shared memory comes from the system's cache at best, from the disk at worst")
            .action(
                "look for statements that read whole tables; then raise `shared_buffers`, up to a \
                 quarter of the memory",
            )
    },
};
