//! `GET …/benchmark`.

use std::{num::NonZeroUsize, time::Duration};

use actix_web::{http::Method, test::TestRequest};
use ruleiq_performance::{
    benchmark::{Benchmark, DatabaseCase, ruleiq_cases},
    cache::CacheManager,
    pools::{PoolManager, PostgresConfig},
};
use ruleiq_scope::Scope;
use ruleiq_test_support::{TestDatabase, TestRedis, eventually};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::service::{Answer, Service, pools, postgres, send_as_is};

const PATH: &str = "/api/v1/performance/benchmark";
const A_WHILE: Duration = Duration::from_secs(10);

/// Some users with assessments, questions and answers.
const ROWS: &str = "
    INSERT INTO users (id, email, full_name, password_hash)
    SELECT gen_random_uuid(), 'user' || n || '@example.com', 'User', 'x'
    FROM generate_series(1, 20) AS n;
    INSERT INTO business_profiles (id, user_id, name, industry, country, employee_count)
    SELECT gen_random_uuid(), id, 'Acme', 'Retail', 'GB', 12 FROM users;
    INSERT INTO compliance_frameworks (id, code, name, version, description)
    VALUES (gen_random_uuid(), 'F', 'Framework', '1', '');
    INSERT INTO assessment_sessions (id, user_id, business_profile_id, status)
    SELECT gen_random_uuid(), user_id, id, 'in_progress' FROM business_profiles;
    INSERT INTO assessment_questions (id, session_id, framework_id, code, title, position)
    SELECT gen_random_uuid(), session.id, framework.id, 'A.' || n, 'Question', n
    FROM assessment_sessions AS session, compliance_frameworks AS framework,
         generate_series(1, 5) AS n;
    ANALYZE;";

/// A service that measures RuleIQ's database.
pub(crate) async fn service() -> (Service, TestDatabase, TestRedis) {
    service_with(ruleiq_cases()).await
}

async fn service_with(cases: Vec<DatabaseCase>) -> (Service, TestDatabase, TestRedis) {
    let database = TestDatabase::migrated().await;
    database.client().await.batch_execute(ROWS).await.unwrap();
    let redis = TestRedis::namespace().await;
    let pools = pools(postgres(database.app_url()), redis.url());
    let service = measuring(&pools, redis.prefix(), cases);
    (service, database, redis)
}

fn measuring(pools: &PoolManager, prefix: &str, cases: Vec<DatabaseCase>) -> Service {
    Service::with(pools, prefix, |it| it.benchmark(Benchmark::new(cases)))
}

/// A database of Redis's that nobody else uses.
fn alone(redis: &TestRedis, number: u8) -> String {
    format!("{}/{number}", redis.url().trim_end_matches('/'))
}

/// A cache remembers for ten seconds what it has deleted,
const FORGOTTEN: Duration = Duration::from_secs(30);
/// and its epoch for as long as somebody asks for it: there are the service's and the benchmark's.
const LASTING: u64 = 2;

/// How many keys a database of Redis's has. A client of ours would see its own prefix alone.
async fn keys(url: &str) -> u64 {
    let rest = url.strip_prefix("redis://").unwrap();
    let (rest, number) = rest.rsplit_once('/').unwrap();
    let (user, address) = rest.rsplit_once('@').unwrap_or(("", rest));
    let password = user.split_once(':').map_or("", |it| it.1);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let login = if password.is_empty() {
        "PING".into()
    } else {
        format!("AUTH {password}")
    };
    let commands = format!("{login}\r\nSELECT {number}\r\nDBSIZE\r\nQUIT\r\n");
    stream.write_all(commands.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let count = answers.lines().find_map(|it| it.strip_prefix(':'));
    count
        .unwrap_or_else(|| panic!("{answers}"))
        .parse()
        .unwrap()
}

async fn measure(service: &Service, query: &str) -> Value {
    service.get(&format!("{PATH}?{query}")).await.ok()
}

/// The rows of a report by component and case.
fn cases(report: &Value) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let rows = report["results"].as_array().unwrap().iter();
    let mut names: Vec<_> = rows
        .map(|it| (text(&it["component"]), text(&it["case"])))
        .collect();
    names.dedup();
    names
}

