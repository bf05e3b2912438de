//! What [`CompressionMiddleware`] makes of a handler's response.

mod back_pressure;
mod breaking_off;
mod headers;
mod load;
mod memo;
mod negotiation;
mod offload;
mod order;
mod skips;
mod sockets;
mod statuses;
mod streams;
mod tags;

use std::iter;

use actix_web::{
    App, HttpResponse,
    body::MessageBody,
    test::{self, TestRequest},
    web,
};
use bytes::Bytes;
use prometheus::Registry;
use ruleiq_compression::{Coding, CompressionMetrics, Config, Encoder, LoadHandle};
use ruleiq_web::{CompressionBuilder, CompressionMiddleware};

use crate::answer::{Answer, ask};

/// A list as an API would send it, of more than 2 kB.
fn text() -> Bytes {
    let rows = (0..100).map(|n| format!(r#"{{"id":{n},"title":"Control {n}"}},"#));
    rows.collect::<String>().into()
}

/// Bytes that no coding can shrink.
fn noise(size_bytes: usize) -> Bytes {
    // Knuth's linear congruential generator, whose high bits are good.
    let mut seed = 11_u64;
    let bytes = iter::repeat_with(|| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    });
    bytes.take(size_bytes).collect()
}

fn json(body: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(body)
}

/// The same body as the middleware must have sent; that it decodes is the encoder's own test.
fn encoded(coding: Coding, body: &[u8]) -> Bytes {
    let encoder = Encoder::new(&Config::default()).unwrap();
    encoder.encode(coding, body).unwrap()
}

/// A middleware that compresses as it does when there is little to do, whatever else this machine has to do.
pub(crate) fn unhurried() -> CompressionBuilder {
    CompressionMiddleware::builder().load(LoadHandle::default())
}

/// A GET that accepts these codings.
fn get(accept_encoding: &str) -> TestRequest {
    TestRequest::get().insert_header(("accept-encoding", accept_encoding))
}

/// A middleware, and what it counts.
struct Counted {
    middleware: CompressionMiddleware,
    registry: Registry,
}

impl Counted {
    fn new(builder: CompressionBuilder) -> Counted {
        let registry = Registry::new();
        let metrics = CompressionMetrics::register(&registry).unwrap();
        Counted {
            middleware: builder.metrics(metrics).build().unwrap(),
            registry,
        }
    }

    fn default() -> Counted {
        Counted::new(unhurried())
    }

    async fn ask(
        &self,
        request: TestRequest,
        answer: impl Fn() -> HttpResponse + Clone + 'static,
    ) -> Answer {
        let handler = move || {
            let answer = answer();
            async move { answer }
        };
        let app = App::new()
            .default_service(web::to(handler))
            .wrap(self.middleware.clone());
        ask(&test::init_service(app).await, request).await
    }

    /// What was counted, each with its label.
    fn counts(&self, family: &str) -> Vec<(String, u64)> {
        let name = format!("ruleiq_compression_{family}_total");
        let families = self.registry.gather();
        let family = families.iter().find(|it| it.name() == name).unwrap();
        family
            .get_metric()
            .iter()
            .map(|metric| {
                let label = metric.get_label()[0].value().to_owned();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "few"
                )]
                let count = metric.get_counter().get_value() as u64;
                (label, count)
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// How many responses were encoded so, for this reason.
    fn responses(&self, coding: &str, reason: &str) -> u64 {
        let of_it = [("coding", coding), ("reason", reason)];
        self.value("ruleiq_compression_responses_total", &of_it)
    }

    /// How many workers have so much to do.
    fn workers(&self, load: &str) -> u64 {
        self.value("ruleiq_compression_workers", &[("load", load)])
    }

    /// One value, as a scraper reads it.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let text = prometheus::TextEncoder::new();
        let text = text.encode_to_string(&self.registry.gather()).unwrap();
        let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let start = format!("{name}{{{}}} ", labels.join(","));
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        value.unwrap().parse().unwrap()
    }

    /// The reasons for which responses were not encoded.
    fn skips(&self) -> Vec<(String, u64)> {
        self.counts("skips")
    }
}

#[track_caller]
fn assert_encoded(answer: &Answer, coding: Coding, body: &[u8]) {
    assert_eq!(answer.header("content-encoding"), Some(coding.as_str()));
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.body, encoded(coding, body));
}

/// As the handler gave it, for whatever client.
#[track_caller]
fn assert_untouched(answer: &Answer, body: &[u8]) {
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("vary"), None);
    assert_eq!(answer.body, body);
}

/// As the handler gave it, for this client.
#[track_caller]
fn assert_identity(answer: &Answer, body: &[u8]) {
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.body, body);
}
