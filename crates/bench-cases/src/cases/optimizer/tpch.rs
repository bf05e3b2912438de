//! TPC-H: its schema with primary keys alone, its rows, its queries.
//!
//! TPC Benchmark H, standard specification revision 3: the schema of clause 1.4, the rows of clause
//! 4.2 as `tpchgen` makes them, which are those of the council's own program.

mod rows;
mod tables;

use bytes::Bytes;
use futures_util::{SinkExt as _, pin_mut};
use ruleiq_bench::Fault;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::Client;

use self::{
    rows::blocks,
    tables::{TABLES, Table},
};
use super::queries::QuerySet;
use crate::postgres::connect;

/// Scales are told in thousandths, so that they can be a name's part.
const MILLE: f64 = 1_000.0;

/// How many rows there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Tpch {
    /// 1,000 for 6,001,215 line items, which is 1.4 GB.
    pub(super) scale_mille: u32,
}

impl Tpch {
    /// The name of a database for it, and what that holds.
    pub(super) fn name(self) -> (String, String) {
        let scale = self.scale_mille;
        (
            format!("ruleiq_bench_tpch_{scale}"),
            format!("TPC-H at {scale} thousandths by tpchgen 4"),
        )
    }

    /// All queries but those of which one costs more than all others together.
    pub(super) fn queries() -> Result<QuerySet, Fault> {
        let all = QuerySet::parse(include_str!("tpch/queries.sql"))?;
        Ok(all.without("nested"))
    }

    /// Fills a database with the tables that it has not yet, each of them whole.
    pub(super) async fn fill(self, url: &str) -> Result<(), Fault> {
        let (largest, others): (Vec<&Table>, Vec<&Table>) =
            TABLES.iter().partition(|it| it.name == "lineitem");
        // As many rows as all others together, at the same time.
        tokio::try_join!(
            self.fill_tables(url, &largest),
            self.fill_tables(url, &others)
        )?;
        let client = connect(url).await?;
        run(&client, "VACUUM (ANALYZE)").await
    }

    async fn fill_tables(self, url: &str, tables: &[&Table]) -> Result<(), Fault> {
        let mut client = connect(url).await?;
        for table in tables {
            let is_there = "SELECT to_regclass($1) IS NOT NULL";
            let row = client.query_one(is_there, &[&table.name]).await;
            if !row.map_err(Fault::failed)?.get::<_, bool>(0) {
                self.fill_table(&mut client, table).await?;
            }
        }
        Ok(())
    }

    /// In one transaction, so that a table is there with all its rows or not at all.
    async fn fill_table(self, client: &mut Client, table: &Table) -> Result<(), Fault> {
        let Table {
            name, columns, key, ..
        } = table;
        let transaction = client.transaction().await.map_err(Fault::failed)?;
        // No statistics but those that are asked for.
        let create = format!("CREATE TABLE {name} ({columns}) WITH (autovacuum_enabled = off)");
        run(&transaction, &create).await?;
        let copy = format!("COPY {name} FROM STDIN (FORMAT text, DELIMITER '|', FREEZE)");
        let sink = transaction.copy_in(&copy).await.map_err(Fault::failed)?;
        pin_mut!(sink);
        let mut blocks: Receiver<Bytes> = blocks(table, f64::from(self.scale_mille) / MILLE);
        while let Some(block) = blocks.recv().await {
            sink.send(block).await.map_err(Fault::failed)?;
        }
        sink.finish().await.map_err(Fault::failed)?;
        let key = format!("ALTER TABLE {name} ADD PRIMARY KEY ({key})");
        run(&transaction, &key).await?;
        transaction.commit().await.map_err(Fault::failed)
    }
}

async fn run(client: &impl tokio_postgres::GenericClient, statement: &str) -> Result<(), Fault> {
    let done = client.batch_execute(statement).await;
    done.map_err(Fault::failed)
}

#[cfg(test)]
mod tests {
    use ruleiq_test_support::TestDatabase;

    use super::*;
    use crate::postgres::OwnedDatabase;

    #[test]
    fn the_queries_are_those_of_the_specification_without_the_three() {
        let all = QuerySet::parse(include_str!("tpch/queries.sql")).unwrap();
        let names: Vec<String> = all.iter().map(|it| it.name.clone()).collect();
        assert_eq!(names, (1..=22).map(|n| format!("q{n}")).collect::<Vec<_>>());
        assert_eq!(Tpch::queries().unwrap().iter().count(), 19);
    }

    #[tokio::test]
    async fn a_table_has_the_rows_of_its_scale_and_is_not_filled_twice() {
        let server = TestDatabase::migrated().await;
        let database = OwnedDatabase::create(server.url()).await.unwrap();
        // With fewer suppliers, a part would have one of them twice.
        let tpch = Tpch { scale_mille: 10 };
        for _ in 0..2 {
            tpch.fill(database.url()).await.unwrap();
        }
        let client = connect(database.url()).await.unwrap();
        for (table, rows) in [
            ("region", 5),
            ("nation", 25),
            ("part", 2_000),
            ("supplier", 100),
            ("partsupp", 8_000),
            ("customer", 1_500),
            ("orders", 15_000),
            ("lineitem", 60_175),
        ] {
            let count = format!("SELECT count(*) FROM {table}");
            let found: i64 = client.query_one(&count, &[]).await.unwrap().get(0);
            assert_eq!(found, rows, "{table}");
        }
        let first = "SELECT l_partkey, l_shipdate::text, l_comment FROM lineitem
            WHERE l_orderkey = 1 AND l_linenumber = 1";
        let row = client.query_one(first, &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(1), "1996-03-13");
    }
}
