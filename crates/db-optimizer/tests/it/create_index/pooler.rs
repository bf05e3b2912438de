//! Through `PgBouncer`, which hands each transaction to another server process.

use ruleiq_db_optimizer::{DatabaseOptimizer, Obstacle};
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec};

use super::{TABLE, created, made, obstacle, unsuspecting};
use crate::connect;

#[tokio::test]
async fn a_pooler_is_found_out_before_anything_is_begun() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        pgbouncer: true,
        ..Spec::default()
    })
    .await;
    let owner = connect(servers.postgres_url()).await;
    owner.batch_execute(TABLE).await.unwrap();
    let pooled = connect(servers.pgbouncer_url()).await;
    let other = connect(servers.pgbouncer_url()).await;
    let definition = DatabaseOptimizer::new(&owner)
        .index_on("t", &["a"])
        .await
        .unwrap();

    let optimizer = DatabaseOptimizer::builder(&pooled).observer(&other).build();
    let outcome = optimizer.create(&definition, &unsuspecting()).await;

    assert_eq!(obstacle(outcome), Obstacle::TransactionPooler);
    assert_eq!(made(&owner).await, []);
    let locks = "SELECT FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(owner.query(locks, &[]).await.unwrap().len(), 0);
    let straight = DatabaseOptimizer::builder(&owner).observer(&pooled).build();
    created(straight.create(&definition, &unsuspecting()).await);
}
