//! How many of the connections that the server admits are in use.

use super::check::{Check, number};
use crate::{Finding, Severity, quantity::Share};

pub(super) const CHECK: Check = Check {
    code: "connections",
    what: "the connections of the server",
    // What is reserved for roles came with 16.
    sql: "
WITH server AS (
    SELECT (SELECT sum(numbackends)::float8 FROM pg_stat_database) AS used,
           (current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int)::float8 AS places
)
SELECT used, places, used / greatest(places, 1) AS share
FROM server
WHERE used / greatest(places, 1) >= $1::float8
LIMIT 51",
    limits: |limits| vec![limits.connections_used],
    finding: |row| {
        let (used, places) = (number(row, "used"), number(row, "places"));
        let share = number(row, "share");
        let severity = match share >= 0.95 {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        Finding::new("connections", severity, "the server")
            .seen(format!(
                "{used} of {places} connections for ordinary roles are in use, {}",
                Share(share)
            ))
            .number("used", used)
            .number("places", places)
            .number("share", share)
            .why("when none is left, the server refuses whoever comes")
            .action(
                "make the pools smaller or put a pooler in between; raise `max_connections` last: each \
                 connection costs memory, and each active one a core",
            )
    },
};
