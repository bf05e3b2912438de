//! Names that have to be quoted.

use ruleiq_db_optimizer::DatabaseOptimizer;

use crate::database;

/// As long as a name can be, and nothing but what has to be quoted.
const LONG: &str = "é\"'; DROP TABLE \"Größe\".user; -- éééééééééééééééé";

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[tokio::test]
async fn what_is_recommended_runs_whatever_the_names() {
    let long = quote(LONG);
    let (_database, client) = database(&format!(
        "CREATE SCHEMA \"Größe\";
         CREATE TABLE \"Größe\".user (id int PRIMARY KEY);
         CREATE TABLE \"Größe\".{long} (
             \"select\" int CONSTRAINT {long} REFERENCES \"Größe\".user,
             {long} int CONSTRAINT \"another one\" REFERENCES \"Größe\".user,
             {long2} int REFERENCES \"Größe\".user);
         CREATE TABLE \"a.b\" (\"c.d\" int REFERENCES \"Größe\".user);
         CREATE VIEW \"idx_a.b_c.d\" AS SELECT 1",
        long2 = quote(&LONG.replace("--", "==")),
    ))
    .await;
    let optimizer = DatabaseOptimizer::new(&client).min_table_bytes(0);

    let found = optimizer.recommend_indexes().await.unwrap();

    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|it| it.index.len() <= 63));
    let dotted = found.iter().find(|it| it.columns == ["c.d"]).unwrap();
    assert_eq!(
        dotted.sql,
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS \"idx_a.b_c.d_1\" ON public.\"a.b\" (\"c.d\")"
    );
    for it in &found {
        client.batch_execute(&it.sql).await.unwrap();
        let stats = optimizer.table_stats(&it.table).await.unwrap().unwrap();
        assert_eq!(stats.table, it.table);
    }
    assert_eq!(optimizer.recommend_indexes().await.unwrap(), []);
    let users = client.query("SELECT FROM \"Größe\".user", &[]).await;
    assert_eq!(users.unwrap().len(), 0);
}
