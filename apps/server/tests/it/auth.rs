use std::time::Duration;

use reqwest::Method;
use ruleiq_test_support::eventually;
use serde_json::json;
use tokio_postgres::Client;

use crate::server::{PASSWORD, Server, json_of, problem_of, text};

async fn refresh(server: &Server, token: &str) -> reqwest::Response {
    server
        .request(Method::POST, "/api/v1/auth/refresh")
        .json(&json!({ "refresh_token": token }))
        .send()
        .await
        .unwrap()
}

async fn log_out(server: &Server, token: &str) -> reqwest::Response {
    server
        .request(Method::POST, "/api/v1/auth/logout")
        .json(&json!({ "refresh_token": token }))
        .send()
        .await
        .unwrap()
}

/// Waits until so many sessions of the database wait for locks.
async fn waiting(watcher: &Client, count: i64) {
    eventually(Duration::from_secs(20), || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let row = watcher.query_one(waiting, &[]).await.unwrap();
        row.get::<_, i64>(0) == count
    })
    .await;
}

#[tokio::test]
async fn a_user_registers_logs_in_and_refreshes() {
    let server = Server::start().await;
    let ada = server.user("ada").await;

    let user = json_of(
        server.get(&ada, &format!("/api/v1/users/{}", ada.id)).await,
        200,
    )
    .await;
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["is_admin"], false);
    assert!(user.get("password_hash").is_none());

    let pair = json_of(server.try_login("  ADA@example.com ", PASSWORD).await, 200).await;
    let next = json_of(refresh(&server, &text(&pair, "/refresh_token")).await, 200).await;
    assert_eq!(next["token_type"], "Bearer");
    assert_eq!(next["expires_in"], 900);
    assert_ne!(next["refresh_token"], pair["refresh_token"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same() {
    let server = Server::start().await;
    server.user("ada").await;

    let wrong = server
        .try_login("ada@example.com", "wrong horse battery")
        .await;
    let unknown = server
        .try_login("eve@example.com", "wrong horse battery")
        .await;
    let seeded = server
        .try_login("a\0b@example.com", "wrong horse battery")
        .await;

    let wrong = problem_of(wrong, 401, "login_failed").await;
    assert_eq!(problem_of(unknown, 401, "login_failed").await, wrong);
    assert_eq!(problem_of(seeded, 401, "login_failed").await, wrong);
}

#[tokio::test]
async fn a_refresh_token_that_comes_back_ends_the_whole_login() {
    let server = Server::start().await;
    server.user("ada").await;
    let first = json_of(server.try_login("ada@example.com", PASSWORD).await, 200).await;
    let other = json_of(server.try_login("ada@example.com", PASSWORD).await, 200).await;
    let first = text(&first, "/refresh_token");
    let second = text(
        &json_of(refresh(&server, &first).await, 200).await,
        "/refresh_token",
    );

    problem_of(refresh(&server, &first).await, 401, "refresh_failed").await;
    problem_of(refresh(&server, &second).await, 401, "refresh_failed").await;

    let other = refresh(&server, &text(&other, "/refresh_token")).await;
    assert_eq!(other.status(), 200, "another login goes on");
}

#[tokio::test]
async fn of_two_that_spend_a_refresh_token_at_once_one_succeeds() {
    let server = Server::start().await;
    server.user("ada").await;
    let pair = json_of(server.try_login("ada@example.com", PASSWORD).await, 200).await;
    let token = text(&pair, "/refresh_token");

    let attempts = (0..8).map(|_| refresh(&server, &token));
    let answers = futures_util::future::join_all(attempts).await;

    let succeeded = answers.iter().filter(|it| it.status() == 200).count();
    assert_eq!(succeeded, 1);
    assert!(
        answers
            .iter()
            .all(|it| it.status() == 200 || it.status() == 401)
    );
}

#[tokio::test]
async fn logging_out_ends_the_login() {
    let server = Server::start().await;
    server.user("ada").await;
    let pair = json_of(server.try_login("ada@example.com", PASSWORD).await, 200).await;
    let token = text(&pair, "/refresh_token");

    for _ in 0..2 {
        assert_eq!(log_out(&server, &token).await.status(), 204);
    }
    problem_of(refresh(&server, &token).await, 401, "refresh_failed").await;
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let server = Server::start_with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "3")]).await;
    for _ in 0..3 {
        let refused = server
            .try_login("eve@example.com", "wrong horse battery")
            .await;
        assert_eq!(refused.status(), 401);
    }

    let limited = server
        .try_login("eve@example.com", "wrong horse battery")
        .await;

    let wait: u64 = limited.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    problem_of(limited, 429, "too_many_attempts").await;
    let other = server
        .try_login("mallory@example.com", "wrong horse battery")
        .await;
    assert_eq!(other.status(), 401);
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_by_field() {
    let server = Server::start().await;
    server.user("ada").await;
    let register = |email: &str, password: &str, name: &str| {
        let body = json!({ "email": email, "password": password, "full_name": name });
        server
            .request(Method::POST, "/api/v1/auth/register")
            .json(&body)
            .send()
    };
    for (email, password, name, detail) in [
        ("nobody", PASSWORD, "N", "`email` is not an address"),
        (
            "a b@example.com",
            PASSWORD,
            "N",
            "`email` is not an address",
        ),
        (
            "a@b@example.com",
            PASSWORD,
            "N",
            "`email` is not an address",
        ),
        (
            "b@example.com",
            "short",
            "N",
            "`password` has to have 12 to 128 characters",
        ),
        (
            "b@example.com",
            PASSWORD,
            " ",
            "`full_name` has 0 characters, expected 1 to 200",
        ),
        (
            "b\u{0}@example.com",
            PASSWORD,
            "N",
            "`email` holds a control character",
        ),
    ] {
        let response = register(email, password, name).await.unwrap();
        assert_eq!(problem_of(response, 422, "invalid_field").await, detail);
    }
    let taken = register("Ada@Example.com", PASSWORD, "Another")
        .await
        .unwrap();
    problem_of(taken, 409, "email_taken").await;
}

#[tokio::test]
async fn a_login_that_ends_while_it_is_refreshed_ends_wholly() {
    let server = Server::start().await;
    server.user("ada").await;
    let pair = json_of(server.try_login("ada@example.com", PASSWORD).await, 200).await;
    let token = text(&pair, "/refresh_token");
    // Holds the refresh up after it has spent the token and before it has stored the next one.
    let mut holder = server.database.client().await;
    holder
        .batch_execute(
            "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM pg_advisory_xact_lock(1);
                 RETURN NEW;
             END $$;
             CREATE TRIGGER wait_here BEFORE INSERT ON refresh_tokens
                 FOR EACH ROW EXECUTE FUNCTION wait_here();",
        )
        .await
        .unwrap();
    let lock = holder.transaction().await.unwrap();
    lock.execute("SELECT pg_advisory_xact_lock(1)", &[])
        .await
        .unwrap();
    let watcher = server.database.client().await;
    let release = async {
        waiting(&watcher, 2).await;
        lock.commit().await.unwrap();
    };
    let logout = async {
        waiting(&watcher, 1).await;
        log_out(&server, &token).await
    };

    let (refreshed, logged_out, ()) =
        futures_util::join!(refresh(&server, &token), logout, release);

    assert_eq!(logged_out.status(), 204);
    let next = text(&json_of(refreshed, 200).await, "/refresh_token");
    problem_of(refresh(&server, &next).await, 401, "refresh_failed").await;
}