#[actix_web::test]
async fn everything_is_measured_in_the_schema_of_the_command() {
    let (service, _database, _redis) = service().await;
    let report = measure(&service, "iterations=10").await;
    assert_eq!(report["schema"], "ruleiq-bench/1");
    assert_eq!(report["partial"], false, "{:?}", report["warnings"]);
    let expected: Vec<_> = Benchmark::new(ruleiq_cases())
        .case_names()
        .into_iter()
        .map(|it| (it.component, it.case))
        .collect();
    assert_eq!(cases(&report), expected);
    for row in report["results"].as_array().unwrap() {
        assert_ne!(row["verdict"], "invalid", "{row}");
        assert_eq!(row["counts"]["ok"], 10, "{row}");
        assert_eq!(row["counts"]["wrong"], 0, "{row}");
        assert_eq!(row["rounds"].as_array().unwrap().len(), 10, "{row}");
        // The process serves others, so that no CPU time is the run's alone.
        assert_ne!(row["metric"], "cpu_per_op", "{row}");
        assert_eq!(row["cpu"], serde_json::json!({}), "{row}");
    }
    let again: ruleiq_bench::report::Report = serde_json::from_value(report).unwrap();
    assert_eq!(again.kind, ruleiq_bench::report::Kind::Measure);
}

#[actix_web::test]
async fn a_figure_comes_with_its_interval_and_its_summary() {
    // One case, so that a busy machine has the whole time for it.
    let mut cases = ruleiq_cases();
    cases.truncate(1);
    let (service, _database, _redis) = service_with(cases).await;
    let report = measure(&service, "component=database&iterations=2000").await;
    let rows = report["results"].as_array().unwrap();
    for metric in ["latency_p50", "latency_p95", "latency_mean", "throughput"] {
        let row = rows.iter().find(|it| it["metric"] == metric);
        let row = row.unwrap_or_else(|| panic!("no {metric}: {report}"));
        let figure = |name: &str| {
            row[name]
                .as_f64()
                .unwrap_or_else(|| panic!("{name}: {row}"))
        };
        assert!(figure("ci_low") <= figure("value"), "{row}");
        assert!(figure("value") <= figure("ci_high"), "{row}");
    }
    let first = &rows[0];
    assert!(
        first["summary"]["throughput"].as_f64().unwrap() > 0.0,
        "{first}"
    );
    let with_histogram = rows.iter().filter(|it| it["histogram"].is_string());
    assert_eq!(with_histogram.count(), 1, "{report}");
}

#[actix_web::test]
async fn one_component_and_one_iteration_are_enough() {
    let (service, _database, _redis) = service().await;
    for component in ["database", "cache", "pools", "compression"] {
        let report = measure(&service, &format!("component={component}&iterations=1")).await;
        assert_eq!(report["partial"], false, "{:?}", report["warnings"]);
        let cases = cases(&report);
        assert!(!cases.is_empty());
        assert!(cases.iter().all(|it| it.0 == component), "{cases:?}");
    }
}

#[actix_web::test]
async fn nothing_but_a_bearer_token_opens_it() {
    let (service, _database, _redis) = service().await;
    let nobody = service.send(Method::GET, PATH, None).await;
    nobody.is_problem(401, "token_missing");
    let eve = service.send(Method::GET, PATH, Some("eve")).await;
    eve.is_problem(403, "forbidden");
    let root = || TestRequest::with_uri(PATH).insert_header(("x-user", "root"));
    for request in [
        root(),
        root().insert_header(("cookie", "session=root")),
        root().insert_header(("authorization", "Basic cm9vdDpyb290")),
        root().insert_header(("authorization", "Bearer")),
    ] {
        let routes = |config: &mut _| service.performance.configure(config);
        let answer = send_as_is(routes, request).await;
        answer.is_problem(401, "token_missing");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for method in [Method::HEAD, Method::POST] {
        let answer = service.send(method, PATH, Some("root")).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("allow"), "GET");
    }
}

#[actix_web::test]
async fn what_makes_no_sense_is_refused() {
    let (service, _database, _redis) = service().await;
    for (query, code) in [
        ("iterations=0", "invalid_iterations"),
        ("iterations=10001", "invalid_iterations"),
        ("iterations=-1", "invalid_query"),
        ("iterations=many", "invalid_query"),
        ("iterations=", "invalid_query"),
        ("iterations=1.5", "invalid_query"),
        ("iterations=99999999999999999999", "invalid_query"),
        ("component=engine", "unknown_component"),
        ("component=", "unknown_component"),
        ("component=ALL", "unknown_component"),
        ("case=set", "invalid_query"),
    ] {
        let answer = service.get(&format!("{PATH}?{query}")).await;
        answer.is_problem(400, code);
    }
    let answer = service.get(&format!("{PATH}?component=engine")).await;
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("database, cache, pools, compression, all"),
        "{detail}"
    );
}

#[actix_web::test]
async fn turned_off_it_says_how_to_turn_it_on() {
    let (service, _database, _redis) = Service::start().await;
    service
        .get(PATH)
        .await
        .is_problem(403, "benchmark_disabled");
    let off = Service::with(&service.pools, "off", |it| {
        it.benchmark(Benchmark::disabled("set `FAST=true`"))
    });
    let answer = off.get(PATH).await;
    answer.is_problem(403, "benchmark_disabled");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("set `FAST=true`"), "{detail}");
}

