//! Invalid indexes: ours and those of others.

use ruleiq_db_optimizer::DatabaseOptimizer;
use tokio_postgres::Client;

use super::{TABLE, create, created, existing, impatient, indexes, made};
use crate::database;

/// Leaves an invalid index of this name on `t (a)`, as a build that fails does.
async fn leave_invalid(client: &Client, name: &str) {
    let sql = format!("CREATE UNIQUE INDEX CONCURRENTLY {name} ON t (a)");
    assert!(client.batch_execute(&sql).await.is_err(), "a is not unique");
}

#[tokio::test]
async fn an_invalid_index_of_others_is_named_and_left_alone() {
    let (_database, client) = database(TABLE).await;
    // Their names are like ours, and not ours.
    let names = [
        "idx_t_a",
        "\"ruleiq_building_0123456789ABCDEF\"",
        "ruleiq_building_1",
        "t_a_ccnew",
    ];
    for name in names {
        leave_invalid(&client, name).await;
    }
    let plan = DatabaseOptimizer::new(&client)
        .plan_create_index("t", &["a"])
        .await
        .unwrap();
    assert_eq!(plan.invalid_others.len(), names.len(), "{plan:?}");
    assert!(plan.existing.is_none(), "what is not valid serves nobody");

    let index = created(create(&client, &["a"], &impatient()).await);

    assert_eq!(index.index, "public.idx_t_a_1");
    let left = made(&client).await;
    for name in names {
        assert!(left.contains(&(name.to_owned(), false)), "{left:?}");
    }
    assert_eq!(left.len(), names.len() + 1);
}

#[tokio::test]
async fn what_a_build_of_ours_has_left_is_removed_by_the_next_call_for_the_table() {
    let (_database, client) = database(TABLE).await;
    client
        .batch_execute("CREATE TABLE other (a int); INSERT INTO other VALUES (1), (1)")
        .await
        .unwrap();
    let plan = DatabaseOptimizer::new(&client)
        .plan_create_index("t", &["a"])
        .await
        .unwrap();
    let build = &plan.statements[0];
    let ours = build.split_whitespace().nth(3).unwrap();
    leave_invalid(&client, ours).await;
    leave_invalid(&client, "ruleiq_building_0123456789abcdef").await;
    let elsewhere =
        "CREATE UNIQUE INDEX CONCURRENTLY ruleiq_building_00000000000000ff ON other (a)";
    assert!(client.batch_execute(elsewhere).await.is_err());
    let plan = DatabaseOptimizer::new(&client)
        .plan_create_index("t", &["a"])
        .await
        .unwrap();
    let drops = plan
        .statements
        .iter()
        .filter(|it| it.starts_with("DROP INDEX CONCURRENTLY"));
    assert_eq!(drops.count(), 2, "{plan:?}");

    let index = created(create(&client, &["a"], &impatient()).await);

    assert_eq!(index.statements, plan.statements);
    let expected = [
        ("idx_t_a".to_owned(), true),
        ("ruleiq_building_00000000000000ff".to_owned(), false),
    ];
    assert_eq!(
        made(&client).await,
        expected,
        "another table's are for a call for that table"
    );
}

#[tokio::test]
async fn an_index_that_was_built_and_not_named_is_named_by_the_next_call() {
    let (_database, client) = database(TABLE).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let plan = optimizer.plan_create_index("t", &["a"]).await.unwrap();
    client.batch_execute(&plan.statements[0]).await.unwrap();
    let before = indexes(&client).await.len();

    let index = created(optimizer.create_index("t", &["a"]).await);

    assert_eq!(index.statements, plan.statements[1..]);
    assert_eq!(made(&client).await, [("idx_t_a".to_owned(), true)]);
    assert_eq!(indexes(&client).await.len(), before);
}

#[tokio::test]
async fn what_is_left_is_removed_where_the_index_is_there_as_well() {
    let (_database, client) = database(TABLE).await;
    leave_invalid(&client, "ruleiq_building_0123456789abcdef").await;
    client
        .batch_execute("CREATE INDEX theirs ON t (a)")
        .await
        .unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let plan = optimizer.plan_create_index("t", &["a"]).await.unwrap();
    let drop = "DROP INDEX CONCURRENTLY public.ruleiq_building_0123456789abcdef";
    assert_eq!(plan.statements, [drop]);
    let found = existing(create(&client, &["a"], &impatient()).await);
    assert_eq!(found.index, "public.theirs");
    assert_eq!(made(&client).await, [("theirs".to_owned(), true)]);
}
