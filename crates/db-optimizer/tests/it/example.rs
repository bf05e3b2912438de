//! The examples do what they say.

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/advise.rs"]
mod advise;

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/examine.rs"]
mod examine;

use crate::database;

#[tokio::test]
async fn the_example_advises_the_one_index_that_is_missing() {
    let (database, _client) = database(
        "CREATE TABLE parent (id integer PRIMARY KEY);
         CREATE TABLE child (parent_id integer REFERENCES parent);
         INSERT INTO parent SELECT generate_series(1, 10);
         INSERT INTO child SELECT n % 10 + 1 FROM generate_series(1, 10000) AS n;
         ANALYZE;",
    )
    .await;
    assert_eq!(advise::advise(database.url()).await.unwrap(), 1);
}

#[tokio::test]
async fn the_example_examines_the_database_that_it_is_told_of() {
    let (database, _client) = database("CREATE TABLE keyless (x int)").await;
    let report = examine::examine(database.url()).await.unwrap();
    assert_eq!(report.database, database.name());
    let text = report.to_string();
    assert!(
        text.contains("notice: no_primary_key: public.keyless"),
        "{text}"
    );
}
