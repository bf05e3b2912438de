//! Names that have to be quoted, names that name nothing, and texts that want to be statements.

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use ruleiq_db_optimizer::{ChangeError, DatabaseOptimizer, IndexCreation};
use tokio_postgres::Client;

use super::{created, made};
use crate::database;

/// As long as a name can be, and nothing but what has to be quoted.
const LONG: &str = "é\"'; DROP TABLE \"Größe\".user; --éééééééééééééé";

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[tokio::test]
async fn an_index_is_made_whatever_the_names() {
    let tables = ["user", "Mixed Case", "a.b", "größe", "\\", "'", LONG];
    let (_database, client) = database("CREATE SCHEMA \"Größe\"").await;
    let optimizer = DatabaseOptimizer::new(&client);
    assert_eq!(LONG.len(), 63);
    for table in tables {
        for (column, schema) in [
            ("select", "public"),
            ("Ünï", "\"Größe\""),
            (LONG, "\"Größe\""),
        ] {
            let (table, column) = (format!("{schema}.{}", quote(table)), quote(column));
            let sql = format!("CREATE TABLE {table} ({column} int, \"b c\" int)");
            client.batch_execute(&sql).await.unwrap();
            let index = created(optimizer.create_index(&table, &[&column, "\"b c\""]).await);
            client.batch_execute(&index.rollback_sql).await.unwrap();
            let again = created(optimizer.create_index(&table, &["\"b c\""]).await);
            let name = "SELECT octet_length(relname) FROM pg_class WHERE oid = $1::text::regclass";
            let row = client.query_one(name, &[&again.index]).await.unwrap();
            assert!(row.get::<_, i32>(0) <= 63, "{again:?}");
            client
                .batch_execute(&format!("DROP TABLE {table}"))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_name_is_found_as_the_search_path_says() {
    let (_database, client) = database(
        "CREATE SCHEMA s; CREATE TABLE s.t (a int); CREATE TABLE t (a int);
         SET search_path = s, public",
    )
    .await;
    let optimizer = DatabaseOptimizer::new(&client);
    assert_eq!(
        created(optimizer.create_index("t", &["A"]).await).table,
        "s.t"
    );
    assert_eq!(
        created(optimizer.create_index("Public.T", &["a"]).await).table,
        "public.t"
    );
    client
        .batch_execute("CREATE TEMPORARY TABLE t (a int)")
        .await
        .unwrap();
    let shadowing = created(optimizer.create_index("t", &["a"]).await);
    assert!(shadowing.table.starts_with("pg_temp_"), "{shadowing:?}");
}

#[tokio::test]
async fn what_names_nothing_is_told() {
    let (_database, client) =
        database("CREATE TABLE t (a int, \"B\" int); CREATE SEQUENCE s").await;
    let optimizer = DatabaseOptimizer::new(&client);
    let said = async |table: &str, columns: &[&str]| {
        optimizer
            .create_index(table, columns)
            .await
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        said("u", &["a"]).await,
        "there is no table `u` that this connection finds"
    );
    assert_eq!(
        said("s", &["a"]).await,
        "there is no table `s` that this connection finds"
    );
    assert_eq!(
        said("t", &["b"]).await,
        "`public.t` has no column `b`: names are read as in SQL, in small letters unless quoted"
    );
    assert_eq!(said("t", &[]).await, "an index needs at least one column");
    let no_name = said("t; DROP TABLE t", &["a"]).await;
    assert!(
        no_name.starts_with("`t; DROP TABLE t` is no name: write it as in SQL"),
        "{no_name}"
    );
    for column in ["a)", "a DESC", "lower(a)", "a, b", "", "ctid", "a\0"] {
        let error = optimizer.create_index("t", &[column]).await.unwrap_err();
        let is_told = matches!(
            error,
            ChangeError::NoName { .. } | ChangeError::UnknownColumn { .. }
        );
        assert!(is_told, "{column}: {error}");
    }
    let view = "CREATE VIEW v AS SELECT 1 AS a";
    client.batch_execute(view).await.unwrap();
    assert_eq!(
        said("v", &["a"]).await,
        "`public.v` is neither a table nor a materialized view, on which this cannot be done"
    );
}

/// Everything in the database that a statement could have changed, but for indexes of ours.
async fn inventory(client: &Client) -> Vec<String> {
    let sql = "SELECT oid::text || relname || relkind::text || relfilenode
               FROM pg_class WHERE relkind <> 'i' AND relnamespace = 'public'::regnamespace
               UNION ALL SELECT oid::text || nspname FROM pg_namespace WHERE nspname !~ '^pg_temp'
               UNION ALL SELECT oid::text || rolname || rolsuper FROM pg_roles
                         WHERE rolname LIKE 'fuzz%'
               UNION ALL SELECT oid::text || proname FROM pg_proc
                         WHERE pronamespace = 'public'::regnamespace
               ORDER BY 1";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The statements of this database that changed something, without their constants.
async fn changes(client: &Client) -> Vec<String> {
    let sql = "SELECT DISTINCT query FROM pg_stat_statements
               WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND query !~* '^\\s*(select|with|set|reset|show)\\M'";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn is_ours(statement: &str) -> bool {
    let ours = [
        "CREATE INDEX CONCURRENTLY ruleiq_building_",
        "ALTER INDEX ",
        "DROP INDEX CONCURRENTLY ",
        "VACUUM ",
        "ANALYZE ",
    ];
    ours.iter().any(|it| statement.starts_with(it)) && !statement.contains("fuzz_was_here")
}

/// A text that is a name, or wants to be more than one.
fn texts(runner: &mut TestRunner) -> String {
    const ATTACKS: [&str; 8] = [
        "t; CREATE TABLE fuzz_was_here ()",
        "\"; CREATE TABLE fuzz_was_here (); --",
        "a\"); CREATE TABLE fuzz_was_here (); --",
        "'; CREATE ROLE fuzz_was_here SUPERUSER; --",
        "a) ; CREATE SCHEMA fuzz_was_here --",
        "$$; CREATE TABLE fuzz_was_here (); $$",
        "\\'; CREATE TABLE fuzz_was_here (); --",
        "U&\"\\0022; CREATE TABLE fuzz_was_here (); --\"",
    ];
    let strategy = proptest::prop_oneof![
        "[^\0]{1,24}",
        "[\"';\\\\$() .,*-]{1,12}",
        "[a-zA-Zé\"' ]{1,20}",
        proptest::sample::select(ATTACKS.as_slice()).prop_map(str::to_owned),
    ];
    strategy.new_tree(runner).unwrap().current()
}

/// As much of a name as PostgreSQL keeps.
fn fitting(name: &str) -> &str {
    &name[..name.floor_char_boundary(63)]
}

#[tokio::test]
async fn no_text_becomes_a_statement() {
    let (_database, client) = database(
        "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (a int); CREATE TABLE \"T\" (\"A\" int)",
    )
    .await;
    let optimizer = DatabaseOptimizer::new(&client);
    let mut runner = TestRunner::deterministic();
    let (mut tables, before) = (Vec::new(), inventory(&client).await);
    // As input: whatever it is, only a table that is there gets an index.
    for _ in 0..150 {
        let (table, column) = (texts(&mut runner), texts(&mut runner));
        for (table, column) in [
            (&table[..], "a"),
            ("t", &column),
            (&quote(&table), &quote(&column)),
        ] {
            drop(optimizer.create_index(table, &[column]).await);
        }
        drop(optimizer.vacuum(&table).await);
        drop(optimizer.analyze(&quote(&table)).await);
    }
    assert_eq!(inventory(&client).await, before);
    let ran = changes(&client).await;
    let foreign: Vec<_> = ran
        .iter()
        .filter(|it| !is_ours(it) && !it.starts_with("CREATE "))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(
        !ran.iter().any(|it| it.contains("fuzz_was_here")),
        "{ran:?}"
    );

    // As what is there: tables and columns of such names get their index, and nothing else happens.
    for _ in 0..40 {
        let (table, column) = (texts(&mut runner), texts(&mut runner));
        let (table, column) = (quote(fitting(&table)), quote(fitting(&column)));
        let sql = format!(
            "CREATE TABLE {table} ({column} int, x_{} int)",
            tables.len()
        );
        if client.batch_execute(&sql).await.is_ok() {
            tables.push((table, column));
        }
    }
    assert!(tables.len() > 20, "{}", tables.len());
    let (before, indexes) = (inventory(&client).await, made(&client).await.len());
    for (table, column) in &tables {
        let outcome = optimizer.create_index(table, &[column]).await;
        assert!(
            matches!(outcome, Ok(IndexCreation::Created(_))),
            "{table} {column} {outcome:?}"
        );
        optimizer.vacuum(table).await.unwrap();
        optimizer.analyze(table).await.unwrap();
    }
    assert_eq!(inventory(&client).await.len(), before.len());
    assert_eq!(made(&client).await.len(), indexes + tables.len());
    assert!(made(&client).await.iter().all(|(_, is_valid)| *is_valid));
}
