//! Indexes that could be dropped: what all reasons have in common.

use std::fmt;

use serde::Serialize;
use tokio_postgres::Row;

use super::check::number;
use crate::{
    Finding, Severity, count,
    quantity::{Bytes, Count},
};

/// An index that could be dropped.
///
/// It is none of a primary key, a unique or exclusion constraint or a replica identity, no foreign
/// key refers to it, and the table is not clustered by it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DroppableIndex {
    /// The index with its schema, as it is written in SQL.
    pub index: String,
    /// Its table with its schema, as it is written in SQL.
    pub table: String,
    /// Why it could be dropped.
    pub reason: DropReason,
    /// What it takes on disk, as of the last vacuum; of a partitioned one, all its parts.
    pub bytes: u64,
    /// How often this server has used it since its statistics began.
    pub scans: u64,
    /// The statement that drops it. Nothing here runs it.
    pub sql: String,
    /// The statements that make it again.
    pub rollback_sql: String,
}

/// Why an index could be dropped.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
#[non_exhaustive]
pub enum DropReason {
    /// It was not built to its end, and nobody is building it. No statement may use it.
    Invalid,
    /// Nothing on this server has used it for the stated time. What standbys did is not known.
    Unused,
    /// Another index holds the same.
    Duplicate {
        /// The other with its schema, as it is written in SQL.
        of: String,
    },
    /// Another index begins with the same.
    Prefix {
        /// The other with its schema, as it is written in SQL.
        of: String,
    },
}

impl DropReason {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            DropReason::Invalid => "invalid_index",
            DropReason::Unused => "unused_index",
            DropReason::Duplicate { .. } => "duplicate_index",
            DropReason::Prefix { .. } => "redundant_index",
        }
    }

    /// The index that stays in its place.
    pub fn covered_by(&self) -> Option<&str> {
        match self {
            DropReason::Invalid | DropReason::Unused => None,
            DropReason::Duplicate { of } | DropReason::Prefix { of } => Some(of),
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::Invalid => write!(
                f,
                "it was not built to its end, and no statement may use it"
            ),
            DropReason::Unused => {
                write!(f, "nothing on this server has used it for a long time")
            }
            DropReason::Duplicate { of } => write!(f, "{of} holds the same"),
            DropReason::Prefix { of } => write!(f, "{of} begins with the same"),
        }
    }
}

impl DroppableIndex {
    pub(super) fn of(row: &Row, reason: DropReason) -> DroppableIndex {
        DroppableIndex {
            index: row.get("name"),
            table: row.get("table_name"),
            reason,
            bytes: count::of(row.get("bytes")),
            scans: count::of(row.get("scans")),
            sql: row.get("drop_sql"),
            rollback_sql: row.get("rollback_sql"),
        }
    }

    /// What the report says of it. An invalid one has a check of its own.
    pub(super) fn finding(&self, row: &Row, window: &str) -> Option<Finding> {
        let (bytes, scans) = (number(row, "bytes"), number(row, "scans"));
        let (seen, why, action) = self.texts(window)?;
        let found = Finding::new(self.reason.code(), Severity::Notice, &self.index)
            .seen(format!(
                "{seen}; an index of {}, {}, used {} times {window}",
                self.table,
                Bytes(bytes),
                Count(scans)
            ))
            .number("bytes", bytes)
            .number("scans", scans)
            .why(why)
            .action(action)
            .sql(self.sql.clone());
        Some(found)
    }

    fn texts(&self, window: &str) -> Option<(String, &'static str, &'static str)> {
        let texts = match &self.reason {
            DropReason::Invalid => return None,
            DropReason::Unused => (
                format!("nothing on this server used it {window}"),
                "every write pays for it, and it takes memory and disk",
                "drop it, if no standby and no yearly job uses it and it is not younger than that; keep the \
                 statement that makes it again",
            ),
            DropReason::Duplicate { of } => (
                format!("{of} holds the same"),
                "every write pays for both, and one would do",
                "drop it; the other serves all that it does",
            ),
            DropReason::Prefix { of } => (
                format!("{of} begins with the same"),
                "every write pays for both, and the wider one finds all that this one does",
                "drop it, unless it is much the smaller and scanned in large parts",
            ),
        };
        Some(texts)
    }
}

