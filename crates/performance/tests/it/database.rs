//! `GET …/database/stats`.

use std::time::Duration;

use ruleiq_query::Read as _;
use ruleiq_test_support::{FaultProxy, TestDatabase, TestRedis, eventually};
use serde_json::Value;

use crate::service::{Service, pools, postgres};

const PATH: &str = "/api/v1/performance/database/stats";

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let items = list.as_array().unwrap().iter();
    items.filter_map(|it| it[field].as_str()).collect()
}

#[actix_web::test]
async fn the_database_tells_of_itself() {
    let (service, database, _redis) = Service::start().await;
    let owner = database.client().await;
    // Large enough for an index to matter.
    owner
        .batch_execute(
            "CREATE TABLE parent (id int PRIMARY KEY);
             CREATE TABLE child (parent int REFERENCES parent);
             INSERT INTO parent VALUES (1);
             INSERT INTO child SELECT 1 FROM generate_series(1, 4000)",
        )
        .await
        .unwrap();
    let session = service.pools.session().await.unwrap();
    session.query("SELECT pg_sleep(0.05)", &[]).await.unwrap();
    drop(session);

    let report = service.get(&format!("{PATH}?threshold_ms=40")).await.ok();

    assert_eq!(report["database"]["database"], database.name());
    assert!(
        report["database"]["connections"].as_u64() >= Some(1),
        "{report}"
    );
    assert_eq!(texts(&report["missing_indexes"], "table"), ["public.child"]);
    let slow = &report["slow_queries"];
    assert_eq!(slow["threshold_ms"], 40.0, "{report}");
    assert!(
        texts(&slow["statements"], "query").contains(&"select pg_sleep ( ? )"),
        "{report}"
    );
    assert_eq!(report.get("table"), None);

    let default = service.get(PATH).await.ok();
    assert_eq!(default["slow_queries"]["threshold_ms"], 1000.0, "{default}");
}

#[actix_web::test]
async fn a_table_is_told_about_by_name() {
    let (service, _database, _redis) = Service::start().await;
    for name in ["users", "public.users", "%22users%22", "USERS"] {
        let report = service.get(&format!("{PATH}?table_name={name}")).await.ok();
        assert_eq!(report["table"]["table"], "public.users");
        let indexes = texts(&report["table"]["indexes"], "name");
        assert_eq!(indexes, ["users_email_key", "users_pkey"]);
    }
    for name in [
        "nothing",
        "",
        "%22Users%22",
        "users;drop+table+users",
        "a%00b",
        "%27",
    ] {
        let answer = service.get(&format!("{PATH}?table_name={name}")).await;
        answer.is_problem(404, "unknown_table");
    }
}

#[actix_web::test]
async fn the_health_of_the_database_is_told() {
    let (service, database, _redis) = Service::start().await;
    let owner = database.client().await;
    owner
        .batch_execute(
            "CREATE TABLE keyless (x int);
             CREATE INDEX one ON keyless (x);
             CREATE INDEX same_as_one ON keyless (x)",
        )
        .await
        .unwrap();

    let path = "/api/v1/performance/database/health";
    let report = service.get(path).await.ok();

    assert_eq!(report["database"], database.name());
    assert_eq!(report["is_standby"], false);
    let codes = texts(&report["findings"], "code");
    assert!(codes.contains(&"no_primary_key"), "{report}");
    let droppable = texts(&report["droppable_indexes"], "sql");
    let same = "DROP INDEX CONCURRENTLY public.same_as_one";
    assert!(droppable.contains(&same), "{report}");
    assert!(
        !droppable.iter().any(|it| it.ends_with("_pkey")),
        "{report}"
    );
    // The application's role does not see what others do.
    let unseen = texts(&report["degraded"], "code");
    assert!(unseen.contains(&"other_roles"), "{report}");
    let refused = service.get(&format!("{path}?x=1")).await;
    refused.is_problem(400, "invalid_query");
}

