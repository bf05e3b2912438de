//! A server in a process of its own, so that its processor and its memory can be told from its client's.
//!
//! It is this program once more, which runs one test: [`serves_for_a_storm`]. It ends when its standard input does.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix_web::{
    App, HttpResponse, HttpServer, body::BodyStream, middleware::Condition, rt::System, web,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use prometheus::{Registry, TextEncoder};
use ruleiq_compression::{CompressionMetrics, Config};
use ruleiq_web::CompressionMiddleware;
use serde_json::{Value, json};

/// Whether the process is to serve, and whether compressed.
const ROLE: &str = "RULEIQ_STORM_SERVER";

/// What is around its handlers.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Role {
    Plain,
    Ours,
    /// Ours, which encodes however much there is to do.
    Steady,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Plain => "plain",
            Role::Ours => "ours",
            Role::Steady => "steady",
        }
    }
}

/// A running one, killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// One worker.
    pub(super) fn start(role: Role) -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "storm::server::serves_for_a_storm",
                "--nocapture",
            ])
            .env(ROLE, role.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = told.next().expect("it tells where it listens").unwrap();
            if let Some(address) = line.strip_prefix("listens ") {
                break address.parse().unwrap();
            }
        };
        // What else it prints, nobody reads; it must not wait for that.
        std::thread::spawn(move || told.for_each(drop));
        Server { child, address }
    }

    /// The sum of all counts of one family.
    pub(super) async fn count(&self, family: &str) -> u64 {
        let url = format!("http://{}/metrics", self.address);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let start = format!("{family}{{");
        let lines = text.lines().filter(|line| line.starts_with(&start));
        let counts = lines.map(|line| line.rsplit(' ').next().unwrap());
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    }

    /// One figure of `/proc/PID/status`, in KiB.
    pub(super) fn memory_kib(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix(figure));
        let number = line
            .unwrap()
            .trim_start_matches(':')
            .trim()
            .split(' ')
            .next();
        number.unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The list of an API, made anew for each request, as a handler does that has asked a database.
fn list(rows: u32) -> String {
    let row = |n: u32| {
        let id = n.wrapping_mul(2_654_435_761);
        let status = ["draft", "open", "completed"][(id % 3) as usize];
        json!({
            "id": format!("{id:08x}-{:04x}-4{:03x}", id >> 16, id & 0xfff),
            "title": format!("Control {n} of annex {}", id % 24),
            "status": status,
            "score": id % 101,
        })
    };
    Value::Array((0..rows).map(row).collect()).to_string()
}

#[test]
fn a_list_is_what_it_is_said_to_be() {
    assert!(
        (8_000..12_000).contains(&list(100).len()),
        "{}",
        list(100).len()
    );
}

/// Serves where a storm has started it, and does nothing where nobody has.
#[test]
fn serves_for_a_storm() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let all = [Role::Plain, Role::Ours, Role::Steady];
    let role = all.into_iter().find(|it| it.word() == role);
    System::new().block_on(serve(role.unwrap()));
}

#[allow(clippy::print_stdout, reason = "its starter reads where it listens")]
async fn serve(role: Role) {
    let registry = Registry::new();
    let config = Config {
        load_aware: role == Role::Ours,
        ..Config::default()
    };
    let mut builder = CompressionMiddleware::builder();
    if role == Role::Steady {
        builder = builder.offload_wait(Duration::from_secs(60));
    }
    let middleware = builder
        .config(config)
        .metrics(CompressionMetrics::register(&registry).unwrap())
        .build()
        .unwrap();
    let server = HttpServer::new(move || {
        let registry = registry.clone();
        App::new()
            .wrap(Condition::new(role != Role::Plain, middleware.clone()))
            .route(
                "/metrics",
                web::get().to(move || {
                    let text = TextEncoder::new().encode_to_string(&registry.gather());
                    async move { text.unwrap() }
                }),
            )
            .route("/list/{rows}", web::get().to(whole))
            .route("/events", web::get().to(events))
    })
    .workers(1)
    .keep_alive(Duration::from_secs(600))
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    println!("listens {}", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        drop(std::io::stdin().read_to_end(&mut rest));
        drop(handle.stop(false));
        std::process::exit(0);
    });
    server.await.unwrap();
}

async fn whole(rows: web::Path<u32>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(list(rows.into_inner()))
}

/// Begins with more than any window holds, and has nothing more to say.
async fn events() -> HttpResponse {
    let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from(list(4_000))) });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .body(BodyStream::new(first.chain(stream::pending())))
}