/// The indexes of users' tables as rows of a `WITH` list named `idx`: what they hold, whether they may be
/// dropped, and how. Partitions are part of the index of their parent.
///
/// A key is its column or expression, operator class with parameters, collation and direction;
/// only where all of these are the same does one index find what another does.
macro_rules! index_list {
    () => {
        concat!(
            "idx AS (
    SELECT i.indexrelid, i.indrelid, rel.relam, rel.relkind, i.indisunique, i.indisvalid,
           am.amname::text AS method,
           coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) AS nulls_equal,
           format('%I.%I', nsp.nspname, rel.relname) AS name,
           format('%I.%I', tab_nsp.nspname, tab.relname) AS table_name,
           i.indisprimary OR i.indisexclusion OR i.indisreplident OR i.indisclustered
           OR EXISTS (SELECT FROM pg_constraint con WHERE con.conindid = i.indexrelid)
               AS is_protected,
           keys.keys, keys.columns, keys.included,
           coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
           leaves.scans, leaves.bytes, leaves.last_used,
           CASE rel.relkind WHEN 'I' THEN 'DROP INDEX ' ELSE 'DROP INDEX CONCURRENTLY ' END
           || format('%I.%I', nsp.nspname, rel.relname) AS drop_sql
    FROM pg_index i
    JOIN pg_class rel ON rel.oid = i.indexrelid
    JOIN pg_namespace nsp ON nsp.oid = rel.relnamespace
    JOIN pg_class tab ON tab.oid = i.indrelid
    JOIN pg_namespace tab_nsp ON tab_nsp.oid = tab.relnamespace
    JOIN pg_am am ON am.oid = rel.relam
    CROSS JOIN LATERAL (
        SELECT array_agg(concat_ws(' ', part.text, i.indclass[place - 1], i.indcollation[place - 1],
                                   i.indoption[place - 1], att.attoptions::text) ORDER BY place)
                   FILTER (WHERE place <= i.indnkeyatts) AS keys,
               array_agg(i.indkey[place - 1] ORDER BY place)
                   FILTER (WHERE place <= i.indnkeyatts) AS columns,
               coalesce(array_agg(part.text ORDER BY part.text)
                   FILTER (WHERE place > i.indnkeyatts), '{}') AS included
        FROM generate_series(1, i.indnatts) place
        JOIN pg_attribute att ON att.attrelid = i.indexrelid AND att.attnum = place
        CROSS JOIN LATERAL (
            SELECT CASE i.indkey[place - 1]
                   WHEN 0 THEN pg_get_indexdef(i.indexrelid, place::int, false)
                   ELSE 'column ' || i.indkey[place - 1] END AS text
        ) part
    ) keys
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(pg_stat_get_numscans(part.oid)), 0)::bigint AS scans,
               coalesce(sum(part.relpages::bigint * current_setting('block_size')::bigint),
                        0)::bigint AS bytes,
               -- 16 and later.
               max((SELECT (to_jsonb(stat) ->> 'last_idx_scan')::timestamptz
                    FROM pg_stat_all_indexes stat WHERE stat.indexrelid = part.oid)) AS last_used
        FROM (
            SELECT rel.oid WHERE rel.relkind = 'i'
            UNION ALL
            SELECT relid FROM pg_partition_tree(rel.oid) WHERE rel.relkind = 'I' AND isleaf
        ) leaf
        JOIN pg_class part ON part.oid = leaf.oid
    ) leaves
    WHERE NOT rel.relispartition AND ",
            super::check::of_users!("rel", "nsp"),
            "
)"
        )
    };
}

/// The columns that make an index again, after `idx`. `pg_get_indexdef` leaves out the partitions and the
/// tablespace.
macro_rules! drop_columns {
    () => {
        "idx.name, idx.table_name, idx.scans, idx.bytes, idx.drop_sql,
       (SELECT CASE idx.relkind
               WHEN 'I' THEN overlay(def.text PLACING '' FROM
                    length(format('CREATE %sINDEX %I ON ',
                                  CASE WHEN idx.indisunique THEN 'UNIQUE ' END, rel.relname)) + 1
                    FOR CASE WHEN starts_with(substr(def.text,
                        length(format('CREATE %sINDEX %I ON ',
                                      CASE WHEN idx.indisunique THEN 'UNIQUE ' END,
                                      rel.relname)) + 1), 'ONLY ') THEN 5 ELSE 0 END)
               ELSE def.text END
           || CASE WHEN spc.spcname IS NULL THEN ''
                   ELSE format('; ALTER INDEX %s SET TABLESPACE %I', idx.name, spc.spcname) END
        FROM pg_class rel
        CROSS JOIN LATERAL (SELECT pg_get_indexdef(rel.oid) AS text) def
        LEFT JOIN pg_tablespace spc ON spc.oid = rel.reltablespace
        WHERE rel.oid = idx.indexrelid) AS rollback_sql"
    };
}

pub(super) use {drop_columns, index_list};
