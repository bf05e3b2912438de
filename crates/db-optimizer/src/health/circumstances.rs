//! Where and as whom a report is made.

use ruleiq_query::Queries;
use time::OffsetDateTime;

use super::{HealthLimits, Unseen};
use crate::{Error, count};

pub(super) struct Circumstances {
    pub(super) database: String,
    pub(super) server_version: String,
    pub(super) is_standby: bool,
    pub(super) since: Option<OffsetDateTime>,
    now: OffsetDateTime,
    started: OffsetDateTime,
    sees_other_roles: bool,
    standbys: u64,
    hidden_sequences: u64,
    other_databases: u64,
}

const SQL: &str = "
SELECT current_database()::text AS database, current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby, clock_timestamp() AS now,
       pg_postmaster_start_time() AS started,
       (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) AS since,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_other_roles,
       (SELECT count(*) FROM pg_stat_replication) AS standbys,
       (SELECT count(*) FROM pg_sequence
        WHERE NOT has_sequence_privilege(seqrelid, 'SELECT, USAGE')) AS hidden_sequences,
       (SELECT count(*) FROM pg_database
        WHERE datallowconn AND NOT datistemplate
          AND datname <> current_database()) AS other_databases";

impl Circumstances {
    pub(super) async fn read(queries: &impl Queries) -> Result<Circumstances, Error> {
        let row = queries.query_one(SQL, &[]).await;
        let row = row.map_err(Error::reading("the state of the server"))?;
        Ok(Circumstances {
            database: row.get("database"),
            server_version: row.get("version"),
            is_standby: row.get("is_standby"),
            since: row.get("since"),
            now: row.get("now"),
            started: row.get("started"),
            sees_other_roles: row.get("sees_other_roles"),
            standbys: count::of(row.get("standbys")),
            hidden_sequences: count::of(row.get("hidden_sequences")),
            other_databases: count::of(row.get("other_databases")),
        })
    }

    /// Since when the server has counted, as a part of a sentence.
    pub(super) fn window(&self) -> String {
        match self.since {
            Some(since) => format!("since {}", since.date()),
            None => format!(
                "since {} at least, when the server was started",
                self.started.date()
            ),
        }
    }

    /// What cannot be seen from here.
    pub(super) fn unseen(&self, limits: &HealthLimits) -> Vec<Unseen> {
        let since = self.since.unwrap_or(self.started);
        let window = Unseen::Window { since };
        let (standbys, hidden) = (self.standbys, self.hidden_sequences);
        let databases = self.other_databases;
        let all = [
            (!self.sees_other_roles, Unseen::OtherRoles),
            (self.is_standby, Unseen::Primary),
            (standbys > 0, Unseen::Standbys { standbys }),
            (self.now - since < limits.unused_for, window),
            (hidden > 0, Unseen::Sequences { hidden }),
            (databases > 0, Unseen::OtherDatabases { databases }),
        ];
        let unseen = all.into_iter().filter(|(is_so, _)| *is_so);
        unseen.map(|(_, unseen)| unseen).collect()
    }
}
