//! Handlers that loop over statements, on a real server through real pools.

use std::{num::NonZeroU32, time::Duration};

use actix_web::{
    App, HttpResponse, error::InternalError, http::StatusCode, test, web, web::ServiceConfig,
};
use futures_util::future::try_join_all;
use ruleiq_performance::{
    db_optimizer::n_plus_one::{Detector, Kind},
    pools::PoolManager,
    query::{Queries as _, Read as _},
    scope::assert_statements,
    web::{NPlusOne, NPlusOneMetrics, NPlusOneMode, RequestScope},
};
use ruleiq_test_support::{TestDatabase, TestRedis, eventually};
use serde_json::Value;

use crate::service::{Answer, Service, pools, postgres};

type Handled = Result<HttpResponse, InternalError<ruleiq_performance::query::Error>>;

const SCHEMA: &str = "\
    CREATE TABLE authors (id int PRIMARY KEY, name text NOT NULL); \
    INSERT INTO authors SELECT n, 'author ' || n FROM generate_series(1, 8) n; \
    CREATE TABLE posts (id int PRIMARY KEY, author_id int NOT NULL REFERENCES authors, title text); \
    INSERT INTO posts SELECT n, n % 8 + 1, 'post ' || n FROM generate_series(1, 40) n; \
    CREATE TABLE seen (post_id int, at timestamptz DEFAULT now()); \
    CREATE SEQUENCE numbers";

/// What handlers do with a session.
macro_rules! handler {
    (|$session:ident| $work:expr) => {
        web::get().to(|pools: web::Data<PoolManager>| async move {
            #[allow(unused_mut)]
            let mut $session = pools.session().await.unwrap();
            let done: Result<_, ruleiq_performance::query::Error> = async { $work }.await;
            done.map_err(|error| InternalError::new(error, StatusCode::BAD_GATEWAY))?;
            Handled::Ok(HttpResponse::Ok().finish())
        })
    };
}

/// How many sessions of this database sleep.
const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event = 'PgSleep'";
const AUTHOR: &str = "SELECT name FROM authors WHERE id = $1";

fn routes(config: &mut ServiceConfig) {
    by_key(config);
    others(config);
}

/// Six runs with other arguments each, and one with all of them.
fn by_key(config: &mut ServiceConfig) {
    config
        .route(
            "/loop/{page}",
            handler!(|db| {
                for post in db.query("SELECT author_id FROM posts LIMIT 6", &[]).await? {
                    db.query_one(AUTHOR, &[&post.get::<_, i32>(0)]).await?;
                }
                Ok(())
            }),
        )
        .route(
            "/batched/{page}",
            handler!(|db| {
                let posts = db.query("SELECT author_id FROM posts LIMIT 6", &[]).await?;
                let authors: Vec<i32> = posts.iter().map(|post| post.get(0)).collect();
                db.query(
                    "SELECT id, name FROM authors WHERE id = ANY($1)",
                    &[&authors],
                )
                .await
            }),
        )
        .route(
            "/together",
            handler!(|db| {
                let ids: Vec<i32> = (1..=6).collect();
                try_join_all(ids.iter().map(async |id| db.query_one(AUTHOR, &[id]).await)).await
            }),
        )
        .route(
            "/text",
            handler!(|db| {
                for id in 1..=6 {
                    db.query(
                        &format!("SELECT title FROM posts WHERE author_id = {id}"),
                        &[],
                    )
                    .await?;
                }
                Ok(())
            }),
        )
        .route(
            "/prepared",
            handler!(|db| {
                let author = db.prepare(AUTHOR).await?;
                for id in 1..=6 {
                    db.query_one(&author, &[&id]).await?;
                }
                Ok(())
            }),
        );
}

fn others(config: &mut ServiceConfig) {
    config
        .route(
            "/same",
            handler!(|db| {
                for _ in 0..6 {
                    db.query_one(AUTHOR, &[&3]).await?;
                }
                Ok(())
            }),
        )
        .route(
            "/writes",
            handler!(|db| {
                for post in 1..=6 {
                    db.execute("INSERT INTO seen (post_id) VALUES ($1)", &[&post])
                        .await?;
                }
                Ok(())
            }),
        )
        .route(
            "/necessary",
            handler!(|db| {
                for _ in 0..6 {
                    let work = db.transaction().await?;
                    work.batch_execute("SET LOCAL statement_timeout = 1000; SAVEPOINT a")
                        .await?;
                    work.query_one("SELECT nextval('numbers')", &[]).await?;
                    work.commit().await?;
                }
                Ok(())
            }),
        )
        .route(
            "/stuck",
            handler!(|db| {
                for id in 1..=6 {
                    db.query_one(AUTHOR, &[&id]).await?;
                }
                db.query("SELECT pg_sleep(60) FROM authors", &[]).await
            }),
        );
}

/// A request to these routes, where findings fail, and what was found.
async fn ask(pools: &PoolManager, path: &str) -> (Answer, NPlusOne) {
    let fail = NPlusOne::new(NPlusOneMode::Fail);
    let found = fail.clone();
    let data = web::Data::new(pools.clone());
    let app = App::new()
        .app_data(data)
        .configure(routes)
        .wrap(RequestScope::new(Duration::from_secs(30)))
        .wrap(fail);
    let app = test::init_service(app).await;
    let request = test::TestRequest::with_uri(path).to_request();
    let response = test::try_call_service(&app, request).await.unwrap();
    (Answer::of(response).await, found)
}

