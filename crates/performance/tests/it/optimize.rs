//! `POST …/database/optimize`.

use actix_web::test::TestRequest;
use ruleiq_performance::pools::PoolManager;
use ruleiq_test_support::{TestDatabase, TestRedis};
use serde_json::{Value, json};

use crate::{
    document::{assert_describes, document},
    service::{Answer, Service, pools, postgres, send_as_is},
};

const PATH: &str = "/api/v1/performance/database/optimize";

async fn post(service: &Service, user: Option<&str>, body: &str) -> Answer {
    let mut request = TestRequest::post()
        .uri(PATH)
        .insert_header(("content-type", "application/json"))
        .set_payload(body.to_owned());
    if let Some(user) = user {
        let token = ("authorization", format!("Bearer {user}"));
        request = request.insert_header(("x-user", user)).insert_header(token);
    }
    send_as_is(|config| service.performance.configure(config), request).await
}

async fn ask(service: &Service, body: &Value) -> Answer {
    post(service, Some("root"), &body.to_string()).await
}

/// A service that may change its database.
async fn start() -> (Service, TestDatabase, TestRedis) {
    let (database, redis) = (TestDatabase::migrated().await, TestRedis::namespace().await);
    let service = {
        let own = pools(postgres(database.app_url()), redis.url());
        let admin = PoolManager::builder()
            .postgres(postgres(database.url()))
            .build()
            .unwrap();
        Service::with(&own, redis.prefix(), |builder| builder.maintenance(admin))
    };
    let table = "CREATE TABLE t (a int, \"B\" int); INSERT INTO t SELECT 1, 2; ANALYZE t";
    database.client().await.batch_execute(table).await.unwrap();
    (service, database, redis)
}

