//! The plain control of HTTP cases: actix-web, and handlers that answer with bytes made before.
//!
//! It runs as a process of its own, so that its CPU time can be told from the load client's. It is
//! this program once more, as `bench-cases plain`: it reads its [`PlainPlan`] as one line of JSON
//! from standard input, writes its port as a line to standard output, and ends when its standard
//! input is closed, which happens however its starter ends.

mod handle;

use std::{
    io::{BufRead as _, Read as _, Write as _},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::header::{CONTENT_TYPE, HeaderValue},
    middleware::Compress,
    web,
};
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use self::handle::PlainServer;

/// The path of a handler that does nothing: status 200, no body. Always there.
pub const NULL: &str = "/null";
/// The path that answers, where requests are counted, how many its routes have answered.
pub const SERVED: &str = "/served";

/// Longer than any pause of an arm while others have their slices: nothing is reconnected.
const KEEP_ALIVE: Duration = Duration::from_secs(600);
/// The longest plan, in bytes.
const LONGEST: u64 = 256 * 1024 * 1024;

/// What the server serves.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlainPlan {
    /// Threads that serve. Default: 1.
    pub workers: usize,
    /// Whether requests are counted.
    pub counts: bool,
    /// Its routes, beside [`NULL`] and [`SERVED`].
    pub routes: Vec<PlainRoute>,
}

/// A path and its answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlainRoute {
    /// The path, for every method and query.
    pub path: String,
    /// The answer's `content-type`.
    pub content_type: String,
    /// The answer's body.
    pub body_base64: String,
    /// Whether actix-web's own `Compress` is around the handler.
    #[serde(default)]
    pub compress: bool,
    /// When the server stands still, if ever.
    #[serde(default)]
    pub stall: Option<Stall>,
}

/// All handlers stand still once, in all threads.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// At this request to the route, counted from 0.
    pub at_request: u64,
    /// For how long.
    pub for_ms: u64,
}

impl Default for PlainPlan {
    fn default() -> PlainPlan {
        PlainPlan {
            workers: 1,
            counts: false,
            routes: Vec::new(),
        }
    }
}

impl PlainRoute {
    /// A route that answers with these bytes.
    pub fn new(path: &str, content_type: &str, body: &[u8]) -> PlainRoute {
        PlainRoute {
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            body_base64: STANDARD.encode(body),
            ..PlainRoute::default()
        }
    }

    /// The same behind actix-web's `Compress`.
    #[must_use]
    pub fn compressed(mut self) -> PlainRoute {
        self.compress = true;
        self
    }

    /// The same, standing still once.
    #[must_use]
    pub fn stalling(mut self, stall: Stall) -> PlainRoute {
        self.stall = Some(stall);
        self
    }
}

/// A route, ready to answer.
struct Plain {
    path: String,
    compress: bool,
    content_type: HeaderValue,
    body: Bytes,
    stall: Option<Stall>,
    /// Requests to this route, where anybody asks.
    served: Option<AtomicU64>,
    /// Held by who stands still; absent where no route ever does.
    gate: Option<Arc<RwLock<()>>>,
}

impl Plain {
    fn new(
        route: PlainRoute,
        gate: Option<Arc<RwLock<()>>>,
        counts: bool,
    ) -> anyhow::Result<Plain> {
        let path = route.path;
        let body = STANDARD
            .decode(route.body_base64)
            .with_context(|| format!("the body of `{path}` is no base64"))?;
        let content_type = HeaderValue::from_str(&route.content_type)
            .with_context(|| format!("the content type of `{path}` is no header"))?;
        Ok(Plain {
            path,
            compress: route.compress,
            content_type,
            body: Bytes::from(body),
            stall: route.stall,
            served: (counts || route.stall.is_some()).then(AtomicU64::default),
            gate,
        })
    }

    fn answer(&self) -> HttpResponse {
        let before = self.served.as_ref();
        let before = before.map(|it| it.fetch_add(1, Ordering::Relaxed));
        if let Some(gate) = &self.gate {
            self.pass(gate, before);
        }
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, self.content_type.clone()))
            .body(self.body.clone())
    }

    /// Blocks the thread while the server stands still: that is what it is for.
    fn pass(&self, gate: &RwLock<()>, before: Option<u64>) {
        match self.stall {
            Some(stall) if before == Some(stall.at_request) => {
                let _held = gate.write().unwrap_or_else(PoisonError::into_inner);
                std::thread::sleep(Duration::from_millis(stall.for_ms));
            }
            _ => drop(gate.read()),
        }
    }
}

/// Serves as standard input says, until it is closed.
///
/// # Errors
///
/// When there is no plan, or it cannot be obeyed.
pub fn main() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(LONGEST)
        .read_line(&mut line)
        .context("failed to read the plan from standard input")?;
    let plan: PlainPlan = serde_json::from_str(&line).context("the plan is not understood")?;
    let does_stall = plan.routes.iter().any(|it| it.stall.is_some());
    let gate = does_stall.then(Arc::default);
    let routes = plan
        .routes
        .into_iter()
        .map(|it| Plain::new(it, gate.clone(), plan.counts).map(Arc::new))
        .collect::<anyhow::Result<Vec<_>>>()?;
    actix_web::rt::System::new().block_on(serve(plan.workers, routes))
}

async fn serve(workers: usize, routes: Vec<Arc<Plain>>) -> anyhow::Result<()> {
    let server = HttpServer::new(move || {
        let routes = routes.clone();
        App::new()
            .route(NULL, web::to(HttpResponse::Ok))
            .route(SERVED, served(routes.clone()))
            .configure(|app| routes.iter().for_each(|it| mount(app, it)))
    })
    .workers(workers.max(1))
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .context("failed to listen")?;
    let address = *server
        .addrs()
        .first()
        .context("no address is listened on")?;
    let server = server.run();
    let handle = server.handle();
    let closed = when_closed();
    let mut out = std::io::stdout();
    writeln!(out, "{}", address.port())
        .and_then(|()| out.flush())
        .context("failed to tell the port")?;
    tokio::select! {
        ended = server => ended.context("the server failed"),
        _ = closed => {
            handle.stop(false).await;
            Ok(())
        }
    }
}

/// Tells how many requests the routes have answered.
fn served(routes: Vec<Arc<Plain>>) -> actix_web::Route {
    web::get().to(move || {
        let counts = routes.iter().filter_map(|it| it.served.as_ref());
        let sum: u64 = counts.map(|it| it.load(Ordering::Relaxed)).sum();
        async move { sum.to_string() }
    })
}

fn mount(app: &mut web::ServiceConfig, plain: &Arc<Plain>) {
    let handler = {
        let plain = Arc::clone(plain);
        move || {
            let answer = plain.answer();
            async move { answer }
        }
    };
    let reading = {
        let handler = handler.clone();
        // A body that nobody reads costs the connection.
        move |_: Bytes| handler()
    };
    let resource = web::resource(plain.path.as_str())
        .route(web::post().to(reading))
        .default_service(web::to(handler));
    if plain.compress {
        app.service(resource.wrap(Compress::default()));
    } else {
        app.service(resource);
    }
}

/// Tells when standard input is closed.
fn when_closed() -> oneshot::Receiver<()> {
    let (tell, closed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut rest = std::io::stdin().lock().take(u64::MAX);
        // Whatever ends it, it is over.
        drop(std::io::copy(&mut rest, &mut std::io::sink()));
        tell.send(())
    });
    closed
}