#[actix_web::test]
async fn indexes_are_advised_for_what_the_service_has_run() {
    const PATH: &str = "/api/v1/performance/database/advice";
    let (service, database, _redis) = Service::start().await;
    let owner = database.client().await;
    owner
        .batch_execute(
            "CREATE TABLE things (a int NOT NULL, note text NOT NULL);
             INSERT INTO things SELECT i, repeat('x', 80) FROM generate_series(1, 20000) i;
             GRANT SELECT ON things TO PUBLIC;
             ANALYZE things",
        )
        .await
        .unwrap();
    let session = service.pools.session().await.unwrap();
    let asked = session
        .query("SELECT note FROM things WHERE a = 7", &[])
        .await;
    assert_eq!(asked.unwrap().len(), 1);
    drop(session);

    let sql = "CREATE INDEX CONCURRENTLY idx_things_a ON public.things (a)";
    let estimated = service.get(PATH).await.ok();
    assert_eq!(texts(&estimated["untested"], "sql"), [sql], "{estimated}");
    owner
        .batch_execute("CREATE EXTENSION hypopg")
        .await
        .unwrap();
    let planned = service
        .get(&format!("{PATH}?budget_percent=100"))
        .await
        .ok();
    assert_eq!(texts(&planned["indexes"], "sql"), [sql], "{planned}");

    let (one, two) = futures_util::future::join(service.get(PATH), service.get(PATH)).await;
    let second = if one.status == 200 { two } else { one };
    second.is_problem(409, "advice_running");
    for percent in ["0", "1001", "-1", "half"] {
        let refused = service
            .get(&format!("{PATH}?budget_percent={percent}"))
            .await;
        refused.is_problem(400, "invalid_query");
    }
}

#[actix_web::test]
async fn statistics_are_read_through_the_pool_for_monitoring() {
    let database = TestDatabase::migrated().await;
    let redis = TestRedis::namespace().await;
    let application = pools(postgres(database.app_url()), redis.url());
    let monitor = pools(postgres(database.monitor_url()), redis.url());
    database
        .client()
        .await
        .query("SELECT FROM ruleiq_marker", &[])
        .await
        .unwrap();
    let seen = async |service: &Service| {
        let report = service.get(&format!("{PATH}?threshold_ms=0")).await.ok();
        let statements = report["slow_queries"]["statements"].clone();
        let codes = texts(&report["slow_queries"]["degraded"], "code").join(" ");
        let is_seen = texts(&statements, "query").contains(&"select from ruleiq_marker");
        (is_seen, codes.contains("hidden"))
    };

    let without = Service::over(&application, redis.prefix());
    assert_eq!(seen(&without).await, (false, true));
    let with = Service::with(&application, redis.prefix(), |it| it.monitor(monitor));
    // Whoever has all of the application's connections does not keep it from being seen.
    let _held = (
        application.session().await.unwrap(),
        application.session().await.unwrap(),
    );
    assert_eq!(seen(&with).await, (true, false));
}

#[actix_web::test]
async fn a_database_that_is_away_is_said_so_at_once() {
    let database = TestDatabase::migrated().await;
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(database.app_url()).await;
    let pools = pools(postgres(&proxy.url(database.app_url())), redis.url());
    let service = Service::over(&pools, redis.prefix());
    service.get(PATH).await.ok();

    proxy.refuse().await;
    // The first finds out that the connection is dead.
    eventually(Duration::from_secs(10), || async {
        service.get(PATH).await.status == 503
    })
    .await;
    let answer = service.get(PATH).await;
    answer.is_problem(503, "database_unavailable");
    assert_eq!(answer.header("retry-after"), "1");

    proxy.heal().await;
    eventually(Duration::from_secs(10), || async {
        service.get(PATH).await.status == 200
    })
    .await;
}

#[actix_web::test]
async fn a_database_that_does_not_answer_is_given_up() {
    let database = TestDatabase::migrated().await;
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(database.app_url()).await;
    let pools = pools(postgres(&proxy.url(database.app_url())), redis.url());
    let limit = Duration::from_millis(300);
    let service = Service::with(&pools, redis.prefix(), |it| it.read_limit(limit));
    drop(pools.session().await.unwrap());

    proxy.stall().await;
    let answer = service.get(PATH).await;
    answer.is_problem(504, "deadline_exceeded");

    proxy.heal().await;
    eventually(Duration::from_secs(20), || async {
        service.get(PATH).await.status == 200
    })
    .await;
}

#[actix_web::test]
async fn a_pool_that_is_in_use_is_said_so() {
    let database = TestDatabase::migrated().await;
    let redis = TestRedis::namespace().await;
    let mut config = postgres(database.app_url());
    config.timeout = Duration::from_millis(50);
    let pools = pools(config, redis.url());
    let service = Service::over(&pools, redis.prefix());
    let _held = (
        pools.session().await.unwrap(),
        pools.session().await.unwrap(),
    );
    service.get(PATH).await.is_problem(503, "database_busy");
}