async fn indexes(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT indexrelid::regclass::text FROM pg_index
               WHERE indrelid = 't'::regclass AND indisvalid ORDER BY 1";
    let rows = database.client().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[actix_web::test]
async fn an_index_is_planned_then_made_and_then_there() {
    let (service, database, _redis) = start().await;
    let asked = json!({ "action": "create_index", "table": "t", "columns": ["a", "\"B\""] });

    let planned = ask(&service, &asked).await.ok();

    assert_eq!(planned["state"], "planned", "{planned}");
    assert_eq!(planned["plan"]["obstacles"], json!([]), "{planned}");
    assert_eq!(indexes(&database).await, [""; 0]);
    let mut really = asked.clone();
    really["dry_run"] = json!(false);
    let done = ask(&service, &really).await.ok();
    assert_eq!(
        (&done["state"], &done["statements"]),
        (&json!("done"), &planned["statements"])
    );
    assert_eq!(done["index"]["outcome"], "created", "{done}");
    assert_eq!(done["index"]["observation"], "watched", "{done}");
    assert_eq!(done["index"]["settings_restored"], true, "{done}");
    assert_eq!(indexes(&database).await, ["\"idx_t_a_B\""]);
    let again = ask(&service, &really).await.ok();
    assert_eq!(again["index"]["outcome"], "exists", "{again}");
    let document = document();
    let schema = json!({ "$ref": "#/components/schemas/Optimized" });
    for answer in [&planned, &done] {
        assert_describes(&document, &schema, answer);
    }
}

#[actix_web::test]
async fn a_table_is_vacuumed_and_analyzed() {
    let (service, database, _redis) = start().await;
    for (action, statement) in [
        ("vacuum", "VACUUM public.t"),
        ("analyze", "ANALYZE public.t"),
    ] {
        let planned = ask(&service, &json!({ "action": action, "table": "t" }))
            .await
            .ok();
        assert_eq!(planned["statements"], json!([statement]));
        let really = json!({ "action": action, "table": "t", "dry_run": false });
        let done = ask(&service, &really).await.ok();
        assert_eq!(
            (&done["state"], &done["statements"]),
            (&json!("done"), &json!([statement]))
        );
    }
    let sql = "SELECT pg_stat_get_last_vacuum_time('t'::regclass) IS NOT NULL";
    let row = database.client().await.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[actix_web::test]
async fn without_a_connection_for_it_the_answer_is_the_sql() {
    let (service, database, _redis) = Service::start().await;
    let client = database.client().await;
    client
        .batch_execute("CREATE TABLE t (a int)")
        .await
        .unwrap();
    let asked =
        json!({ "action": "create_index", "table": "t", "columns": ["a"], "dry_run": false });
    let answer = ask(&service, &asked).await;
    answer.is_problem(409, "no_maintenance_connection");
    let detail = answer.body["detail"].as_str().unwrap();
    let (_, script) = detail.split_once(":\n").unwrap();
    for sql in script.split(";\n") {
        client.batch_execute(sql).await.unwrap();
    }
    assert_eq!(indexes(&database).await, ["idx_t_a"]);
    let vacuum = json!({ "action": "vacuum", "table": "t", "dry_run": false });
    let answer = ask(&service, &vacuum).await;
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .ends_with("\nVACUUM public.t;"),
        "{answer:?}"
    );
}

#[actix_web::test]
async fn only_an_administrators_token_opens_it_and_a_faulty_body_is_told() {
    let (service, _database, _redis) = start().await;
    post(&service, None, "nonsense")
        .await
        .is_problem(401, "token_missing");
    post(&service, Some("eve"), "nonsense")
        .await
        .is_problem(403, "forbidden");
    let cookie = TestRequest::post()
        .uri(PATH)
        .insert_header(("x-user", "root"));
    let routes = |config: &mut _| service.performance.configure(config);
    send_as_is(routes, cookie)
        .await
        .is_problem(401, "token_missing");
    let large = format!(r#"{{"action":"vacuum","table":"{}"}}"#, "t".repeat(17_000));
    let faulty = [
        ("", 400, "malformed_json"),
        ("nonsense", 400, "malformed_json"),
        ("{}", 422, "invalid_body"),
        (r#"{"action":"drop","table":"t"}"#, 422, "invalid_body"),
        (r#"{"action":"vacuum"}"#, 422, "invalid_body"),
        (
            r#"{"action":"vacuum","table":"t","columns":["a"]}"#,
            422,
            "invalid_body",
        ),
        (
            r#"{"action":"vacuum","table":"t","dryrun":false}"#,
            422,
            "invalid_body",
        ),
        (
            r#"{"action":"create_index","table":"t"}"#,
            422,
            "invalid_body",
        ),
        (
            r#"{"action":"create_index","table":"t; DROP TABLE t","columns":["a"],"dry_run":false}"#,
            422,
            "invalid_body",
        ),
        (
            r#"{"action":"create_index","table":"t","columns":["a) --"],"dry_run":false}"#,
            422,
            "invalid_body",
        ),
        (&large, 413, "body_too_large"),
    ];
    for (body, status, code) in faulty {
        let answer = post(&service, Some("root"), body).await;
        answer.is_problem(status, code);
    }
    let form = TestRequest::post()
        .uri(PATH)
        .insert_header(("x-user", "root"))
        .insert_header(("authorization", "Bearer root"))
        .insert_header(("content-type", "application/x-www-form-urlencoded"))
        .set_payload(r#"{"action":"vacuum","table":"t"}"#);
    let routes = |config: &mut _| service.performance.configure(config);
    send_as_is(routes, form).await.is_problem(415, "not_json");
    for (action, column, code) in [
        ("create_index", json!(["c"]), "unknown_column"),
        ("create_index", json!(["b"]), "unknown_column"),
    ] {
        let asked = json!({ "action": action, "table": "t", "columns": column });
        ask(&service, &asked).await.is_problem(404, code);
    }
    let asked = json!({ "action": "vacuum", "table": "no_such_table", "dry_run": false });
    ask(&service, &asked).await.is_problem(404, "unknown_table");
    let get = service.get(PATH).await;
    get.is_problem(405, "method_not_allowed");
    assert_eq!(get.header("allow"), "POST");
}

#[actix_web::test]
async fn what_is_in_the_way_is_told() {
    let (database, redis) = (TestDatabase::migrated().await, TestRedis::namespace().await);
    let own = pools(postgres(database.app_url()), redis.url());
    let weak = PoolManager::builder()
        .postgres(postgres(database.app_url()))
        .build()
        .unwrap();
    let service = Service::with(&own, redis.prefix(), |builder| builder.maintenance(weak));
    let asked = json!({
        "action": "create_index", "table": "users", "columns": ["created_at"], "dry_run": false,
    });
    let answer = ask(&service, &asked).await;
    answer.is_problem(409, "in_the_way");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("may not do this to `public.users`"),
        "{detail}"
    );
}
