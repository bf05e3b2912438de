//! The load client against servers that behave badly.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ruleiq_bench::{
    Arm, Budget, Fault,
    load::{Arrivals, Client, ClosedLoop, Expectation, Limits, PreparedRequest, Target},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::Instant,
};

const BODY: &str = "hello";

/// What a server does with its `n`-th request, counted over all connections from 0.
type Conduct = fn(u64) -> Does;

enum Does {
    Answer(&'static str),
    AnswerAndClose,
    Fail,
    Hang,
    /// Everything stands still, as in a stop-the-world pause.
    Stall(Duration),
}

/// A server of its own, on a thread of its own, so that a stall stops it alone.
struct Server {
    address: SocketAddr,
    served: Arc<AtomicU64>,
}

fn serve(conduct: Conduct) -> Server {
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let (tell, told) = std::sync::mpsc::channel();
    // Ends with the test's process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                drop(tokio::spawn(converse(stream, Arc::clone(&count), conduct)));
            }
        });
    });
    Server {
        address: told.recv_timeout(Duration::from_secs(10)).unwrap(),
        served,
    }
}

async fn converse(stream: TcpStream, count: Arc<AtomicU64>, conduct: Conduct) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        match stream.read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) if line != "\r\n" => continue,
            Ok(_) => {}
        }
        let (status, close, body) = match conduct(count.fetch_add(1, Ordering::Relaxed)) {
            Does::Answer(body) => ("200 OK", "", body),
            Does::AnswerAndClose => ("200 OK", "connection: close\r\n", BODY),
            Does::Fail => ("500 Internal Server Error", "", BODY),
            Does::Hang => std::future::pending().await,
            Does::Stall(time) => {
                std::thread::sleep(time);
                ("200 OK", "", BODY)
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{close}content-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() || !close.is_empty() {
            return;
        }
    }
}

fn target(server: &Server) -> Target {
    Target {
        address: server.address,
        requests: vec![PreparedRequest::get("/").unwrap()],
        expect: Expectation::body(200, BODY.as_bytes()),
    }
}

fn arrivals(rate: f64, ms: u64) -> Arrivals {
    Arrivals {
        rate,
        duration: Duration::from_millis(ms),
        seed: 42,
    }
}

async fn client(server: &Server, connections: usize) -> Client {
    let limits = Limits::default();
    let client = Client::connect(target(server), connections, limits).await;
    client.unwrap()
}

#[tokio::test]
async fn a_closed_loop_counts_every_right_answer() {
    let server = serve(|_| Does::Answer(BODY));
    let mut arm = ClosedLoop::connect(target(&server), 4).await.unwrap();
    arm.check().await.unwrap();
    let before = server.served.load(Ordering::Relaxed);
    let tally = arm.run(Budget::Operations(1_001)).await.unwrap();
    assert_eq!(tally.operations, 1_001);
    assert_eq!(server.served.load(Ordering::Relaxed) - before, 1_001);
    assert_eq!(tally.latency.unwrap().len(), 1_001);
    assert!(tally.errors.is_empty(), "{:?}", tally.errors);
    assert_eq!(tally.wrong, 0);
    assert_eq!(tally.figures["reconnects"], 0.0);
    assert_eq!(tally.figures["reopened"], 0.0);
    assert!(tally.figures["client_busy_max"] > 0.0);
}

#[tokio::test]
async fn a_closed_loop_keeps_littles_law() {
    let server = serve(|_| Does::Answer(BODY));
    let mut arm = ClosedLoop::connect(target(&server), 8).await.unwrap();
    let slice = Budget::For(Duration::from_millis(500));
    let tally = arm.run(slice).await.unwrap();
    // The time between an answer and the next request is the client's: the law tells of it.
    assert!(
        tally.figures["littles_law_max"] < 0.5,
        "{:?}",
        tally.figures
    );
}

#[tokio::test]
async fn an_open_loop_sends_what_is_scheduled() {
    let server = serve(|_| Does::Answer(BODY));
    let mut client = client(&server, 8).await;
    let scheduled = arrivals(2_000.0, 500).schedule().unwrap().len() as u64;
    let before = server.served.load(Ordering::Relaxed);
    let seen = client.open_loop(&arrivals(2_000.0, 500)).await.unwrap();
    assert_eq!(seen.counts.ops, scheduled);
    assert_eq!(seen.counts.ok, scheduled);
    assert_eq!(server.served.load(Ordering::Relaxed) - before, scheduled);
    for histogram in [&seen.latency, &seen.service, &seen.lag, &seen.pacing] {
        assert_eq!(histogram.len(), scheduled);
    }
    assert_eq!((seen.counts.censored, seen.counts.skipped), (0, 0));
    assert_eq!(seen.reconnects, 0);
    assert!(seen.latency.mean() >= seen.service.mean());
}

/// The consequences of a server that stands still for a second, once.
#[tokio::test]
async fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() {
    fn stalling(n: u64) -> Does {
        match n {
            300 => Does::Stall(Duration::from_secs(1)),
            _ => Does::Answer(BODY),
        }
    }
    let p99 = |it: &ruleiq_bench::Histogram| it.quantile(0.99).unwrap();

    let server = serve(stalling);
    let seen = client(&server, 8)
        .await
        .open_loop(&arrivals(500.0, 3_000))
        .await
        .unwrap();
    assert!(seen.counts.errors.is_empty(), "{:?}", seen.counts);
    // A third of the requests was due while it stood still.
    let open = p99(&seen.latency);
    assert!(open > Duration::from_millis(500), "{open:?}");
    // Eight of them were sent before it was seen to stand still: those alone were slow to answer.
    let service = p99(&seen.service);
    assert!(service < open / 2, "{service:?} of {open:?}");

    let server = serve(stalling);
    let mut client = client(&server, 8).await;
    let tally = client.closed_loop(Budget::Operations(5_000)).await.unwrap();
    let latency = tally.latency.unwrap();
    assert!(latency.max().unwrap() > Duration::from_millis(900));
    let closed = p99(&latency);
    assert!(closed < Duration::from_millis(250), "{closed:?}");
}

