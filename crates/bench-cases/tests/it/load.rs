//! The plain server, and what is measured on it. No other servers are needed.

use std::{path::Path, time::Duration};

use ruleiq_bench::{
    Budget, Fault, Process,
    cpu::{Clocks, Servers},
    load::{Client, Expectation, Limits, PreparedRequest, Target},
};
use ruleiq_bench_cases::{
    client_check::{StallPlan, stall},
    curve::{CurvePlan, curve},
    http_server::fetch,
    plain_server::{Compressor, NULL, PlainPlan, PlainRoute, PlainServer, SERVED, Stall},
};

const BODY: &[u8] = b"plainly plainly plainly plainly plainly plainly plainly plainly";

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bench-cases"))
}

fn start(routes: &[PlainRoute]) -> PlainServer {
    PlainServer::start(program(), routes).unwrap()
}

fn target(server: &PlainServer, request: PreparedRequest, expect: Expectation) -> Target {
    Target {
        address: server.address(),
        requests: vec![request],
        expect,
    }
}

async fn answers(server: &PlainServer, request: PreparedRequest, expect: Expectation) {
    let target = target(server, request, expect);
    let mut client = Client::connect(target, 2, Limits::default()).await.unwrap();
    let tally = client.closed_loop(Budget::Operations(20)).await.unwrap();
    assert_eq!(tally.operations, 20, "{:?}", tally.errors);
}

#[tokio::test]
async fn the_plain_server_answers_with_what_it_was_given() {
    let server = start(&[
        PlainRoute::new("/a", "text/plain", BODY),
        PlainRoute::new("/b", "text/plain", BODY).compressed(Compressor::Framework),
    ]);
    let get = |path| PreparedRequest::get(path).unwrap();
    answers(&server, get("/a?page=2"), Expectation::body(200, BODY)).await;
    answers(&server, get(NULL), Expectation::body(200, b"")).await;
    answers(&server, get("/c"), Expectation::status(404)).await;

    // Only the one behind `Compress` encodes, and only for those who take it.
    answers(&server, get("/b"), Expectation::body(200, BODY)).await;
    let taking = |path| get(path).header("accept-encoding", "gzip").unwrap();
    answers(&server, taking("/a"), Expectation::body(200, BODY)).await;
    let shorter = target(&server, taking("/b"), Expectation::body(200, BODY));
    let fault = Client::connect(shorter, 1, Limits::default()).await;
    assert!(matches!(fault, Err(Fault::Wrong(_))), "{fault:?}");
}

#[tokio::test]
async fn the_plain_server_counts_what_its_routes_answer() {
    let plan = PlainPlan {
        counts: true,
        routes: vec![PlainRoute::new("/a", "text/plain", BODY)],
        ..PlainPlan::default()
    };
    let server = PlainServer::start_with(program(), &plan).unwrap();
    let served = async || {
        let told = fetch(server.address(), SERVED, &[]).await.unwrap();
        String::from_utf8_lossy(&told.body).into_owned()
    };
    assert_eq!(served().await, "0");
    let get = |path| PreparedRequest::get(path).unwrap();
    answers(&server, get("/a"), Expectation::body(200, BODY)).await;
    let once = served().await;
    answers(&server, get(NULL), Expectation::body(200, b"")).await;
    assert_eq!(served().await, once);
    // Two that looked at the first answer, and twenty.
    assert!(once.parse::<u64>().unwrap() >= 20, "{once}");
}

#[tokio::test]
async fn the_plain_server_ends_with_its_handle() {
    let server = start(&[]);
    let clocks = Clocks::new(Servers::default(), &[(Process::Server, server.pid())]);
    assert!(clocks.before().is_ok());
    let address = server.address();
    drop(server);
    assert!(clocks.before().is_err());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[test]
fn a_plan_that_cannot_be_obeyed_is_refused() {
    let mut route = PlainRoute::new("/a", "text/plain", BODY);
    route.body_base64 = "no base64!".into();
    let told = PlainServer::start(program(), &[route])
        .unwrap_err()
        .to_string();
    assert!(told.contains("did not start"), "{told}");
    let nowhere = PlainServer::start_with(Path::new("/nowhere"), &PlainPlan::default());
    assert!(nowhere.unwrap_err().to_string().contains("/nowhere"));
}

#[tokio::test]
async fn a_curve_has_both_ceilings_and_a_point_for_each_share() {
    let server = start(&[PlainRoute::new("/a", "text/plain", BODY)]);
    let get = PreparedRequest::get("/a").unwrap();
    let plan = CurvePlan {
        component: "http".into(),
        case: "plain".into(),
        side: "actix-web".into(),
        target: target(&server, get, Expectation::body(200, BODY)),
        clocks: Clocks::new(Servers::default(), &[(Process::Server, server.pid())]),
        plain: server.address(),
        connections: 4,
        // Nothing is slower: how fast this machine is must not matter.
        bound: Duration::from_secs(60),
        slice: Duration::from_millis(200),
        refine: false,
        repeats: 2,
        seed: 42,
    };
    let curve = curve(plan).await.unwrap();
    assert!(curve.ceiling > 0.0 && curve.client_ceiling > 0.0);
    let shares: Vec<f64> = curve.points.iter().map(|it| it.share).collect();
    assert_eq!(shares, [0.25, 0.5, 0.7, 0.9]);
    let repeats: Vec<f64> = curve.repeats.iter().map(|it| it.share).collect();
    assert_eq!(repeats, [0.7, 0.7]);
    for point in curve.points.iter().chain(&curve.repeats) {
        let counts = &point.counts;
        assert!(counts.errors.is_empty(), "{counts:?}");
        assert_eq!(counts.wrong, 0);
        assert_eq!(counts.ok + counts.censored + counts.skipped, counts.ops);
        assert!(point.cpu["server"] > 0.0);
        assert!(point.latency_us["max"] >= point.service_us["max"] * 0.999);
    }
}

#[tokio::test]
async fn a_stall_shows_in_the_open_loop_alone() {
    let plan = StallPlan {
        connections: 2,
        stall: Stall {
            at_request: 100,
            for_ms: 400,
        },
        rate: 400.0,
        time_ms: 1_500,
    };
    let seen = stall(program(), &plan).await.unwrap();
    assert!(seen.is_shown(), "{seen:?}");
}

/// The client's check takes minutes. Ctrl-C ends it, with what it started.
#[test]
fn the_check_of_the_client_ends_when_it_is_told_to() {
    let mut check = std::process::Command::new(program())
        .args(["self-test", "client"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = check.id();
    let has_child = || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.flatten().any(|it| {
            let children = std::fs::read_to_string(it.path().join("children"));
            children.is_ok_and(|it| !it.is_empty())
        })
    };
    // From its first child on, it listens.
    for _ in 0..500 {
        if has_child() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let raw = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(raw, nix::sys::signal::Signal::SIGINT).unwrap();
    let mut status = None;
    for _ in 0..500 {
        status = check.try_wait().unwrap();
        if status.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if status.is_none() {
        check.kill().unwrap();
        check.wait().unwrap();
    }
    assert_eq!(status.and_then(|it| it.code()), Some(130));
}
