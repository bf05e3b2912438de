//! `GET …/cache/stats`, and what falls with a commit.

use std::time::Duration;

use futures_util::FutureExt as _;
use ruleiq_performance::{cache::Policy, commit_and_invalidate};
use ruleiq_query::{Queries as _, Read as _};
use ruleiq_test_support::eventually;

use crate::service::Service;

#[actix_web::test]
async fn hits_and_misses_are_counted() {
    let (service, _database, _redis) = Service::start().await;
    let ttl = Duration::from_secs(60);
    // Redis is connected to in the background.
    eventually(Duration::from_secs(10), || async {
        service.cache.set("key", 1_u32, ttl).await.is_ok()
    })
    .await;
    assert_eq!(service.cache.get::<u32>("key").await.as_deref(), Some(&1));
    assert_eq!(service.cache.get::<u32>("other").await, None);

    let stats = service.get("/api/v1/performance/cache/stats").await.ok();

    assert_eq!(stats["misses"], 1, "{stats}");
    assert_eq!(stats["hit_rate"], 0.5, "{stats}");
    assert_eq!(stats["l1_entries"], 1, "{stats}");
    assert_eq!(stats["prefixes"][0]["misses"], 1, "{stats}");
}

#[actix_web::test]
async fn what_was_read_from_a_table_falls_with_a_commit_even_if_nobody_waits_for_it() {
    let (service, _database, _redis) = Service::start().await;
    let policy = Policy::new(Duration::from_secs(60)).tables(&["users"]);
    let count = async || {
        let load = || async {
            let session = service.pools.session().await.unwrap();
            let row = session.query_one("SELECT count(*) FROM users", &[]).await;
            Ok::<i64, ()>(row.unwrap().get(0))
        };
        *service
            .cache
            .get_or_load("users", &policy, load)
            .await
            .unwrap()
    };
    let insert = "INSERT INTO users (id, email, password_hash, full_name) \
         VALUES (gen_random_uuid(), gen_random_uuid()::text || '@example.org', 'x', 'x')";
    assert_eq!((count().await, count().await), (0, 0));

    let mut session = service.pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction.execute(insert, &[]).await.unwrap();
    commit_and_invalidate(transaction, &service.cache, &["users"])
        .await
        .unwrap();
    drop(session);
    assert_eq!((count().await, count().await), (1, 1));

    let mut session = service.pools.session().await.unwrap();
    let transaction = session.transaction().await.unwrap();
    transaction.execute(insert, &[]).await.unwrap();
    let committing = commit_and_invalidate(transaction, &service.cache, &["users"]);
    // The commit is sent, and nobody looks at its answer.
    assert!(committing.now_or_never().is_none());
    drop(session);
    let session = service.pools.session().await.unwrap();
    let row = session.query_one("SELECT count(*) FROM users", &[]).await;
    let counted: i64 = row.unwrap().get(0);
    drop(session);
    eventually(Duration::from_secs(10), || async {
        count().await == counted
    })
    .await;
}
