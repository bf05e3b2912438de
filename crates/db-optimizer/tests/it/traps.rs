//! Small schemas on which an advisor goes wrong easily, each with the only right answer, and the
//! sessions in which it is asked.

mod checks;
mod columns;
mod evidence;
mod existing;
mod names;
mod relations;
mod search;
mod session;
mod shapes;
mod untested;
mod writes;

use ruleiq_db_optimizer::{
    Advice, AdviseOptions, Budget, DatabaseOptimizer, IndexAdvice, Workload,
};
use ruleiq_test_support::TestDatabase;
use tokio_postgres::Client;

use crate::{WITHOUT_AUTOVACUUM, database};

/// No index is worth having.
const NONE: [&str; 0] = [];

/// Twenty thousand orders of a thousand customers, 140 bytes each, of which nine tenths are deleted.
const ORDERS: &str = "
    CREATE TABLE orders (
        id int PRIMARY KEY, customer_id int NOT NULL, state text NOT NULL,
        placed_at timestamptz NOT NULL, deleted_at timestamptz, note text NOT NULL);
    INSERT INTO orders
    SELECT i, i % 1000, (ARRAY['paid', 'open', 'sent', 'lost'])[1 + i % 4],
           '2026-01-01'::timestamptz + i * interval '1 minute',
           CASE WHEN i % 10 > 0 THEN '2026-03-01'::timestamptz + i * 7919 % 20000 * interval '1 s' END,
           repeat('x', 80)
    FROM generate_series(1, 20000) i;";

/// A database with HypoPG and a schema, of which the planner knows all.
async fn prepared(schema: &str) -> (TestDatabase, Client) {
    let (database, client) = database("CREATE EXTENSION hypopg").await;
    let schema = format!("{schema}; {WITHOUT_AUTOVACUUM}");
    client.batch_execute(&schema).await.unwrap();
    client.batch_execute("ANALYZE").await.unwrap();
    (database, client)
}

/// How many indexes are hidden from the planner; `None` where HypoPG cannot do that, before 1.4.
async fn hidden(client: &Client) -> Option<i64> {
    let can_hide = "SELECT to_regprocedure('hypopg_hidden_indexes()') IS NOT NULL";
    let row = client.query_one(can_hide, &[]).await.unwrap();
    if !row.get::<_, bool>(0) {
        return None;
    }
    let count = "SELECT count(*) FROM hypopg_hidden_indexes()";
    Some(client.query_one(count, &[]).await.unwrap().get(0))
}

/// Room for whatever helps.
fn options() -> AdviseOptions {
    let mut options = AdviseOptions::default();
    options.budget = Budget::Bytes(1 << 30);
    options
}

/// The advice on a workload.
async fn advice(client: &Client, workload: &str, options: &AdviseOptions) -> Advice {
    let workload = Workload::parse(workload).unwrap();
    let optimizer = DatabaseOptimizer::new(client);
    let advice = optimizer.advise(&workload, options, |_| ()).await;
    advice.unwrap()
}

/// What advice would make: each index as it is written after `CREATE INDEX`, in alphabetical order.
fn indexes(advice: &Advice) -> Vec<String> {
    let all = advice.create_statements();
    let without_ends = |it: &str| {
        let it = it.trim_start_matches("CREATE INDEX ");
        it.trim_end_matches(';').to_owned()
    };
    let mut indexes: Vec<String> = all.lines().map(without_ends).collect();
    indexes.sort();
    indexes
}

/// What is advised for a workload on a schema. The server makes all of it, too.
async fn advise(schema: &str, workload: &str) -> Vec<String> {
    let (_database, client) = prepared(schema).await;
    let advice = advice(&client, workload, &options()).await;
    make(&client, &advice.indexes).await;
    indexes(&advice)
}

/// Makes every index and takes it away again.
async fn make(client: &Client, indexes: &[IndexAdvice]) {
    for index in indexes {
        let made = client.batch_execute(&index.sql).await;
        assert!(made.is_ok(), "{}: {made:?}", index.sql);
        client.batch_execute(&index.rollback_sql).await.unwrap();
    }
}
