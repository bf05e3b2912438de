//! Migrations that tests make up.

use ruleiq_migrator::Migrator;

pub(crate) const TABLE_UP: (&str, &str) = (
    "1_table.up.sql",
    "CREATE TABLE t (id integer PRIMARY KEY, x integer); INSERT INTO t SELECT n, n FROM generate_series(1, 5000) n",
);
pub(crate) const TABLE_DOWN: (&str, &str) = ("1_table.down.sql", "DROP TABLE t");
pub(crate) const INDEX_UP: (&str, &str) = (
    "2_index.up.sql",
    "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_x ON t (x);",
);
pub(crate) const INDEX_DOWN: (&str, &str) = (
    "2_index.down.sql",
    "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS t_x;",
);

pub(crate) fn table() -> Migrator {
    Migrator::new(&[TABLE_UP, TABLE_DOWN]).unwrap()
}

pub(crate) fn table_and_index() -> Migrator {
    Migrator::new(&[TABLE_UP, TABLE_DOWN, INDEX_UP, INDEX_DOWN]).unwrap()
}
