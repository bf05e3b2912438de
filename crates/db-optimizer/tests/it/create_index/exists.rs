//! Indexes that are there already.

use ruleiq_db_optimizer::{CreateIndexOptions, DatabaseOptimizer, Key};

use super::{TABLE, create, created, existing, impatient, made};
use crate::database;

#[tokio::test]
async fn an_equal_or_covering_index_is_answered_and_nothing_is_made() {
    let (_database, client) = database(TABLE).await;
    // The index that is there; whether it serves an index on (a, b), and whether it is equal.
    let cases = [
        ("(a, b)", true, true),
        ("(a DESC, b DESC)", true, false),
        ("(a, b, id)", true, false),
        ("(a, b) INCLUDE (id)", true, false),
        ("(a, b DESC)", false, false),
        ("(a)", false, false),
        ("(b, a)", false, false),
        ("(a) INCLUDE (b)", false, false),
        ("(a, b text_pattern_ops)", false, false),
        ("(a, b COLLATE \"C\")", false, false),
        ("(a, b) WHERE a > 0", false, false),
        ("USING gin (to_tsvector('simple', b))", false, false),
        ("USING brin (a, b)", false, false),
    ];
    for (index, serves, is_equal) in cases {
        client
            .batch_execute(&format!("CREATE INDEX it ON t {index}"))
            .await
            .unwrap();
        let outcome = create(&client, &["a", "b"], &impatient()).await;
        match serves {
            true => {
                let found = existing(outcome);
                assert_eq!(
                    (found.index.as_str(), found.is_equal),
                    ("public.it", is_equal),
                    "{index}"
                );
                assert_eq!(made(&client).await.len(), 1);
            }
            false => {
                let made = created(outcome);
                client.batch_execute(&made.rollback_sql).await.unwrap();
            }
        }
        client.batch_execute("DROP INDEX it").await.unwrap();
    }
    let found = existing(create(&client, &["id"], &impatient()).await);
    assert_eq!(
        found.index, "public.t_pkey",
        "that of a constraint serves as well"
    );
}

#[tokio::test]
async fn an_index_that_was_made_is_found_whatever_it_holds() {
    let (_database, client) = database(TABLE).await;
    client
        .batch_execute("CREATE TABLE w (v varchar(9), at timestamptz)")
        .await
        .unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let of_t = optimizer.index_on("t", &["b", "a"]).await.unwrap();
    let of_w = optimizer.index_on("w", &["v", "at"]).await.unwrap();
    let mut definitions = Vec::new();
    for change in 0..9 {
        let mut it = if change < 6 {
            of_t.clone()
        } else {
            of_w.clone()
        };
        match change {
            0 => it.keys[0].operator_class = Some("text_pattern_ops".to_owned()),
            1 => it.keys[1].descending = true,
            2 => it.keys[1].nulls_opposite = true,
            3 => it.predicate = Some("b = 'open' AND a IS NOT NULL".to_owned()),
            4 => it.keys[0] = Key::expression("lower(b)"),
            5 => it.include = vec![it.keys.remove(1).as_column().unwrap().clone()],
            6 => it.predicate = Some("v = 'open'".to_owned()),
            7 => it.keys[0] = Key::expression("lower(v)"),
            _ => it.keys[0] = Key::expression("v || 'x'"),
        }
        definitions.push(it);
    }
    let options = CreateIndexOptions::default();
    for it in &definitions {
        let index = created(optimizer.create(it, &options).await);
        let found = existing(optimizer.create(it, &options).await);
        assert!(found.is_equal, "{it:?} {found:?}");
        // Else it might cover one that follows.
        client.batch_execute(&index.rollback_sql).await.unwrap();
    }
    assert_eq!(made(&client).await, []);
}