#[tokio::test]
async fn what_is_unfinished_counts_with_its_wait() {
    let server = serve(|n| match n {
        0..10 => Does::Answer(BODY),
        _ => Does::Hang,
    });
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut client = Client::connect(target(&server), 2, limits).await.unwrap();
    let seen = client.open_loop(&arrivals(200.0, 500)).await.unwrap();
    let counts = &seen.counts;
    assert_eq!((counts.ok, counts.censored), (8, 2));
    assert_eq!(counts.ok + counts.censored + counts.skipped, counts.ops);
    assert!(counts.skipped > 10, "{counts:?}");
    assert_eq!(seen.latency.len(), counts.ops);
    assert_eq!(seen.service.len(), 8);
    assert!(seen.latency.max().unwrap() > Duration::from_millis(100));
    assert!(seen.answered < 0.99 * seen.offered);
}

#[tokio::test]
async fn a_wrong_body_fails_at_once_or_is_counted() {
    let server = serve(|_| Does::Answer("jello"));
    let fault = ClosedLoop::connect(target(&server), 1).await.unwrap_err();
    assert!(matches!(fault, Fault::Wrong(_)), "{fault}");

    // Its length alone gives it away, in every answer.
    let server = serve(|n| Does::Answer(if n < 2 { BODY } else { "hell" }));
    let mut client = client(&server, 2).await;
    let tally = client.closed_loop(Budget::Operations(10)).await.unwrap();
    assert_eq!((tally.operations, tally.wrong), (0, 10));
    let counts = client
        .open_loop(&arrivals(200.0, 200))
        .await
        .unwrap()
        .counts;
    assert_eq!((counts.ok, counts.wrong), (0, counts.ops));

    // Its bytes are compared in one of 64.
    let server = serve(|n| Does::Answer(if n < 1 { BODY } else { "jello" }));
    let mut client = self::client(&server, 1).await;
    let tally = client.closed_loop(Budget::Operations(128)).await.unwrap();
    assert_eq!((tally.operations, tally.wrong), (126, 2));
    assert!(matches!(client.check().await, Err(Fault::Wrong(_))));

    // Short runs count on: they do not each begin with one that is compared.
    let mut wrong = 0;
    for _ in 0..4 {
        let run = client.closed_loop(Budget::Operations(32)).await.unwrap();
        wrong += run.wrong;
    }
    assert_eq!(wrong, 2);
}

#[tokio::test]
async fn a_status_that_is_not_expected_is_an_error() {
    let server = serve(|n| {
        if n < 1 {
            Does::Answer(BODY)
        } else {
            Does::Fail
        }
    });
    let mut client = client(&server, 1).await;
    let tally = client.closed_loop(Budget::Operations(5)).await.unwrap();
    assert_eq!(tally.operations, 0);
    assert_eq!(tally.errors["status 500 in place of 200"], 5);
    assert!(tally.latency.unwrap().is_empty());

    // In an open loop it has not been answered by the end, however fast it was refused.
    let seen = client.open_loop(&arrivals(200.0, 500)).await.unwrap();
    assert_eq!(seen.latency.len(), seen.counts.ops);
    let waited = seen.latency.max().unwrap();
    assert!(waited > Duration::from_millis(300), "{waited:?}");
    assert!(seen.service.is_empty());
}

#[tokio::test]
async fn a_server_that_closes_connections_is_told() {
    let server = serve(|n| match n % 10 {
        9 => Does::AnswerAndClose,
        _ => Does::Answer(BODY),
    });
    let mut client = client(&server, 1).await;
    let tally = client.closed_loop(Budget::Operations(100)).await.unwrap();
    assert!(!tally.errors.is_empty());
    assert!(tally.figures["reconnects"] >= 5.0, "{:?}", tally.figures);
    let seen = client.open_loop(&arrivals(500.0, 200)).await.unwrap();
    assert!(!seen.counts.errors.is_empty());
    assert!(seen.reconnects > 0);
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        served: Arc::default(),
    };
    drop(listener);
    let told = ClosedLoop::connect(target(&server), 1).await.unwrap_err();
    let told = told.to_string();
    assert!(told.contains(&server.address.to_string()), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn no_request_takes_longer_than_its_limit() {
    let server = serve(|n| {
        if n % 2 == 0 {
            Does::Answer(BODY)
        } else {
            Does::Hang
        }
    });
    let limits = Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut client = Client::connect(target(&server), 1, limits).await.unwrap();
    let tally = client.closed_loop(Budget::Operations(6)).await.unwrap();
    assert_eq!(tally.operations, 3);
    assert_eq!(tally.errors["no answer within 50ms"], 3);
    assert_eq!(tally.figures["reconnects"], 3.0);
}

#[tokio::test]
async fn a_run_that_is_given_up_ends_its_requests() {
    let server = serve(|n| {
        if n < 2 {
            Does::Answer(BODY)
        } else {
            Does::Hang
        }
    });
    let mut client = client(&server, 2).await;
    let slice = Budget::For(Duration::from_secs(60));
    let given_up = Duration::from_millis(100);
    let begun = Instant::now();
    assert!(
        tokio::time::timeout(given_up, client.closed_loop(slice))
            .await
            .is_err()
    );
    drop(client);
    // Neither the slice nor the request's limit of ten seconds was waited for.
    assert!(begun.elapsed() < Duration::from_secs(9));
}
