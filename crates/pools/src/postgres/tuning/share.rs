//! What of a server's connections an instance of a service may have, when all have as many.

use std::hash::{BuildHasher as _, RandomState};

use serde::Serialize;
use tokio_postgres::{
    Client,
    types::{ToSql, Type},
};

use super::super::run::Driver;

/// The fewest of: what the server has, what the role may have and what the database may have, each less what
/// others use of it; and how many instances there are. `-1` is no limit. Who is connected by what name all
/// roles see; whether it is a client, of their own sessions alone.
const QUESTION: &str = "\
    WITH peer AS (\
        SELECT usesysid, datid, coalesce(backend_type, 'client backend') AS kind, \
            left(application_name, length($2)) AS name, \
            coalesce(starts_with(application_name, $1) \
                AND substr(application_name, length($1) + 1) ~ '^[0-9a-f]{6}', false) AS is_ours \
        FROM pg_stat_activity WHERE usesysid IS NOT NULL AND datid IS NOT NULL), \
    client AS (SELECT * FROM peer WHERE kind = 'client backend'), \
    free(allowed, others) AS (\
        SELECT current_setting('max_connections')::int8 \
                - current_setting('superuser_reserved_connections')::int \
                - coalesce(current_setting('reserved_connections', true)::int, 0), \
            (SELECT count(*) FROM client WHERE NOT is_ours) \
        UNION ALL SELECT rolconnlimit::int8, \
            (SELECT count(*) FROM client WHERE NOT is_ours AND usesysid = pg_roles.oid) \
        FROM pg_roles WHERE rolname = session_user \
        UNION ALL SELECT datconnlimit::int8, \
            (SELECT count(*) FROM client WHERE NOT is_ours AND datid = pg_database.oid) \
        FROM pg_database WHERE datname = current_database()) \
    SELECT allowed, others, \
        (SELECT count(DISTINCT name) FROM client WHERE is_ours AND name <> $2) \
    FROM free WHERE allowed >= 0 ORDER BY allowed - others LIMIT 1";

/// The connections that a server has, and how many of them are fair to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConnectionShare {
    /// What the server allows: `max_connections` less what it reserves, or the limit of the role or of the
    /// database, where that leaves less.
    pub allowed: usize,
    /// Of these, what others than this service use now.
    pub others: usize,
    /// Instances of this service that are connected now, this one included: those whose `application_name`
    /// differs from ours in what comes after the slash alone.
    pub instances: usize,
    /// What this instance opens besides `size + max_overflow`: for shared reads, where there are any, and to watch the
    /// servers.
    pub besides: usize,
    /// What is left for `size + max_overflow`, when all instances have as much:
    /// `(allowed - others) / instances - besides`. Zero where `max_connections` is too small for all.
    pub connections: usize,
}

/// One of the programs, or pools, that have the same name.
#[derive(Debug)]
pub(crate) struct Instance {
    service: String,
    number: u64,
}

/// What the server keeps of a name.
const LONGEST_NAME: usize = 63;
/// Of an instance's number.
const DIGITS: usize = 6;

impl Instance {
    /// A new one of a service.
    pub(crate) fn of(application_name: &str) -> Instance {
        // What else there is, the server replaces.
        let keep = |it: char| if matches!(it, ' '..='~') { it } else { '?' };
        let service = application_name.chars().map(keep);
        let mut service: String = service.take(LONGEST_NAME - DIGITS - 1).collect();
        service.push('/');
        Instance {
            service,
            number: RandomState::new().hash_one(0) >> (64 - 4 * DIGITS),
        }
    }

    /// What all names of the service's instances begin with.
    fn service(&self) -> &str {
        &self.service
    }

    pub(crate) fn application_name(&self) -> String {
        format!("{}{:0DIGITS$x}", self.service, self.number)
    }
}

impl ConnectionShare {
    pub(crate) fn new(
        allowed: usize,
        others: usize,
        instances: usize,
        besides: usize,
    ) -> ConnectionShare {
        let instances = instances.max(1);
        let each = allowed.saturating_sub(others) / instances;
        ConnectionShare {
            allowed,
            others,
            instances,
            besides,
            connections: each.saturating_sub(besides),
        }
    }
}

/// Asks a server. None where it does not say.
pub(crate) async fn ask(
    client: &Client,
    instance: &Instance,
    besides: usize,
) -> Driver<Option<ConnectionShare>> {
    let (service, own) = (instance.service(), instance.application_name());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&service, Type::TEXT), (&own, Type::TEXT)];
    let rows = client.query_typed(QUESTION, &params).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let count = |at| -> Driver<usize> {
        let count: i64 = row.try_get(at)?;
        Ok(usize::try_from(count).unwrap_or(0))
    };
    let (allowed, others, peers) = (count(0)?, count(1)?, count(2)?);
    let share = ConnectionShare::new(allowed, others, peers + 1, besides);
    Ok(Some(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_leave_is_shared() {
        let check = |allowed, others, instances, besides, expect| {
            let share = ConnectionShare::new(allowed, others, instances, besides);
            assert_eq!(share.connections, expect, "{share:?}");
        };
        check(97, 0, 1, 0, 97);
        check(97, 7, 3, 0, 30);
        check(97, 8, 3, 4, 25);
        check(97, 97, 1, 0, 0);
        check(97, 200, 2, 0, 0);
        check(10, 0, 11, 0, 0);
        check(10, 0, 2, 6, 0);
        assert_eq!(ConnectionShare::new(10, 0, 0, 0).instances, 1);
    }

    #[test]
    fn an_instance_is_told_from_others_of_its_service() {
        let one = Instance::of("ruleiq");
        assert_eq!(one.service(), "ruleiq/");
        assert_eq!(one.application_name().len(), "ruleiq/".len() + DIGITS);
        assert_ne!(
            one.application_name(),
            Instance::of("ruleiq").application_name()
        );
        // As the server would have it.
        assert_eq!(Instance::of("caf\u{e9}\n").service(), "caf??/");
        let long = Instance::of(&"x".repeat(100));
        assert_eq!(long.application_name().len(), LONGEST_NAME);
    }
}
