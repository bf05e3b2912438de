//! Twice as many requests as a worker can answer.

use std::time::Duration;

use ruleiq_bench::{
    Budget,
    load::{Arrivals, Client, Expectation, Limits, PreparedRequest, Target},
};
use tokio::time::timeout;

use super::server::{Role, Server};
use crate::soak::{is_full, report};

const CONNECTIONS: usize = 64;
/// How much of what a server without compression answers one with it has to.
const LEAST_PERCENT: u64 = 90;

fn target(server: &Server) -> Target {
    let request = PreparedRequest::get("/list/100").unwrap();
    let request = request.header("accept-encoding", "br, zstd, gzip").unwrap();
    Target {
        address: server.address,
        requests: vec![request],
        expect: Expectation::status(200),
    }
}

async fn client(server: &Server) -> Client {
    let client = Client::connect(target(server), CONNECTIONS, Limits::default()).await;
    client.unwrap()
}

async fn get(server: &Server, path: &str) -> reqwest::Response {
    let request = reqwest::Client::new()
        .get(format!("http://{}{path}", server.address))
        .header("accept-encoding", "br, zstd, gzip");
    request.send().await.unwrap()
}

/// How many responses were left as they are for the load.
async fn left_alone(server: &Server) -> u64 {
    let metrics = get(server, "/metrics").await.text().await.unwrap();
    let start = r#"ruleiq_compression_skips_total{reason="load"} "#;
    let count = metrics.lines().find_map(|it| it.strip_prefix(start));
    count.unwrap().parse().unwrap()
}

async fn is_encoded(server: &Server) -> bool {
    let response = get(server, "/list/100").await;
    response
        .headers()
        .get("content-encoding")
        .is_some_and(|it| it == "br")
}

/// Until it encodes as it does when there is little to do.
async fn until_encoded(server: &Server) {
    let encodes = async {
        while !is_encoded(server).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let encodes = timeout(Duration::from_secs(60), encodes).await;
    assert!(encodes.is_ok(), "it does not encode as before");
}

#[tokio::test]
async fn a_worker_with_too_much_to_do_compresses_less_and_then_as_before() {
    let (plain, ours) = (Server::start(Role::Plain), Server::start(Role::Ours));
    let (mut plain_client, mut ours_client) = (client(&plain).await, client(&ours).await);
    until_encoded(&ours).await;
    let (blocks, slice) = match is_full() {
        true => (6, Duration::from_secs(10)),
        false => (1, Duration::from_secs(2)),
    };
    // What it can: 64 at once leave it no pause.
    let capacity = plain_client.closed_loop(Budget::For(slice / 2)).await;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let capacity = capacity.unwrap().operations as f64 / (slice / 2).as_secs_f64();
    let mut answered = [0.0; 2];
    let mut before = 0;
    for seed in 0..blocks {
        let mut sides = [(&mut plain_client, 0), (&mut ours_client, 1)];
        if seed % 2 == 1 {
            sides.reverse();
        }
        for (client, side) in sides {
            let arrivals = Arrivals {
                rate: 2.0 * capacity,
                duration: slice,
                seed,
            };
            let outcome = client.open_loop(&arrivals).await.unwrap();
            answered[side] += outcome.answered / outcome.offered;
        }
        let now = left_alone(&ours).await;
        assert!(now > before, "it has gone on encoding");
        before = now;
        until_encoded(&ours).await;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage"
    )]
    let percent = (100.0 * answered[1] / answered[0]) as u64;
    let bar = format!(">={LEAST_PERCENT}");
    report("cpu_overload", percent, "%", &bar, percent >= LEAST_PERCENT);
}
