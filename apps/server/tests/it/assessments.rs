use std::time::Duration;

use reqwest::Method;
use ruleiq_test_support::eventually;
use serde_json::{Value, json};

use crate::server::{Server, User, json_of, problem_of, text};

const PATIENCE: Duration = Duration::from_secs(20);

fn answers(detail: &Value, answer: &Value) -> Value {
    let questions = detail["questions"].as_array().unwrap();
    let responses: Vec<Value> = questions
        .iter()
        .map(|it| json!({ "question_id": it["id"], "answer": answer }))
        .collect();
    json!({ "responses": responses })
}

async fn respond(server: &Server, user: &User, id: &str, body: &Value) -> reqwest::Response {
    server
        .post(user, &format!("/api/v1/assessments/{id}/responses"), body)
        .await
}

async fn complete(server: &Server, user: &User, id: &str) -> reqwest::Response {
    server
        .post(
            user,
            &format!("/api/v1/assessments/{id}/complete"),
            &json!({}),
        )
        .await
}

#[tokio::test]
async fn an_assessment_goes_from_draft_to_completed() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 2).await;

    let draft = server.detail(&ada, &id).await;
    assert_eq!(draft["status"], "draft");
    assert_eq!(draft["business_profile"]["name"], "Acme Ltd");
    assert_eq!(draft["frameworks"].as_array().unwrap().len(), 2);
    let questions = draft["questions"].as_array().unwrap();
    assert!(
        questions
            .iter()
            .enumerate()
            .all(|(n, it)| it["position"] == n + 1)
    );
    assert!(questions.iter().all(|it| it["answer"].is_null()));
    problem_of(
        complete(&server, &ada, &id).await,
        409,
        "unanswered_questions",
    )
    .await;

    let answer = json!({ "value": "implemented", "note": "naïve café ☕" });
    assert_eq!(
        respond(&server, &ada, &id, &answers(&draft, &answer))
            .await
            .status(),
        204
    );
    let answered = server.detail(&ada, &id).await;
    assert_eq!(
        answered["status"], "in_progress",
        "the cached draft is gone"
    );
    assert!(
        answered["questions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["answer"] == answer)
    );

    let completed = json_of(complete(&server, &ada, &id).await, 200).await;
    assert_eq!(completed["status"], "completed");
    assert_eq!(server.detail(&ada, &id).await["status"], "completed");
    let again = json_of(complete(&server, &ada, &id).await, 200).await;
    assert_eq!(again["completed_at"], completed["completed_at"]);
    let late = respond(&server, &ada, &id, &answers(&draft, &json!(1))).await;
    problem_of(late, 409, "assessment_closed").await;
}

#[tokio::test]
async fn of_a_batch_of_answers_all_are_stored_or_none() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let (one, other) = (
        server.assessment(&ada, 1).await,
        server.assessment(&ada, 1).await,
    );
    let (detail, foreign) = (
        server.detail(&ada, &one).await,
        server.detail(&ada, &other).await,
    );
    let mut batch = answers(&detail, &json!("yes"));
    let items = batch["responses"].as_array_mut().unwrap();
    items.push(json!({ "question_id": foreign["questions"][0]["id"], "answer": "no" }));

    let refused = problem_of(
        respond(&server, &ada, &one, &batch).await,
        422,
        "unknown_question",
    )
    .await;

    assert!(
        refused.contains(&text(&foreign, "/questions/0/id")),
        "{refused}"
    );
    let after = server.detail(&ada, &one).await;
    assert_eq!(after["status"], "draft");
    assert!(
        after["questions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["answer"].is_null())
    );
}

#[tokio::test]
async fn falsy_answers_are_answers() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    for answer in [json!(0), json!(false), json!(""), json!([]), json!({})] {
        let detail = server.detail(&ada, &id).await;
        assert_eq!(
            respond(&server, &ada, &id, &answers(&detail, &answer))
                .await
                .status(),
            204
        );
        assert_eq!(
            server.detail(&ada, &id).await["questions"][0]["answer"],
            answer
        );
    }
}

#[tokio::test]
async fn a_batch_is_bounded_and_each_question_stands_in_it_once() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    let question = text(&server.detail(&ada, &id).await, "/questions/0/id");
    let item = |answer: Value| json!({ "question_id": question, "answer": answer });
    for (responses, fault) in [
        (json!([]), "has 0 items, expected 1 to 1000"),
        (
            json!(vec![item(json!(1)); 1001]),
            "has 1001 items, expected 1 to 1000",
        ),
        (json!([item(json!(1)), item(json!(2))]), "twice"),
        (json!([item(Value::Null)]), "with null"),
    ] {
        let response = respond(&server, &ada, &id, &json!({ "responses": responses })).await;
        let detail = problem_of(response, 422, "invalid_field").await;
        assert!(detail.contains(fault), "{detail}");
    }
    let nested = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let deep = server
        .request(Method::POST, &format!("/api/v1/assessments/{id}/responses"))
        .bearer_auth(&ada.token)
        .header("Content-Type", "application/json")
        .body(format!(
            r#"{{"responses":[{{"question_id":"{question}","answer":{nested}}}]}}"#
        ));
    let detail = problem_of(deep.send().await.unwrap(), 400, "malformed_json").await;
    assert!(detail.contains("recursion limit"), "{detail}");
    let unstorable = json!({ "responses": [item(json!("a\u{0}b"))] });
    problem_of(
        respond(&server, &ada, &id, &unstorable).await,
        422,
        "unstorable_text",
    )
    .await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(server.assessment(&ada, 1).await);
    }
    made.reverse();

    let mut seen = Vec::new();
    let mut path = "/api/v1/assessments?limit=2".to_owned();
    loop {
        let page = json_of(server.get(&ada, &path).await, 200).await;
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| text(it, "/id")),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/assessments?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, made, "newest first");

    let draft = json_of(
        server.get(&ada, "/api/v1/assessments?status=draft").await,
        200,
    )
    .await;
    assert_eq!(draft["items"].as_array().unwrap().len(), 5);
    let done = json_of(
        server
            .get(&ada, "/api/v1/assessments?status=completed")
            .await,
        200,
    )
    .await;
    assert_eq!(done["items"], json!([]));
}

