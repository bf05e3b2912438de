//! An index that is made, and what is said of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use ruleiq_db_optimizer::{
    Analyzed, CreateIndexOptions, DatabaseOptimizer, Key, Observation, Obstacle, Progress,
};

use super::{TABLE, create, created, impatient, made, obstacle};
use crate::database;

#[tokio::test]
async fn an_index_is_made_and_can_be_dropped_again() {
    let (_database, client) = database(TABLE).await;
    let optimizer = DatabaseOptimizer::new(&client);

    let index = created(optimizer.create_index("t", &["a", "\"C\""]).await);

    assert_eq!(
        (index.index.as_str(), index.table.as_str()),
        ("public.\"idx_t_a_C\"", "public.t")
    );
    assert_eq!(made(&client).await, [("\"idx_t_a_C\"".to_owned(), true)]);
    assert_eq!(
        (index.observation, index.analyzed),
        (Observation::Off, Analyzed::NotNeeded)
    );
    assert!(index.settings_restored);
    let estimate = index.estimated_bytes.unwrap();
    assert!(
        index.size_bytes >= 8192 && index.size_bytes <= estimate,
        "{index:?}"
    );
    let stats = optimizer.table_stats("t").await.unwrap().unwrap();
    let it = stats
        .indexes
        .iter()
        .find(|it| it.name == "\"idx_t_a_C\"")
        .unwrap();
    assert!(it.definition.ends_with("(a, \"C\")"), "{it:?}");
    client.batch_execute(&index.rollback_sql).await.unwrap();
    assert_eq!(made(&client).await, []);
}

#[tokio::test]
async fn a_dry_run_tells_just_what_would_run_and_runs_nothing() {
    let (_database, client) = database(TABLE).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let mut definition = optimizer.index_on("t", &["a"]).await.unwrap();
    definition.keys = vec![Key::expression("lower(b)"), definition.keys.remove(0)];
    definition.predicate = Some("a > 5".to_owned());
    let options = CreateIndexOptions::default();

    let plan = optimizer.plan_create(&definition, &options).await.unwrap();

    assert_eq!(made(&client).await, []);
    assert_eq!((&plan.obstacles[..], &plan.existing), (&[][..], &None));
    assert!(plan.sees_all_transactions && plan.free_bytes.is_none());
    assert_eq!(plan.statements.len(), 3, "{plan:?}");
    let (build, rest) = plan.statements.split_first().unwrap();
    assert!(
        build.starts_with("CREATE INDEX CONCURRENTLY ruleiq_building_"),
        "{build}"
    );
    assert!(
        build.ends_with(" ON public.t ((lower(b)), a) WHERE a > 5"),
        "{build}"
    );
    assert_eq!(rest[1], "ANALYZE public.t");
    let index = created(optimizer.create(&definition, &options).await);
    assert_eq!(
        (&index.statements, &index.index),
        (&plan.statements, &plan.index)
    );
    assert_eq!(
        (index.analyzed, &index.rollback_sql),
        (Analyzed::Yes, &plan.rollback_sql)
    );
    let plan = optimizer.plan_create(&definition, &options).await.unwrap();
    assert!(plan.existing.is_some() && plan.statements.is_empty());
}

#[tokio::test]
async fn a_script_of_a_dry_run_makes_the_same_index_by_hand() {
    let (_database, client) = database(TABLE).await;
    let optimizer = DatabaseOptimizer::new(&client);
    let plan = optimizer.plan_create_index("t", &["a"]).await.unwrap();
    for sql in &plan.statements {
        client.batch_execute(sql).await.unwrap();
    }
    assert_eq!(made(&client).await, [("idx_t_a".to_owned(), true)]);
    client.batch_execute(&plan.rollback_sql).await.unwrap();
    assert_eq!(made(&client).await, []);
}

