//! One server among those that a supervisor may hold, and its name for people and programs.

use std::{fmt, str::FromStr};

use crate::Error;

/// Sentinels of a Redis. Two of them outvote one that is cut off.
pub(crate) const SENTINELS: u8 = 3;
/// Nodes of a Redis Cluster. The first half are masters at first.
pub(crate) const CLUSTER_NODES: u8 = 6;

/// One of the servers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Which {
    /// PostgreSQL.
    Postgres,
    /// Redis. Where there are sentinels, the primary, until they promote the replica.
    Redis,
    /// The `PgBouncer` in front of PostgreSQL.
    PgBouncer,
    /// The physical standby of PostgreSQL.
    PostgresStandby,
    /// The replica of Redis.
    RedisReplica,
    /// One of the three sentinels, counted from 0.
    Sentinel(u8),
    /// One of the six nodes of the cluster, counted from 0. The first three are masters at first,
    /// and each is replicated by the one that comes three later.
    ClusterNode(u8),
}

/// The software that a server is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Product {
    Postgres,
    PgBouncer,
    Redis,
}

impl Which {
    /// The name that people read, such as `PostgreSQL`.
    pub fn name(self) -> String {
        match self {
            Which::Postgres => "PostgreSQL".to_owned(),
            Which::Redis => "Redis".to_owned(),
            Which::PgBouncer => "PgBouncer".to_owned(),
            Which::PostgresStandby => "the standby of PostgreSQL".to_owned(),
            Which::RedisReplica => "the replica of Redis".to_owned(),
            Which::Sentinel(number) => format!("sentinel {number} of Redis"),
            Which::ClusterNode(number) => format!("node {number} of the Redis Cluster"),
        }
    }

    pub(crate) fn product(self) -> Product {
        match self {
            Which::Postgres | Which::PostgresStandby => Product::Postgres,
            Which::PgBouncer => Product::PgBouncer,
            Which::Redis | Which::RedisReplica | Which::Sentinel(_) | Which::ClusterNode(_) => {
                Product::Redis
            }
        }
    }

    fn all() -> impl Iterator<Item = Which> {
        [
            Which::Postgres,
            Which::Redis,
            Which::PgBouncer,
            Which::PostgresStandby,
            Which::RedisReplica,
        ]
        .into_iter()
        .chain((0..SENTINELS).map(Which::Sentinel))
        .chain((0..CLUSTER_NODES).map(Which::ClusterNode))
    }
}

/// The word for it, such as `postgres`, `redis-replica` or `cluster-node-5`.
impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Postgres => out.write_str("postgres"),
            Which::Redis => out.write_str("redis"),
            Which::PgBouncer => out.write_str("pgbouncer"),
            Which::PostgresStandby => out.write_str("postgres-standby"),
            Which::RedisReplica => out.write_str("redis-replica"),
            Which::Sentinel(number) => write!(out, "sentinel-{number}"),
            Which::ClusterNode(number) => write!(out, "cluster-node-{number}"),
        }
    }
}

impl FromStr for Which {
    type Err = Error;

    fn from_str(word: &str) -> Result<Which, Error> {
        Which::all()
            .find(|which| which.to_string() == word)
            .ok_or_else(|| Error::Word(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_found_by_its_word() {
        for which in Which::all() {
            assert_eq!(which.to_string().parse::<Which>().unwrap(), which);
        }
        assert_eq!("sentinel-2".parse::<Which>().unwrap(), Which::Sentinel(2));
        for word in [
            "sentinel",
            "sentinel-3",
            "sentinel-00",
            "cluster-node-6",
            "",
        ] {
            assert!(word.parse::<Which>().is_err(), "{word}");
        }
    }
}