#[tokio::test]
async fn an_assessment_is_read_in_three_statements_and_from_the_cache_in_none() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 2).await;
    let path = format!("/api/v1/assessments/{id}");
    let statements = || async {
        let client = server.database.client().await;
        let row = client
            .query_one(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements AS statement
                 JOIN pg_database AS database ON database.oid = statement.dbid
                 WHERE datname = current_database() AND query LIKE 'SELECT%assessment_%'
                   AND query NOT LIKE '%pg_stat_statements%'",
                &[],
            )
            .await
            .unwrap();
        row.get::<_, i64>(0)
    };
    server
        .database
        .client()
        .await
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await
        .unwrap();
    server.detail(&ada, &id).await;

    let before = statements().await;
    for _ in 0..5 {
        server.detail(&ada, &id).await;
    }
    assert_eq!(statements().await - before, 0);

    for _ in 0..5 {
        let fresh = server
            .request(Method::GET, &path)
            .bearer_auth(&ada.token)
            .header("Cache-Control", "no-cache")
            .send();
        assert_eq!(fresh.await.unwrap().status(), 200);
    }
    assert_eq!(statements().await - before, 15);
}

#[tokio::test]
async fn an_assessment_needs_a_profile_of_ones_own_and_known_frameworks() {
    let server = Server::start().await;
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let (own, foreign) = (server.profile(&ada).await, server.profile(&eve).await);
    let framework = server.frameworks(&ada, 1).await.remove(0);
    let unknown = "00000000-0000-0000-0000-000000000001";
    for (profile, frameworks, fault) in [
        (&own, json!([]), "`framework_ids` has 0 items"),
        (&own, json!([framework, framework]), "twice"),
        (&own, json!([framework, unknown]), "that does not exist"),
        (&foreign, json!([framework]), "which is none of yours"),
    ] {
        let body = json!({ "business_profile_id": profile, "framework_ids": frameworks });
        let response = server.post(&ada, "/api/v1/assessments", &body).await;
        let detail = problem_of(response, 422, "invalid_field").await;
        assert!(detail.contains(fault), "{detail}");
    }
    let list = json_of(server.get(&ada, "/api/v1/assessments").await, 200).await;
    assert_eq!(
        list["items"],
        json!([]),
        "nothing is left of what was refused"
    );
}

#[tokio::test]
async fn an_answer_whose_caller_left_during_the_commit_is_seen_by_the_next_reader() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    let before = server.detail(&ada, &id).await;
    // A commit that waits for a lock, and that a cancellation lets through instead of stopping it.
    let mut holder = server.database.client().await;
    holder
        .batch_execute(
            "CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM pg_advisory_xact_lock(1);
                 RETURN NULL;
             EXCEPTION WHEN query_canceled THEN RETURN NULL;
             END $$;
             CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON assessment_responses
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_commit();",
        )
        .await
        .unwrap();
    let lock = holder.transaction().await.unwrap();
    lock.execute("SELECT pg_advisory_xact_lock(1)", &[])
        .await
        .unwrap();
    let question = before["questions"][0]["id"].clone();
    let request = server
        .request(Method::POST, &format!("/api/v1/assessments/{id}/responses"))
        .bearer_auth(&ada.token)
        .json(&json!({ "responses": [{ "question_id": question, "answer": true }] }));
    let caller = tokio::spawn(request.send());
    let watcher = server.database.client().await;
    eventually(PATIENCE, || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let row = watcher.query_one(waiting, &[]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;

    caller.abort();
    let admin = server.admin().await;
    eventually(PATIENCE, || async {
        let report = server.get(&admin, "/api/v1/performance/metrics").await;
        let report = json_of(report, 200).await;
        let operations = report["operations"].as_array().unwrap();
        let name = "POST /api/v1/assessments/{id}/responses";
        let responses = operations.iter().find(|it| it["operation"] == name);
        responses.is_some_and(|it| it["cancelled"] == 1)
    })
    .await;
    lock.commit().await.unwrap();

    eventually(PATIENCE, || async {
        server.detail(&ada, &id).await["questions"][0]["answer"] == true
    })
    .await;
}
