//! The example does what it says.

#[allow(dead_code, reason = "a program has a `main`")]
#[path = "../../examples/advise.rs"]
mod advise;

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
