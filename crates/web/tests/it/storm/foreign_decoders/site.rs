//! A server on a port of its own, and what it serves: `/level/codings on offer/body/form`.
//!
//! With the query `plain`, a body is sent as it is. Behind `all`, the client chooses; a browser cannot, and asks where
//! one coding alone is on offer.

use std::{
    net::SocketAddr,
    sync::{LazyLock, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    body::{BodyStream, BoxBody, MessageBody as _},
    dev::ServerHandle,
    rt::System,
    web,
};
use bytes::Bytes;
use futures_util::stream::unfold;
use prometheus::Registry;
use ruleiq_compression::{Coding, CompressionMetrics, Config};
use ruleiq_web::{CompressionMiddleware, Uncompressed};

use crate::soak::is_full;

pub(super) struct Site {
    pub(super) address: SocketAddr,
    /// All that is to be asked for.
    pub(super) items: Vec<Item>,
    registry: Registry,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
pub(super) struct Item {
    level: &'static str,
    pub(super) coding: Coding,
    pub(super) body: &'static Body,
    form: Form,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Form {
    Whole,
    /// In pieces, each of which is flushed.
    Pieces,
}

pub(super) struct Body {
    name: &'static str,
    content_type: &'static str,
    /// Whether it is encoded as a whole. Of a stream it is not known beforehand that it is small or does not shrink.
    shrinks: bool,
    pub(super) bytes: Bytes,
}

/// Of brotli, zstd and gzip.
type Levels = (i32, i32, i32);

/// The first ones are those of a server that chooses none, and alone in a small run.
const LEVELS: [(&str, Option<Levels>); 4] = [
    ("default", None),
    ("lowest", Some((0, -7, 1))),
    ("middle", Some((5, 6, 6))),
    ("highest", Some((11, 19, 9))),
];

static BODIES: LazyLock<Vec<Body>> = LazyLock::new(|| {
    let body = |name, content_type, shrinks, bytes: Vec<u8>| Body {
        name,
        content_type,
        shrinks,
        bytes: bytes.into(),
    };
    let row = |n| {
        format!(
            r#"{{"id":{n},"title":"Control {n}","score":{}}},"#,
            n * n % 97
        )
    };
    let line = |n| format!("{n},\"Control; {n}\",{}\r\n", n * n % 97);
    let rule = |n| format!(".control-{n} > a:hover {{ margin: {}px }}\n", n % 7);
    let script = |n| format!("export const f{n} = (a) => a <= {n} ? `${{a}}` : null;\n");
    let text = |n| format!("<p>№ {n}: Prüfung – 監査は完了しました 💧 ελέγχου</p>\n");
    let of = |size_bytes: usize, part: &dyn Fn(usize) -> String| {
        let mut bytes: Vec<u8> = (0..)
            .flat_map(|n| part(n).into_bytes())
            .take(size_bytes)
            .collect();
        // Not within a character.
        while std::str::from_utf8(&bytes).is_err() {
            bytes.pop();
        }
        bytes
    };
    let random = |size_bytes| noise().take(size_bytes);
    // The fastest levels shrink what repeats alone: hence the frame around each line.
    let base64 = |count: usize| {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digit = |byte| digits[usize::from(byte) % digits.len()];
        let random: Vec<u8> = random(count).map(digit).collect();
        random
            .chunks(76)
            .collect::<Vec<_>>()
            .join(&b"\"},\r\n{\"signature\":\""[..])
    };
    vec![
        body("empty", "application/json", false, Vec::new()),
        body("minimum", "application/json", false, of(1_000, &row)),
        body("above_minimum", "application/json", true, of(1_001, &row)),
        body("json", "application/json", true, of(20_000, &row)),
        body("large", "application/json", true, of(1_000_000, &row)),
        body("html", "text/html; charset=utf-8", true, of(30_000, &text)),
        body("css", "text/css", true, of(5_000, &rule)),
        body("script", "text/javascript", true, of(70_000, &script)),
        body("csv", "text/csv", true, of(140_000, &line)),
        body("base64", "text/plain", true, base64(60_000)),
        body("noise", "text/plain", false, random(40_000).collect()),
        body("zeros", "text/plain", true, vec![0; 300_000]),
    ]
});

impl Site {
    pub(super) fn start() -> Site {
        let levels = if is_full() { &LEVELS[..] } else { &LEVELS[..1] };
        let registry = Registry::new();
        let metrics = CompressionMetrics::register(&registry).unwrap();
        let middlewares: Vec<_> = levels
            .iter()
            .flat_map(|(name, level)| {
                let one = Coding::ALL.map(|it| (it.as_str(), vec![it]));
                let offers = one.into_iter().chain([("all", Coding::ALL.to_vec())]);
                let metrics = metrics.clone();
                offers.map(move |(offer, codings)| {
                    let path = format!("/{name}/{offer}");
                    (path, middleware(*level, codings, metrics.clone()))
                })
            })
            .collect();
        let items = items(levels.iter().map(|(name, _)| *name));
        let paths: Vec<String> = items.iter().map(Item::path_of_one).collect();
        let paths = serde_json::to_string(&paths).unwrap();
        let page = include_str!("chromium.html").replace("[/* paths */]", &paths);

        let (started, starting) = mpsc::channel();
        let thread = thread::spawn(move || {
            let app = move || {
                let page = page.clone();
                let page = move || {
                    let page = page.clone();
                    async { HttpResponse::Ok().content_type("text/html").body(page) }
                };
                let mut app = App::new().route("/page", web::get().to(page));
                for (path, middleware) in &middlewares {
                    let scope = web::scope(path).route("/{body}/{form}", web::get().to(answer));
                    app = app.service(scope.wrap(middleware.clone()));
                }
                app
            };
            let serving = async move {
                let server = HttpServer::new(app).workers(2).disable_signals();
                let server = server.bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).unwrap();
                server.await.unwrap();
            };
            System::new().block_on(serving);
        });
        let (address, handle) = starting.recv().unwrap();
        Site {
            address,
            items,
            registry,
            handle,
            thread: Some(thread),
        }
    }

    /// How many bodies were sent in this coding.
    pub(super) fn sent(&self, coding: Coding) -> u64 {
        let families = self.registry.gather();
        let name = "ruleiq_compression_responses_total";
        let family = families.iter().find(|it| it.name() == name).unwrap();
        let metrics = family.get_metric().iter();
        let of_it = metrics.filter(|it| it.get_label()[0].value() == coding.as_str());
        let count: f64 = of_it.map(|it| it.get_counter().get_value()).sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "few"
        )]
        let count = count as u64;
        count
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Item {
    /// Where the client chooses the coding.
    pub(super) fn path(&self) -> String {
        self.path_at("all")
    }

    /// Where this one alone is on offer.
    fn path_of_one(&self) -> String {
        self.path_at(self.coding.as_str())
    }

    fn path_at(&self, offer: &str) -> String {
        let form = match self.form {
            Form::Whole => "whole",
            Form::Pieces => "pieces",
        };
        format!("/{}/{offer}/{}/{form}", self.level, self.body.name)
    }

    /// Whether it is sent in its coding.
    pub(super) fn is_encoded(&self) -> bool {
        self.form == Form::Pieces || self.body.shrinks
    }
}

fn items(levels: impl Iterator<Item = &'static str>) -> Vec<Item> {
    let mut items = Vec::new();
    for level in levels {
        for coding in Coding::ALL {
            for body in BODIES.iter() {
                items.extend([Form::Whole, Form::Pieces].map(|form| Item {
                    level,
                    coding,
                    body,
                    form,
                }));
            }
        }
    }
    items
}

/// The level that is asked for, whatever it costs, and no body that is sent as it is because others are being encoded.
fn middleware(
    level: Option<Levels>,
    codings: Vec<Coding>,
    metrics: CompressionMetrics,
) -> CompressionMiddleware {
    let mut config = Config {
        load_aware: false,
        codings,
        ..Config::default()
    };
    if let Some((brotli_level, zstd_level, gzip_level)) = level {
        config = Config {
            brotli_level,
            zstd_level: Some(zstd_level),
            gzip_level,
            cpu_budget_us: u64::MAX,
            ..config
        };
    }
    let builder = CompressionMiddleware::builder().config(config);
    let builder = builder
        .metrics(metrics)
        .offload_wait(Duration::from_secs(60));
    builder.build().unwrap()
}

async fn answer(request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (name, form) = path.into_inner();
    let Some(body) = BODIES.iter().find(|it| it.name == name) else {
        return HttpResponse::NotFound().finish();
    };
    let bytes = body.bytes.clone();
    let sent = match &*form {
        "whole" => bytes.boxed(),
        _ => pieces(bytes),
    };
    let mut answer = HttpResponse::Ok()
        .content_type(body.content_type)
        .body(sent);
    if request.query_string() == "plain" {
        answer.extensions_mut().insert(Uncompressed);
    }
    answer
}

/// After each piece there is nothing more for a moment, so that it is flushed.
fn pieces(bytes: Bytes) -> BoxBody {
    let sizes = [1, 7, 300, 4_096, 40_000, 11].into_iter().cycle();
    let pieces = unfold((bytes, sizes), |(mut rest, mut sizes)| async move {
        tokio::task::yield_now().await;
        let size = rest.len().min(sizes.next()?);
        let piece = rest.split_to(size);
        (size > 0).then_some((Ok::<_, actix_web::Error>(piece), (rest, sizes)))
    });
    BodyStream::new(Box::pin(pieces)).boxed()
}

/// Bytes that no coding can shrink: Knuth's linear congruential generator, whose high bits are good.
fn noise() -> impl Iterator<Item = u8> {
    let mut state = 11_u64;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}