async fn database() -> (TestDatabase, TestRedis, PoolManager) {
    let database = TestDatabase::empty().await;
    database.client().await.batch_execute(SCHEMA).await.unwrap();
    let redis = TestRedis::namespace().await;
    let pools = pools(postgres(database.url()), redis.url());
    (database, redis, pools)
}

#[actix_web::test]
async fn a_loop_over_keys_is_named_with_route_line_and_batched_form() {
    let (_database, _redis, pools) = database().await;
    let (answer, _) = ask(&pools, "/loop/3").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (500, &Value::from("n_plus_one"))
    );
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("/loop/{page}: 1 statement run"),
        "{detail}"
    );
    let line = line_of("db.query_one(AUTHOR, &[&post");
    assert!(
        detail.contains(&format!("6 × from {}:{line}:", file!())),
        "{detail}"
    );
    assert!(
        detail.contains("read for all keys at once: select name from authors where id = any(?)"),
        "{detail}"
    );
}

/// Where a text stands first in this file.
fn line_of(text: &str) -> usize {
    let lines = include_str!("n_plus_one.rs").lines();
    1 + lines
        .into_iter()
        .position(|line| line.contains(text))
        .unwrap()
}

#[actix_web::test]
async fn the_batched_form_has_no_finding_and_two_statements() {
    let (_database, _redis, pools) = database().await;
    let (answer, found) = assert_statements!(exact = 2, { ask(&pools, "/batched/3").await });
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(found.told().is_empty());
}

#[actix_web::test]
async fn each_way_to_run_a_statement_is_told_apart_by_its_arguments() {
    let (_database, _redis, pools) = database().await;
    for (path, kind) in [
        ("/together", Some(Kind::NPlusOne)),
        ("/text", Some(Kind::NPlusOne)),
        ("/prepared", Some(Kind::NPlusOne)),
        ("/same", Some(Kind::RepeatedRead)),
        ("/writes", Some(Kind::WriteLoop)),
        ("/necessary", None),
    ] {
        let (answer, found) = ask(&pools, path).await;
        let expected = if kind.is_some() { 500 } else { 200 };
        assert_eq!(answer.status, expected, "{path}: {answer:?}");
        let told = found.told();
        assert_eq!(
            told.first().map(|it| (it.kind, it.most)),
            kind.map(|it| (it, 6)),
            "{path}"
        );
        assert_eq!(told.len(), usize::from(kind.is_some()), "{path}: {told:?}");
    }
}

#[actix_web::test]
async fn a_request_whose_client_leaves_while_a_statement_runs_is_counted() {
    let (database, _redis, pools) = database().await;
    let found = NPlusOne::new(NPlusOneMode::Log);
    let app = App::new()
        .app_data(web::Data::new(pools.clone()))
        .configure(routes)
        .wrap(RequestScope::new(Duration::from_secs(30)))
        .wrap(found.clone());
    let app = test::init_service(app).await;
    let request = test::TestRequest::with_uri("/stuck").to_request();
    let mut answer = Box::pin(test::try_call_service(&app, request));
    let owner = database.client().await;
    // Its last statement has begun.
    let asleep = eventually(Duration::from_secs(10), async || {
        let row = owner.query_one(ASLEEP, &[]).await.unwrap();
        row.get::<_, i64>(0) == 1
    });
    tokio::select! {
        () = asleep => {}
        _ = &mut answer => panic!("the request has ended"),
    }
    drop(answer);
    assert_eq!(found.told()[0].most, 6);
    assert_eq!(found.told().len(), 1);
}

#[actix_web::test]
async fn the_endpoint_tells_what_was_found() {
    let (_database, redis, pools) = database().await;
    let (_, found) = ask(&pools, "/loop/3").await;
    let told = found.clone();
    let service = Service::with(&pools, redis.prefix(), |it| it.n_plus_one(found));
    let stats = service.get("/api/v1/performance/database/stats").await.ok();
    let first = &stats["n_plus_one"][0];
    assert_eq!(first["route"], "/loop/{page}");
    assert_eq!(first["kind"], "n-plus-one");
    assert_eq!(first["statement"], "select name from authors where id = ?");
    assert_eq!((&first["requests"], &first["most"]), (&1.into(), &6.into()));
    assert_eq!(
        stats["n_plus_one"].as_array().unwrap().len(),
        told.told().len()
    );

    let service = Service::over(&pools, redis.prefix());
    let stats = service.get("/api/v1/performance/database/stats").await.ok();
    assert_eq!(stats["n_plus_one"], Value::Array(Vec::new()));
}

#[actix_web::test]
async fn the_endpoints_themselves_have_no_finding() {
    let (_database, redis, pools) = database().await;
    let twice = NonZeroU32::new(2).unwrap();
    let service = Service::over(&pools, redis.prefix());
    for path in [
        "metrics",
        "database/stats",
        "cache/stats",
        "pool/stats",
        "health",
    ] {
        let detector = Detector::new(twice);
        let fail = NPlusOne::with(NPlusOneMode::Fail, detector, NPlusOneMetrics::default());
        let performance = service.performance.clone();
        let app = App::new()
            .configure(|config| performance.configure(config))
            .wrap(RequestScope::new(Duration::from_secs(30)))
            .wrap(fail);
        let app = test::init_service(app).await;
        let request = test::TestRequest::with_uri(&format!("/api/v1/performance/{path}"))
            .insert_header(("x-user", "root"))
            .to_request();
        let answer = Answer::of(test::try_call_service(&app, request).await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}
