//! What callers see while the database or Redis is away, and that all is well when it is back.

use std::time::Duration;

use reqwest::Method;
use ruleiq_test_support::{
    FaultProxy, OwnServers, Spec, TestDatabase, TestRedis, Which, eventually,
};

use crate::server::{Server, User, json_of, problem_of, run_on, text};

/// Longer than any of these waits; far less than the time that a pool would let a caller wait.
const PATIENCE: Duration = Duration::from_secs(20);

async fn status(server: &Server, path: &str) -> u16 {
    let response = server.request(Method::GET, path).send().await.unwrap();
    response.status().as_u16()
}

async fn fresh(server: &Server, user: &User, id: &str) -> reqwest::Response {
    server
        .request(Method::GET, &format!("/api/v1/assessments/{id}"))
        .bearer_auth(&user.token)
        .header("Cache-Control", "no-cache")
        .send()
        .await
        .unwrap()
}

/// A server that reaches its database through a proxy.
async fn behind_proxy(database: &TestDatabase) -> (FaultProxy, String) {
    let proxy = FaultProxy::in_front_of(database.app_url()).await;
    let url = proxy.url(database.app_url());
    (proxy, url)
}

#[tokio::test]
async fn without_its_database_the_server_answers_503_at_once_and_heals() {
    let database = TestDatabase::migrated().await;
    let (proxy, url) = behind_proxy(&database).await;
    // A pool that lets callers wait for a minute: whoever waits for it would fail this test.
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_POOL_TIMEOUT", "60"),
        ("REQUEST_TIMEOUT", "50"),
    ];
    let server = Server::start_on(database, &settings).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    assert_eq!(fresh(&server, &ada, &id).await.status(), 200);

    proxy.refuse().await;

    for _ in 0..5 {
        problem_of(fresh(&server, &ada, &id).await, 503, "database_unavailable").await;
    }
    assert_eq!(status(&server, "/readyz").await, 503);
    assert_eq!(status(&server, "/livez").await, 200);

    proxy.heal().await;

    eventually(PATIENCE, || async {
        status(&server, "/readyz").await == 200
    })
    .await;
    eventually(PATIENCE, || async {
        fresh(&server, &ada, &id).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_database_that_answers_nothing_costs_a_request_its_time_and_no_more() {
    let database = TestDatabase::migrated().await;
    let (proxy, url) = behind_proxy(&database).await;
    let settings = [("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "1")];
    let server = Server::start_on(database, &settings).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;

    proxy.stall().await;

    let answer = fresh(&server, &ada, &id).await;
    assert_eq!(answer.status(), 504);
    assert_eq!(status(&server, "/livez").await, 200);

    proxy.heal().await;
    eventually(PATIENCE, || async {
        fresh(&server, &ada, &id).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn without_redis_no_status_changes() {
    let redis = TestRedis::namespace().await;
    let proxy = FaultProxy::in_front_of(redis.url()).await;
    let url = proxy.url(redis.url());
    let server = Server::start_with(&[("REDIS_URL", &url)]).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;

    for outage in 0..3 {
        match outage {
            0 => proxy.refuse().await,
            1 => proxy.stall().await,
            _ => proxy.cut().await,
        }
        for _ in 0..10 {
            for path in [
                "/api/v1/frameworks".to_owned(),
                format!("/api/v1/assessments/{id}"),
            ] {
                assert_eq!(server.get(&ada, &path).await.status(), 200, "{path}");
            }
        }
        let other = server.assessment(&ada, 1).await;
        assert_eq!(server.detail(&ada, &other).await["status"], "draft");
        assert_eq!(status(&server, "/readyz").await, 200);
        proxy.heal().await;
    }
    assert_eq!(fresh(&server, &ada, &id).await.status(), 200);
}

#[tokio::test]
async fn a_server_starts_without_redis() {
    let server = Server::start_with(&[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    assert_eq!(server.detail(&ada, &id).await["status"], "draft");
}

#[tokio::test]
async fn a_server_starts_without_its_database() {
    let nowhere = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")];
    let server = Server::start_with(&nowhere).await;
    let ready = server.request(Method::GET, "/readyz").send().await.unwrap();
    problem_of(ready, 503, "database_unavailable").await;
    assert_eq!(status(&server, "/livez").await, 200);
    assert_eq!(status(&server, "/health").await, 503);
}

#[tokio::test]
async fn a_database_without_the_schema_is_not_ready() {
    let empty = TestDatabase::empty().await;
    let server = Server::start_with(&[("DATABASE_URL", empty.url())]).await;
    let ready = server.request(Method::GET, "/readyz").send().await.unwrap();
    problem_of(ready, 503, "schema_outdated").await;

    run_on(empty.url(), &["migrate", "up"]).await;

    assert_eq!(status(&server, "/readyz").await, 200);
}

#[tokio::test]
async fn servers_that_are_killed_are_found_again_when_they_are_back() {
    let servers = OwnServers::start(Spec::temporary()).await;
    let url = servers.postgres_url();
    run_on(url, &["migrate", "up"]).await;
    run_on(url, &["seed", "--scale", "small"]).await;
    let settings = [("DATABASE_URL", url), ("REDIS_URL", servers.redis_url())];
    let server = Server::start_with(&settings).await;
    let demo = server.login("demo@ruleiq.example").await;
    let page = json_of(server.get(&demo, "/api/v1/assessments?limit=1").await, 200).await;
    let id = text(&page, "/items/0/id");
    assert_eq!(server.detail(&demo, &id).await["id"], id.as_str());

    servers.kill(Which::Redis).await;
    for _ in 0..5 {
        assert_eq!(server.detail(&demo, &id).await["id"], id.as_str());
        assert_eq!(fresh(&server, &demo, &id).await.status(), 200);
    }
    servers.kill(Which::Postgres).await;
    for _ in 0..5 {
        problem_of(
            fresh(&server, &demo, &id).await,
            503,
            "database_unavailable",
        )
        .await;
    }
    assert_eq!(status(&server, "/readyz").await, 503);
    assert_eq!(status(&server, "/livez").await, 200);

    servers.start_again(Which::Postgres).await;
    servers.start_again(Which::Redis).await;
    eventually(PATIENCE, || async {
        status(&server, "/readyz").await == 200
    })
    .await;
    assert_eq!(fresh(&server, &demo, &id).await.status(), 200);
    eventually(PATIENCE, || async {
        let health = server.request(Method::GET, "/health").send().await.unwrap();
        json_of(health, 200).await["status"] == "healthy"
    })
    .await;
}

#[tokio::test]
async fn the_statement_of_a_caller_that_left_is_stopped() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    let mut holder = server.database.client().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE assessment_sessions")
        .await
        .unwrap();
    let request = server
        .request(Method::GET, &format!("/api/v1/assessments/{id}"))
        .bearer_auth(&ada.token)
        .header("Cache-Control", "no-cache");
    let caller = tokio::spawn(request.send());
    let watcher = server.database.client().await;
    let waiting = async |expected: i64| {
        eventually(PATIENCE, || async {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let row = watcher.query_one(waiting, &[]).await.unwrap();
            row.get::<_, i64>(0) == expected
        })
        .await;
    };
    waiting(1).await;

    caller.abort();

    waiting(0).await;
    drop(lock);
}

#[tokio::test]
async fn a_database_that_answers_nothing_makes_the_server_unready_long_before_requests_end() {
    let database = TestDatabase::migrated().await;
    let (proxy, url) = behind_proxy(&database).await;
    // Longer than the caller of this test waits.
    let settings = [("DATABASE_URL", url.as_str()), ("REQUEST_TIMEOUT", "60")];
    let server = Server::start_on(database, &settings).await;
    assert_eq!(status(&server, "/readyz").await, 200);

    proxy.stall().await;

    let probe = server.request(Method::GET, "/readyz").send().await.unwrap();
    problem_of(probe, 503, "database_slow").await;
}
