//! The plain control of HTTP cases: handlers that answer with bytes made before, on actix-web or on hyper, and what
//! compresses them, if anything does.
//!
//! It runs as a process of its own, so that its CPU time can be told from the load client's. It is
//! this program once more, as `bench-cases plain`: it reads its [`PlainPlan`] as one line of JSON
//! from standard input, writes its port as a line to standard output, and ends when its standard
//! input is closed, which happens however its starter ends.

mod handle;
mod on_actix;
mod on_hyper;

use std::{
    io::{BufRead as _, Read as _, Write as _},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::header::{CONTENT_TYPE, HeaderValue},
};
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use ruleiq_compression::Config;
use ruleiq_web::{CompressionMiddleware, ContentHash};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use self::handle::PlainServer;
pub(crate) use self::handle::program;

/// The path of a handler that does nothing: status 200, no body. Always there.
pub const NULL: &str = "/null";
/// The path that answers, where requests are counted, how many its routes have answered.
pub const SERVED: &str = "/served";

/// As long as a request may take: none is sent as it is because others are before it.
const OFFLOAD_WAIT: Duration = Duration::from_secs(60);
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
    /// What it stands on. Default: actix-web.
    pub framework: Framework,
    /// Its routes, beside [`NULL`] and [`SERVED`].
    pub routes: Vec<PlainRoute>,
}

/// What a plain server stands on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// actix-web.
    #[default]
    Actix,
    /// hyper on one thread; it has [`Compressor::Framework`] alone, which is tower-http's, around all routes.
    Hyper,
}

/// What compresses an answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compressor {
    /// Nothing does.
    #[default]
    Nothing,
    /// What the framework's users take: actix-web's own, or tower-http's.
    Framework,
    /// Ours, at its defaults or at one level whatever the coding and the load.
    Ruleiq {
        /// The level.
        level: Option<i32>,
    },
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
    /// What is around the handler.
    #[serde(default)]
    pub compressor: Compressor,
    /// Whether the handler says what the body is made of.
    #[serde(default)]
    pub is_marked: bool,
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
            framework: Framework::default(),
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

    /// The same, compressed.
    #[must_use]
    pub fn compressed(mut self, compressor: Compressor) -> PlainRoute {
        self.compressor = compressor;
        self
    }

    /// The same, which says what the body is made of.
    #[must_use]
    pub fn marked(mut self, is_marked: bool) -> PlainRoute {
        self.is_marked = is_marked;
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
    compressor: Compressor,
    around: Around,
    content_type: HeaderValue,
    body: Bytes,
    content_hash: Option<ContentHash>,
    stall: Option<Stall>,
    /// Requests to this route, where anybody asks.
    served: Option<AtomicU64>,
    /// Held by who stands still; absent where no route ever does.
    gate: Option<Arc<RwLock<()>>>,
}

/// What is around its handler.
enum Around {
    Nothing,
    Framework,
    Ruleiq(CompressionMiddleware),
}

impl Around {
    fn new(compressor: Compressor) -> anyhow::Result<Around> {
        let level = match compressor {
            Compressor::Nothing => return Ok(Around::Nothing),
            Compressor::Framework => return Ok(Around::Framework),
            Compressor::Ruleiq { level } => level,
        };
        // The load of a benchmark is all that can be done, at the level that is named.
        let default = Config {
            load_aware: false,
            ..Config::default()
        };
        let config = level.map_or_else(
            || default.clone(),
            |level| Config {
                brotli_level: level,
                zstd_level: Some(level),
                gzip_level: level,
                cpu_budget_us: u64::MAX,
                ..default.clone()
            },
        );
        let middleware = CompressionMiddleware::builder()
            .config(config)
            .offload_wait(OFFLOAD_WAIT)
            .build();
        Ok(Around::Ruleiq(middleware.context("no such level")?))
    }
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
        // Paths tell bodies apart.
        let hash = xxhash_rust::xxh3::xxh3_128(path.as_bytes());
        Ok(Plain {
            path,
            compressor: route.compressor,
            around: Around::new(route.compressor)?,
            content_hash: route.is_marked.then_some(ContentHash(hash)),
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
        let mut response = HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, self.content_type.clone()))
            .body(self.body.clone());
        if let Some(hash) = self.content_hash {
            response.extensions_mut().insert(hash);
        }
        response
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
    if plan.framework == Framework::Hyper {
        return on_hyper::serve(&plan.routes);
    }
    let does_stall = plan.routes.iter().any(|it| it.stall.is_some());
    let gate = does_stall.then(Arc::default);
    let routes = plan
        .routes
        .into_iter()
        .map(|it| Plain::new(it, gate.clone(), plan.counts).map(Arc::new))
        .collect::<anyhow::Result<Vec<_>>>()?;
    actix_web::rt::System::new().block_on(on_actix::serve(plan.workers, routes))
}

/// Tells its starter where it listens.
fn tell(port: u16) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{port}")
        .and_then(|()| out.flush())
        .context("failed to tell the port")
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
