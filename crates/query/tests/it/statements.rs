//! Reading and writing, on a client and inside a transaction.

use futures_util::TryStreamExt as _;
use ruleiq_query::{Error, Queries, Read, Sql as _};
use ruleiq_test_support::TestDatabase;
use tokio_postgres::{Row, error::SqlState, types::Type};

fn numbers(rows: &[Row]) -> Vec<i32> {
    rows.iter().map(|row| row.get(0)).collect()
}

/// Everything that both driver types must do.
async fn check(db: &impl Queries) {
    db.batch_execute("CREATE TEMPORARY TABLE t (x integer); INSERT INTO t VALUES (1), (2)")
        .await
        .unwrap();
    let added = db.execute("INSERT INTO t VALUES ($1), (4)", &[&3_i32]);
    assert_eq!(added.await.unwrap(), 2);
    assert_eq!(db.execute("UPDATE t SET x = x", &[]).await.unwrap(), 4);

    let above = "SELECT x FROM t WHERE x > $1 ORDER BY x";
    assert_eq!(
        numbers(&db.query(above, &[&1_i32]).await.unwrap()),
        [2, 3, 4]
    );
    let prepared = db.prepare(above).await.unwrap();
    assert_eq!(prepared.params(), [Type::INT4]);
    assert_eq!(prepared.columns()[0].name(), "x");
    assert_eq!(prepared.fingerprint(), above.fingerprint());
    assert_eq!(numbers(&db.query(&prepared, &[&3_i32]).await.unwrap()), [4]);
    assert_eq!(
        numbers(&db.query(&above.to_owned(), &[&2_i32]).await.unwrap()),
        [3, 4]
    );

    let rows = db.stream(&prepared, &[&0_i32]).await.unwrap();
    assert_eq!(
        numbers(&rows.try_collect::<Vec<_>>().await.unwrap()),
        [1, 2, 3, 4]
    );
    let rows = db.stream(above, &[&2_i32]).await.unwrap();
    assert_eq!(
        numbers(&rows.try_collect::<Vec<_>>().await.unwrap()),
        [3, 4]
    );

    let doubled = db
        .prepare("UPDATE t SET x = 2 * x WHERE x < $1")
        .await
        .unwrap();
    assert_eq!(db.execute(&doubled, &[&3_i32]).await.unwrap(), 2);
}

#[tokio::test]
async fn statements_run_on_a_client() {
    let database = TestDatabase::empty().await;
    check(&database.client().await).await;
}

#[tokio::test]
async fn statements_run_in_a_transaction() {
    let database = TestDatabase::empty().await;
    let mut client = database.client().await;
    let transaction = client.transaction().await.unwrap();
    check(&transaction).await;
    transaction.rollback().await.unwrap();
    let table = "SELECT to_regclass('t') IS NULL";
    let row = Read::query_one(&client, table, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0), "it ran on the transaction");
}

#[tokio::test]
async fn the_number_of_rows_is_what_was_asked_for_or_an_error() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    for rows in 0..4_i32 {
        let sql = "SELECT n FROM generate_series(1, $1) n";
        let one = Read::query_one(&client, sql, &[&rows]).await;
        let at_most_one = Read::query_opt(&client, sql, &[&rows]).await;
        match rows {
            0 => assert!(at_most_one.unwrap().is_none()),
            1 => assert_eq!(at_most_one.unwrap().unwrap().get::<_, i32>(0), 1),
            _ => assert_eq!(
                at_most_one.unwrap_err().to_string(),
                format!("expected at most one row, found {rows}")
            ),
        }
        match one {
            Ok(row) => assert_eq!((rows, row.get(0)), (1, 1)),
            Err(error) => {
                assert_ne!(rows, 1);
                let expected = format!("expected one row, found {rows}");
                assert_eq!(error.to_string(), expected);
                assert!(!error.is_connection_lost());
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_the_servers_reason() {
    let database = TestDatabase::empty().await;
    let client = database.client().await;
    let error = Read::query(&client, "SELECT 1 / $1", &[&0_i32])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Database(_)));
    assert_eq!(error.sql_state(), Some(&SqlState::DIVISION_BY_ZERO));
    assert_eq!(error.as_db_error().unwrap().message(), "division by zero");
    assert!(!error.is_connection_lost());
    Queries::batch_execute(&client, "SELECT 1").await.unwrap();
}