#[actix_web::test]
async fn a_second_run_is_refused_until_the_first_has_ended() {
    let (service, _database, _redis) = service().await;
    let path = format!("{PATH}?component=database&iterations=2000");
    let first = service.get(&path);
    let second = async {
        // It is polled after the first one, which has its turn by then.
        service.get(&format!("{PATH}?iterations=1")).await
    };
    let (first, second) = futures_util::join!(first, second);
    second.is_problem(409, "benchmark_running");
    first.ok();
    measure(&service, "component=pools&iterations=1").await;
}

#[actix_web::test]
async fn it_stays_away_from_a_busy_pool() {
    let (service, _database, _redis) = service().await;
    let first = service.pools.session().await.unwrap();
    measure(&service, "component=pools&iterations=1").await;
    let second = service.pools.session().await.unwrap();
    let answer = service.get(PATH).await;
    answer.is_problem(503, "pool_busy");
    assert_eq!(answer.header("retry-after"), "1");
    drop((first, second));
    eventually(A_WHILE, || async {
        service
            .get(&format!("{PATH}?component=pools&iterations=1"))
            .await
            .status
            == 200
    })
    .await;
}

#[actix_web::test]
async fn a_large_pool_lends_two_connections_and_no_more() {
    let (_, database, redis) = service().await;
    let config = PostgresConfig {
        size: NonZeroUsize::new(10).unwrap(),
        max_overflow: 20,
        ..postgres(database.app_url())
    };
    let pools = pools(config, redis.url());
    let service = measuring(&pools, redis.prefix(), ruleiq_cases());
    let report = measure(&service, "component=database&iterations=300").await;
    let rows = report["results"].as_array().unwrap();
    assert!(
        rows.iter().all(|it| it["settings"]["tasks"] == 2),
        "{rows:?}"
    );
    let database = pools.stats().database.unwrap();
    assert_eq!(database.checked_in, 2, "{database:?}");
}

#[actix_web::test]
async fn at_its_limit_it_answers_what_it_has() {
    let (service, _database, _redis) = service().await;
    let path = format!("{PATH}?iterations=10000");
    let within = |time| {
        let scope = Scope::builder().deadline(Instant::now() + time).build();
        scope.run(service.get(&path))
    };
    let report = within(Duration::from_millis(2_700)).await.ok();
    assert_eq!(report["partial"], true);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("its time was up"), "{warnings}");
    assert!(!cases(&report).is_empty());
    within(Duration::from_secs(1))
        .await
        .is_problem(504, "deadline_exceeded");
}

#[actix_web::test]
async fn nothing_of_a_run_is_left_in_redis() {
    let (_, database, redis) = service().await;
    let url = alone(&redis, 6);
    let service = measuring(
        &pools(postgres(database.app_url()), &url),
        "mine",
        ruleiq_cases(),
    );
    measure(&service, "component=cache&iterations=50").await;
    eventually(FORGOTTEN, || async { keys(&url).await <= LASTING }).await;
}

#[actix_web::test]
async fn a_caller_who_leaves_takes_the_run_along() {
    let (_, database, redis) = service().await;
    let url = alone(&redis, 7);
    let service = measuring(
        &pools(postgres(database.app_url()), &url),
        "mine",
        ruleiq_cases(),
    );
    for component in ["database", "cache", "compression", "pools"] {
        let path = format!("{PATH}?component={component}&iterations=10000");
        let run = service.get(&path);
        let left: Result<Answer, _> = tokio::time::timeout(Duration::from_millis(300), run).await;
        // A run that was done by then is no harm.
        drop(left);
        eventually(FORGOTTEN, || async {
            let database = service.pools.stats().database.unwrap();
            database.checked_out == 0 && keys(&url).await <= LASTING
        })
        .await;
        eventually(A_WHILE, || async {
            service
                .get(&format!("{PATH}?component=pools&iterations=1"))
                .await
                .status
                == 200
        })
        .await;
    }
}

#[actix_web::test]
async fn a_service_without_data_or_redis_is_told_what_is_missing() {
    let database = TestDatabase::migrated().await;
    let only = PoolManager::builder().postgres(postgres(database.app_url()));
    let service = measuring(&only.build().unwrap(), "mine", ruleiq_cases());
    let report = measure(&service, "iterations=10").await;
    assert_eq!(report["partial"], true);
    let warnings = report["warnings"].to_string();
    let no_data = "`database/simple_select` could not be measured: the database has no data for it";
    assert!(warnings.contains(no_data), "{warnings}");
    assert!(cases(&report).contains(&("pools".into(), "checkout".into())));
    let _cache: CacheManager = service.cache;
}
