//! Indexes that no planner can be asked about.

use ruleiq_db_optimizer::{Advice, Confidence};

use super::{ORDERS, advice, indexes, make, options, prepared};
use crate::database;

/// Ten thousand documents of 300 bytes, of which few say what is asked for.
const DOCUMENTS: &str = "
    CREATE EXTENSION pg_trgm;
    CREATE TABLE documents (
        id int PRIMARY KEY, code int NOT NULL, body text NOT NULL, tags text[] NOT NULL, data jsonb NOT NULL,
        valid tstzrange NOT NULL);
    INSERT INTO documents
    SELECT i, i, repeat(md5(i::text), 6), ARRAY['tag' || i % 500, 'all'],
           jsonb_build_object('kind', i % 700, 'name', md5(i::text)),
           tstzrange('2026-01-01'::timestamptz + i * interval '1 min',
                     '2026-01-01'::timestamptz + (i + 1) * interval '1 min')
    FROM generate_series(1, 10000) i;";

/// What follows the table's name in the statements that make what is not tested.
fn untested(advice: &Advice) -> Vec<String> {
    let all = advice.untested.iter();
    let mut untested: Vec<String> = all
        .map(|it| {
            assert_eq!(it.confidence, Confidence::Unconfirmed, "{it}");
            it.definition.on_clause()
        })
        .collect();
    untested.sort();
    untested
}

async fn check(workload: &str, expected: &[&str]) {
    let (_database, client) = prepared(DOCUMENTS).await;
    let advice = advice(&client, workload, &options()).await;
    assert_eq!(untested(&advice), expected, "{advice}");
    make(&client, &advice.untested).await;
    assert!(advice.indexes.is_empty(), "{advice}");
    let text = advice.to_string();
    assert_eq!(
        text.contains("not tested by what-if"),
        !expected.is_empty(),
        "{text}"
    );
}

#[tokio::test]
async fn parts_of_texts_documents_arrays_and_ranges_have_methods_of_their_own() {
    check(
        "SELECT id FROM documents WHERE body LIKE '%c81e728d9d%'",
        &["ON public.documents USING gin (body gin_trgm_ops)"],
    )
    .await;
    check(
        r#"SELECT id FROM documents WHERE data @> '{"kind": 7}'"#,
        &["ON public.documents USING gin (data jsonb_path_ops)"],
    )
    .await;
    check(
        "SELECT id FROM documents WHERE tags && '{tag7,tag8}'",
        &["ON public.documents USING gin (tags)"],
    )
    .await;
    check(
        "SELECT id FROM documents WHERE valid && tstzrange('2026-01-02', '2026-01-02 00:05')",
        &["ON public.documents USING gist (valid)"],
    )
    .await;
    check(
        "SELECT id FROM documents WHERE to_tsvector('english', body) @@ to_tsquery('english', 'c81e')",
        &["ON public.documents USING gin ((to_tsvector('english'::regconfig, body)))"],
    )
    .await;
}

#[tokio::test]
async fn what_is_there_already_or_would_find_most_rows_is_not_estimated() {
    let there = format!("{DOCUMENTS} CREATE INDEX ON documents USING gin (data)");
    let (_database, client) = prepared(&there).await;
    let workload = r#"SELECT id FROM documents WHERE data @> '{"kind": 7}';
                      SELECT id FROM documents WHERE tags && '{all}'"#;
    let advice = advice(&client, workload, &options()).await;
    assert_eq!(untested(&advice), Vec::<String>::new(), "{advice}");
}

#[tokio::test]
async fn what_the_planner_has_confirmed_is_not_estimated_again() {
    let (_database, client) = prepared(DOCUMENTS).await;
    let workload = "SELECT body FROM documents WHERE code = 7 AND body LIKE '%c81e%'";
    let advice = advice(&client, workload, &options()).await;
    assert_eq!(indexes(&advice), ["ON public.documents (code)"]);
    assert_eq!(untested(&advice), Vec::<String>::new(), "{advice}");
}

/// Without HypoPG, the same questions have the same answers, and each says that it is a guess.
#[tokio::test]
async fn without_hypopg_indexes_are_estimated() {
    let (_database, client) = database(&format!("{ORDERS} ANALYZE")).await;
    for (workload, expected) in [
        (
            "SELECT * FROM orders WHERE customer_id = 42",
            "(customer_id)",
        ),
        (
            "SELECT * FROM orders WHERE customer_id = $1",
            "(customer_id)",
        ),
        (
            "SELECT * FROM orders ORDER BY placed_at DESC LIMIT 10",
            "(placed_at)",
        ),
        ("SELECT * FROM orders WHERE id = 7", ""),
        ("SELECT * FROM orders WHERE state <> 'lost'", ""),
    ] {
        let advice = advice(&client, workload, &options()).await;
        assert!(!advice.has_what_if && advice.indexes.is_empty(), "{advice}");
        let expected = match expected {
            "" => vec![],
            _ => vec![format!("ON public.orders {expected}")],
        };
        assert_eq!(untested(&advice), expected, "{workload}: {advice}");
        assert_eq!(indexes(&advice), expected, "{workload}");
        make(&client, &advice.untested).await;
    }
}

/// What is estimated is near to what the planner says, once it can be asked.
#[tokio::test]
async fn estimates_are_near_to_plans() {
    let (_database, client) = database(&format!("{ORDERS} ANALYZE")).await;
    for workload in [
        "SELECT * FROM orders WHERE customer_id = 42",
        "SELECT * FROM orders WHERE placed_at < '2026-01-01 10:00'",
        "SELECT * FROM orders WHERE customer_id IN (1, 2, 3)",
    ] {
        let cost = |advice: &Advice| match advice.has_what_if {
            true => advice.indexes[0].helps[0].cost_with,
            false => advice.untested[0].helps[0].cost_with,
        };
        client
            .batch_execute("DROP EXTENSION IF EXISTS hypopg")
            .await
            .unwrap();
        let estimated = advice(&client, workload, &options()).await;
        client
            .batch_execute("CREATE EXTENSION hypopg")
            .await
            .unwrap();
        let planned = advice(&client, workload, &options()).await;
        let ratio = cost(&estimated) / cost(&planned);
        assert!(
            (0.5..2.0).contains(&ratio),
            "{ratio}: {estimated} {planned}"
        );
    }
}

#[tokio::test]
async fn a_join_is_estimated_by_its_lookups() {
    let schema = format!(
        "{ORDERS} CREATE TABLE picks (order_id int NOT NULL, item text NOT NULL);
         INSERT INTO picks SELECT 1 + i * 7919 % 20000, repeat('y', 90) FROM generate_series(1, 60000) i;
         ANALYZE"
    );
    let (_database, client) = database(&schema).await;
    let workload = "SELECT p.item FROM orders o JOIN picks p ON p.order_id = o.id WHERE o.id = 7";
    let advice = advice(&client, workload, &options()).await;
    assert_eq!(
        untested(&advice),
        ["ON public.picks (order_id)"],
        "{advice}"
    );
}
