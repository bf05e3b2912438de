//! How large a B-tree of plain columns becomes, from the statistics of its columns.
//!
//! PostgreSQL manual, "B-Tree Indexes", "Implementation": since version 13, rows with the same key
//! share one posting list of 6 bytes a row, which is cut at a tenth of a page.

use std::collections::HashMap;

use ruleiq_bench::Fault;

use super::{super::planner::Planner, PlainIndex, column::Column};

/// The columns of a table, quoted as statements quote them.
const STATISTICS: &str = "SELECT quote_ident(a.attname), s.avg_width::float8,
        CASE WHEN s.n_distinct < 0 THEN -s.n_distinct * c.reltuples ELSE s.n_distinct END::float8,
        CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END,
        a.attlen > 0, a.atttypid IN (700, 701, 1700, 3802) OR NOT btequalimage(a.atttypid),
        c.reltuples::float8
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid
    JOIN pg_stats s
      ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    WHERE c.oid = $1::text::regclass AND a.attnum > 0";
const PAGE: f64 = 8_192.0;
/// What its header, its special space and the high key leave of a page that is filled to 90 %.
const USABLE: f64 = (PAGE - 40.0) * 0.9;
/// A pointer to the entry.
const POINTER: f64 = 4.0;
const ROW: f64 = 6.0;
/// What rounds a list up to 8 bytes, in the mean of keys that not all have as many rows.
const PADDING: f64 = 3.0;
const LONGEST_LIST: f64 = 812.0;

/// Sizes of the indexes of some columns.
#[derive(Debug)]
pub(super) struct BtreeBytes(HashMap<Column, Statistics>);

#[derive(Clone, Copy, Debug)]
struct Statistics {
    width: f64,
    distinct: f64,
    align: f64,
    /// Whether it is of one length, and aligned. Short values of other types are not.
    is_fixed: bool,
    /// Of types whose equal values may look different, rows share nothing.
    is_inexact: bool,
    rows: f64,
}

impl BtreeBytes {
    /// Reads the statistics of columns.
    pub(super) async fn read(planner: &Planner, columns: &[Column]) -> Result<BtreeBytes, Fault> {
        let mut found = HashMap::new();
        for table in columns.chunk_by(|a, b| a.table == b.table) {
            let table = &table[0].table;
            let rows = planner.client().query(STATISTICS, &[&table]).await;
            for row in rows.map_err(Fault::failed)? {
                let column = Column {
                    table: table.clone(),
                    name: row.get(0),
                };
                let statistics = Statistics {
                    width: row.get(1),
                    distinct: row.get(2),
                    align: f64::from(row.get::<_, i32>(3)),
                    is_fixed: row.get(4),
                    is_inexact: row.get(5),
                    rows: row.get(6),
                };
                found.insert(column, statistics);
            }
        }
        Ok(BtreeBytes(found))
    }

    /// How large an index of these columns becomes. A column without statistics counts as none.
    pub(super) fn of(&self, index: &PlainIndex) -> f64 {
        let columns = index.columns.iter().filter_map(|it| self.0.get(it));
        bytes(&columns.copied().collect::<Vec<_>>())
    }
}

fn bytes(columns: &[Statistics]) -> f64 {
    let rows = columns.first().map_or(0.0, |it| it.rows.max(0.0));
    let end = columns.iter().fold(8.0, |at, it| {
        let begin = if it.is_fixed { up(at, it.align) } else { at };
        begin + it.width
    });
    let entry = up(end, 8.0);
    let distinct = columns
        .iter()
        .map(|it| it.distinct.max(1.0))
        .product::<f64>();
    let of_key = rows / distinct.min(rows).max(1.0);
    let leaves = rows / of_key.max(1.0) * key_bytes(entry, of_key, columns) / USABLE;
    let inner = leaves * (entry + POINTER) / USABLE;
    (leaves.ceil() + inner.ceil() + 1.0) * PAGE
}

/// What the rows of one key take, of which there are `of_key`.
fn key_bytes(entry: f64, of_key: f64, columns: &[Statistics]) -> f64 {
    let single = entry + POINTER;
    if columns.iter().any(|it| it.is_inexact) {
        return of_key.max(1.0) * single;
    }
    let list = |rows: f64| entry + ROW * rows + PADDING + POINTER;
    if of_key < 2.0 {
        // Some keys have two rows, and the others one.
        let pairs = (of_key - 1.0).max(0.0);
        return (1.0 - pairs) * single + pairs * list(2.0);
    }
    let longest = ((LONGEST_LIST - entry) / ROW).max(2.0);
    let rows_of_list = of_key.min(longest);
    of_key / rows_of_list * list(rows_of_list)
}

fn up(size: f64, to: f64) -> f64 {
    (size / to).ceil() * to
}

#[cfg(test)]
mod tests {
    use ruleiq_test_support::TestDatabase;

    use super::*;

    const TABLE: &str = "CREATE TABLE t AS
        SELECT n::bigint AS one, (n / 10)::integer AS ten, (n % 4)::integer AS many,
               md5(n::text) AS word, 'status ' || n % 5 AS same, (n % 9)::numeric AS number
        FROM generate_series(1, 100000) n;
        ANALYZE t";

    #[tokio::test]
    async fn indexes_become_as_large_as_is_foreseen() {
        let database = TestDatabase::migrated().await;
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        let planner = Planner::connect(database.url()).await.unwrap();
        let column = |name: &str| Column {
            table: "t".to_owned(),
            name: name.to_owned(),
        };
        let names = ["one", "ten", "many", "word", "same", "number"];
        let bytes = BtreeBytes::read(&planner, &names.map(column))
            .await
            .unwrap();
        for columns in [
            &["one"][..],
            &["ten"],
            &["many"],
            &["word"],
            &["same"],
            &["number"],
            &["many", "one"],
            &["same", "ten"],
        ] {
            let index = PlainIndex {
                table: "t".to_owned(),
                columns: columns.iter().map(|it| column(it)).collect(),
            };
            let create = format!(
                "DROP INDEX IF EXISTS built; CREATE INDEX built ON t ({})",
                { columns.join(", ") }
            );
            client.batch_execute(&create).await.unwrap();
            let size = "SELECT pg_relation_size('built')::float8";
            let real: f64 = client.query_one(size, &[]).await.unwrap().get(0);
            let share = bytes.of(&index) / real;
            assert!((0.93..1.07).contains(&share), "{columns:?}: {share}");
        }
    }
}
