//! The planner of a database, under settings that are the same wherever it is asked, with indexes
//! that are not there.
//!
//! The settings are not those of the server: what a plan costs has to be the same figure in every
//! run. Statements are planned and never run.

use std::collections::{BTreeMap, BTreeSet};

use ruleiq_bench::Fault;
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use crate::postgres::connect;

/// All that the planner's costs depend on, but for statistics. Those that are not PostgreSQL's own
/// are those of a server with 4 GB for its caches.
const SETTINGS: &[(&str, &str)] = &[
    ("client_min_messages", "warning"),
    ("work_mem", "64MB"),
    ("effective_cache_size", "4GB"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("seq_page_cost", "1"),
    ("random_page_cost", "4"),
    ("cpu_tuple_cost", "0.01"),
    ("cpu_index_tuple_cost", "0.005"),
    ("cpu_operator_cost", "0.0025"),
    ("from_collapse_limit", "8"),
    ("join_collapse_limit", "8"),
    ("geqo", "on"),
    ("geqo_threshold", "12"),
    ("geqo_effort", "5"),
    ("geqo_seed", "0"),
    ("enable_bitmapscan", "on"),
    ("enable_hashagg", "on"),
    ("enable_hashjoin", "on"),
    ("enable_incremental_sort", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_indexscan", "on"),
    ("enable_material", "on"),
    ("enable_memoize", "on"),
    ("enable_mergejoin", "on"),
    ("enable_nestloop", "on"),
    ("enable_seqscan", "on"),
    ("enable_sort", "on"),
    ("enable_tidscan", "on"),
    ("hash_mem_multiplier", "2"),
    ("enable_partition_pruning", "on"),
    ("enable_partitionwise_join", "off"),
    ("enable_partitionwise_aggregate", "off"),
    ("constraint_exclusion", "partition"),
    ("cursor_tuple_fraction", "0.1"),
    ("plan_cache_mode", "auto"),
];
const CREATE: &str = "SELECT indexrelid, hypopg_relation_size(indexrelid)
    FROM hypopg_create_index($1)";
/// All tables, as they are on disk without their indexes.
const DATA_BYTES: &str = "SELECT coalesce(sum(pg_table_size(c.oid)), 0)::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname !~ '^pg_(toast|temp)'";

/// A connection that plans. What it makes up goes with it.
pub(super) struct Planner {
    client: Client,
    create: Statement,
    held: BTreeMap<String, u32>,
    bytes: BTreeMap<String, u64>,
    explains: u64,
}

impl Planner {
    /// Connects as a superuser, who may create the extension that makes indexes up.
    pub(super) async fn connect(url: &str) -> Result<Planner, Fault> {
        let client = connect(url).await?;
        let settings: String = SETTINGS
            .iter()
            .map(|(name, value)| format!("SET {name} = '{value}';"))
            .collect();
        let begin = format!("{settings} CREATE EXTENSION IF NOT EXISTS hypopg");
        let begun = client.batch_execute(&begin).await;
        begun.map_err(Fault::failed)?;
        Ok(Planner {
            create: client.prepare(CREATE).await.map_err(Fault::failed)?,
            client,
            held: BTreeMap::new(),
            bytes: BTreeMap::new(),
            explains: 0,
        })
    }

    /// The connection, which has the settings.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// How often it was asked for a plan.
    pub(super) fn explains(&self) -> u64 {
        self.explains
    }

    /// Makes these indexes up, and forgets all others.
    pub(super) async fn hold(&mut self, indexes: &[String]) -> Result<(), Fault> {
        let wanted: BTreeSet<&String> = indexes.iter().collect();
        let others: Vec<String> = self.held.keys().cloned().collect();
        for index in others.iter().filter(|it| !wanted.contains(it)) {
            self.forget(index).await?;
        }
        for index in wanted {
            self.make_up(index).await?;
        }
        Ok(())
    }

    /// How large `HypoPG` believes an index to be.
    pub(super) async fn hypothetical_bytes(&mut self, index: &str) -> Result<u64, Fault> {
        if !self.bytes.contains_key(index) {
            self.make_up(index).await?;
        }
        Ok(self.bytes[index])
    }

    /// The number of the table of an index that is held.
    pub(super) async fn table_of(&self, index: &str) -> Result<u32, Fault> {
        let oid = self.held.get(index).copied().unwrap_or_default();
        let found = "SELECT indrelid FROM hypopg() WHERE indexrelid = $1";
        let row = self.client.query_one(found, &[&oid]).await;
        Ok(row.map_err(Fault::failed)?.get(0))
    }

    /// How large all tables are, without indexes.
    pub(super) async fn data_bytes(&self) -> Result<u64, Fault> {
        let row = self.client.query_one(DATA_BYTES, &[]).await;
        let bytes: i64 = row.map_err(Fault::failed)?.get(0);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// What the planner believes a statement to cost.
    pub(super) async fn cost(&mut self, statement: &str) -> Result<f64, Fault> {
        cost_of(&self.plan(statement).await?)
    }

    /// The plan of a statement, with the schemas of its tables.
    pub(super) async fn plan(&mut self, statement: &str) -> Result<Value, Fault> {
        self.explains += 1;
        let explain = format!("EXPLAIN (VERBOSE, FORMAT JSON) {statement}");
        let answer = self.client.simple_query(&explain).await;
        let mut text = String::new();
        for message in answer.map_err(Fault::failed)? {
            if let SimpleQueryMessage::Row(row) = message {
                text.push_str(row.get(0).unwrap_or_default());
            }
        }
        let mut plan: Value = serde_json::from_str(&text).map_err(Fault::failed)?;
        Ok(plan[0]["Plan"].take())
    }

    async fn make_up(&mut self, index: &str) -> Result<(), Fault> {
        if self.held.contains_key(index) {
            return Ok(());
        }
        if is_unique(index) {
            // The planner believes it, whatever the rows say.
            return Err(Fault::Wrong(format!("`{index}` claims to be unique")));
        }
        let row = self.client.query_opt(&self.create, &[&index]).await;
        let row = row.map_err(Fault::failed)?;
        let row = row.ok_or_else(|| Fault::Wrong(format!("`{index}` makes no index")))?;
        let bytes: i64 = row.get(1);
        self.held.insert(index.to_owned(), row.get(0));
        self.bytes
            .insert(index.to_owned(), u64::try_from(bytes).unwrap_or(0));
        Ok(())
    }

    async fn forget(&mut self, index: &str) -> Result<(), Fault> {
        if let Some(oid) = self.held.remove(index) {
            let dropped = self
                .client
                .execute("SELECT hypopg_drop_index($1)", &[&oid])
                .await;
            dropped.map_err(Fault::failed)?;
        }
        Ok(())
    }
}

/// The cost of a plan.
pub(super) fn cost_of(plan: &Value) -> Result<f64, Fault> {
    let cost = plan["Total Cost"].as_f64();
    cost.ok_or_else(|| Fault::Failed("a plan without a cost".to_owned()))
}

/// A plan's node and all nodes below it.
pub(super) fn nodes(plan: &Value) -> Vec<&Value> {
    let mut all = vec![plan];
    let mut at = 0;
    while let Some(node) = all.get(at) {
        all.extend(node["Plans"].as_array().into_iter().flatten());
        at += 1;
    }
    all
}

fn is_unique(index: &str) -> bool {
    let second = index.split_whitespace().nth(1);
    second.is_some_and(|it| it.eq_ignore_ascii_case("unique"))
}

#[cfg(test)]
mod tests {
    use ruleiq_test_support::TestDatabase;

    use super::*;

    const TABLE: &str = "CREATE TABLE t AS SELECT n, n % 100 AS m FROM generate_series(1, 20000) n;
        ANALYZE t";
    const INDEX: &str = "CREATE INDEX ON t (n)";

    async fn planner(database: &TestDatabase) -> Planner {
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        Planner::connect(database.url()).await.unwrap()
    }

    #[tokio::test]
    async fn an_index_that_is_held_makes_a_search_cheaper_until_it_is_forgotten() {
        let database = TestDatabase::migrated().await;
        let mut planner = planner(&database).await;
        let search = "SELECT m FROM t WHERE n = 7";
        let without = planner.cost(search).await.unwrap();

        planner.hold(&[INDEX.to_owned()]).await.unwrap();
        let with = planner.cost(search).await.unwrap();
        assert!(with < without / 10.0, "{with} of {without}");
        assert!(planner.hypothetical_bytes(INDEX).await.unwrap() > 100_000);

        planner.hold(&[]).await.unwrap();
        let again = planner.cost(search).await.unwrap();
        assert!((again - without).abs() < 1e-9);
        assert_eq!(planner.explains(), 3);
        let left = planner.client().query("SELECT FROM hypopg()", &[]).await;
        assert!(left.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_no_index_or_claims_to_be_unique_is_refused() {
        let database = TestDatabase::migrated().await;
        let mut planner = planner(&database).await;
        for text in [
            "CREATE UNIQUE INDEX ON t (m)",
            "SELECT 1",
            "CREATE INDEX ON t (none)",
        ] {
            assert!(planner.hold(&[text.to_owned()]).await.is_err(), "{text}");
        }
    }
}