#[tokio::test]
async fn the_settings_of_the_session_are_as_they_were() {
    let (_database, client) = database(TABLE).await;
    let settings = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
                           current_setting('idle_session_timeout')";
    let values = "SET statement_timeout = '55s'; SET lock_timeout = '4s';
                  SET idle_session_timeout = '10min'";
    client.batch_execute(values).await.unwrap();
    assert!(created(create(&client, &["a"], &impatient()).await).settings_restored);
    let row = client.query_one(settings, &[]).await.unwrap();
    let found: [String; 3] = std::array::from_fn(|at| row.get(at));
    assert_eq!(found, ["55s", "4s", "10min"]);
    let locks = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    assert_eq!(client.query(locks, &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_setting_that_would_stop_the_build_does_not() {
    let (_database, client) = database(TABLE).await;
    client
        .batch_execute("SET statement_timeout = '2s'")
        .await
        .unwrap();
    let slow = "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN IF $1 = 1 THEN PERFORM pg_sleep(3); END IF; RETURN $1; END'";
    client.batch_execute(slow).await.unwrap();
    let optimizer = DatabaseOptimizer::new(&client);
    let mut definition = optimizer.index_on("t", &["id"]).await.unwrap();
    definition.keys = vec![Key::expression("slow(id)")];
    created(
        optimizer
            .create(&definition, &CreateIndexOptions::default())
            .await,
    );
}

#[tokio::test]
async fn an_observer_tells_how_far_the_build_is() {
    let (database, client) = database(TABLE).await;
    let other = database.client().await;
    let slow = "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN IF $1 % 2500 = 0 THEN PERFORM pg_sleep(1); END IF; RETURN $1; END'";
    client.batch_execute(slow).await.unwrap();
    let optimizer = DatabaseOptimizer::builder(&client).observer(&other).build();
    let mut definition = optimizer.index_on("t", &["id"]).await.unwrap();
    definition.keys = vec![Key::expression("slow(id)")];
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let listener = Arc::clone(&seen);
    let options = CreateIndexOptions::default()
        .on_progress(move |progress| listener.lock().unwrap().push(progress.clone()));

    let index = created(optimizer.create(&definition, &options).await);

    assert_eq!(index.observation, Observation::Watched);
    let seen = seen.lock().unwrap();
    let building = seen.iter().filter(|it| {
        it.phase
            .as_deref()
            .is_some_and(|it| it.starts_with("building index"))
    });
    assert!(building.count() > 0, "{seen:?}");
    assert!(
        seen.iter().all(|it| it.index.contains("ruleiq_building_")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn an_observer_that_fails_does_not_stop_the_build() {
    let (database, client) = database(TABLE).await;
    let other = database.client().await;
    let observer = super::pid(&other).await;
    let slow = "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN IF $1 = 1 THEN PERFORM pg_sleep(2); END IF; RETURN $1; END'";
    client.batch_execute(slow).await.unwrap();
    let optimizer = DatabaseOptimizer::builder(&client).observer(&other).build();
    let mut definition = optimizer.index_on("t", &["id"]).await.unwrap();
    definition.keys = vec![Key::expression("slow(id)")];
    let count = Arc::new(AtomicU64::new(0));
    let (listener, third) = (Arc::clone(&count), database.client().await);
    let options = CreateIndexOptions::default().on_progress(move |_| {
        listener.fetch_add(1, Relaxed);
    });
    let killing = async {
        ruleiq_test_support::eventually(super::PATIENCE, || async { count.load(Relaxed) > 0 })
            .await;
        let kill = "SELECT pg_terminate_backend($1)";
        third.query(kill, &[&observer]).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(optimizer.create(&definition, &options), killing);
    assert_eq!(created(outcome).observation, Observation::Lost);
}

#[tokio::test]
async fn a_disk_that_is_too_small_is_told_before() {
    let (_database, client) = database(TABLE).await;
    let options = CreateIndexOptions::default().estimated_bytes(1000);
    let refused = obstacle(create(&client, &["a"], &options.clone().free_bytes(1999)).await);
    let expected = Obstacle::DiskTooSmall {
        needed_bytes: 2000,
        free_bytes: 1999,
    };
    assert_eq!(refused, expected);
    assert_eq!(made(&client).await, []);
    created(create(&client, &["a"], &options.free_bytes(2000)).await);
}

#[tokio::test]
async fn a_table_without_rows_and_a_materialized_view_are_indexed() {
    let (_database, client) = database(
        "CREATE TABLE t (a int);
         CREATE MATERIALIZED VIEW v AS SELECT 1 AS x;
         CREATE TEMPORARY TABLE u (x int)",
    )
    .await;
    let optimizer = DatabaseOptimizer::new(&client);
    let index = created(optimizer.create_index("t", &["a"]).await);
    assert_eq!(index.estimated_bytes, None, "it was never analyzed");
    created(optimizer.create_index("v", &["x"]).await);
    created(optimizer.create_index("u", &["x"]).await);
    client
        .query("SELECT FROM t WHERE a = 1", &[])
        .await
        .unwrap();
}
