//! How serving ends.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use ruleiq_test_support::eventually;

use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_server_that_is_told_to_stop_drains_and_loses_no_request() {
    let mut server = Server::start_with(&[("DRAIN_DELAY", "1")]).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    // A lock on the row keeps these requests in flight until the test lets them go.
    let mut holder = server.database.client().await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("SELECT 1 FROM assessment_sessions FOR UPDATE", &[])
        .await
        .unwrap();
    let address = Arc::new(format!(
        "http://{}/api/v1/assessments/{id}/complete",
        server.address
    ));
    let in_flight: Vec<_> = (0..3)
        .map(|_| {
            let request = server
                .client
                .post(address.as_str())
                .bearer_auth(&ada.token)
                .json(&serde_json::json!({}));
            tokio::spawn(request.send())
        })
        .collect();
    let watcher = server.database.client().await;
    eventually(PATIENCE, || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        watcher
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 3
    })
    .await;

    server.signal("TERM");

    eventually(PATIENCE, || async {
        let probe = server.request(Method::GET, "/readyz").send().await;
        probe.is_ok_and(|it| it.status() == 503)
    })
    .await;
    let live = server.request(Method::GET, "/livez").send().await.unwrap();
    assert_eq!(live.status(), 200, "while it drains, it serves");
    eventually(PATIENCE, || async {
        server.request(Method::GET, "/livez").send().await.is_err()
    })
    .await;
    lock.commit().await.unwrap();
    for request in in_flight {
        let response = request
            .await
            .unwrap()
            .expect("a request in flight is answered");
        assert_eq!(response.status(), 409, "its questions have no answers");
    }
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_idle_server_ends_cleanly_at_either_signal() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start().await;
        assert_eq!(
            server
                .request(Method::GET, "/livez")
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
        server.signal(signal);
        assert_eq!(server.exit_code().await, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    // Longer than this test waits.
    let mut server = Server::start_with(&[("DRAIN_DELAY", "600")]).await;
    server.signal("TERM");
    eventually(PATIENCE, || async {
        let probe = server.request(Method::GET, "/readyz").send().await;
        probe.is_ok_and(|it| it.status() == 503)
    })
    .await;
    server.signal("INT");
    assert_eq!(server.exit_code().await, Some(1));
}

#[tokio::test]
async fn a_request_that_does_not_end_holds_the_server_no_longer_than_its_grace() {
    let mut server = Server::start_with(&[("SHUTDOWN_GRACE", "1")]).await;
    let ada = server.user("ada").await;
    let id = server.assessment(&ada, 1).await;
    let mut holder = server.database.client().await;
    let lock = holder.transaction().await.unwrap();
    lock.execute("SELECT 1 FROM assessment_sessions FOR UPDATE", &[])
        .await
        .unwrap();
    let request = server
        .client
        .post(format!(
            "http://{}/api/v1/assessments/{id}/complete",
            server.address
        ))
        .bearer_auth(&ada.token)
        .json(&serde_json::json!({}));
    let stuck = tokio::spawn(request.send());
    let watcher = server.database.client().await;
    eventually(PATIENCE, || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        watcher
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 1
    })
    .await;

    server.signal("TERM");

    assert_eq!(server.exit_code().await, Some(0));
    assert!(stuck.await.unwrap().is_err());
    drop(lock);
}
