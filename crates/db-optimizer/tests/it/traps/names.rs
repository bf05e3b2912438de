//! Names that have to be quoted, and that mean different things in different places.

use super::{advice, advise, indexes, make, options, prepared};

const ROWS: &str = "SELECT i, i % 1000, repeat('x', 80) FROM generate_series(1, 20000) i";

#[tokio::test]
async fn quoted_and_mixed_case_names_stay_quoted() {
    let schema = format!(
        r#"CREATE SCHEMA "Sales Dept";
        CREATE TABLE "Sales Dept"."Order ""X""" (id int, "Customer Id" int, "naïve;--" text);
        INSERT INTO "Sales Dept"."Order ""X""" {ROWS};"#
    );
    let (_database, client) = prepared(&schema).await;
    let workload =
        r#"SELECT * FROM "Sales Dept"."Order ""X""" "O p" WHERE "O p"."Customer Id" = 42;"#;
    let advice = advice(&client, workload, &options()).await;
    assert_eq!(
        indexes(&advice),
        [r#"ON "Sales Dept"."Order ""X""" ("Customer Id")"#]
    );
    make(&client, &advice.indexes).await;
}

#[tokio::test]
async fn columns_that_are_called_like_keywords_are_quoted() {
    let schema = format!(
        r#"CREATE TABLE "user" ("select" int, "order" int, "where" text);
        INSERT INTO "user" {ROWS};"#
    );
    let workload = r#"SELECT * FROM "user" WHERE "order" = 42 ORDER BY "select" LIMIT 5;"#;
    assert_eq!(
        advise(&schema, workload).await,
        [r#"ON public."user" ("order", "select")"#]
    );
}

#[tokio::test]
async fn the_search_path_says_which_of_two_tables_is_meant() {
    let schema = format!(
        "CREATE SCHEMA one; CREATE TABLE one.t (id int, a int, note text); INSERT INTO one.t {ROWS};
        CREATE SCHEMA two; CREATE TABLE two.t (id int, a int, note text); INSERT INTO two.t {ROWS};
        CREATE INDEX ON one.t (a);"
    );
    let (_database, client) = prepared(&schema).await;
    let workload = "SELECT * FROM t WHERE a = 42;";
    for (path, expected) in [("one, two", vec![]), ("two, one", vec!["ON two.t (a)"])] {
        let set = format!("SET search_path = {path}");
        client.batch_execute(&set).await.unwrap();
        let advice = advice(&client, workload, &options()).await;
        assert_eq!(indexes(&advice), expected, "{path}");
    }
    let both = "SELECT * FROM one.t WHERE id = 4; SELECT * FROM two.t WHERE id = 5;";
    let advice = advice(&client, both, &options()).await;
    assert_eq!(indexes(&advice), ["ON one.t (id)", "ON two.t (id)"]);
}
