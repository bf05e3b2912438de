//! What may stand below the attribute.

use std::{fmt::Display, io, sync::Arc};

use ruleiq_metrics::{Metrics, measure_performance};

use crate::counts_of;

type Answer = Result<u8, io::Error>;

struct Service {
    metrics: Metrics,
    names: Vec<String>,
}

trait Greet {
    fn metrics(&self) -> &Metrics;

    #[measure_performance("greet", metrics = self.metrics())]
    async fn greet(&self) -> String {
        "hello".into()
    }
}

impl Greet for Service {
    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Service {
    fn new() -> Service {
        Service {
            metrics: Metrics::new(),
            names: vec!["a".into(), "b".into()],
        }
    }

    #[measure_performance("first", metrics = self.metrics)]
    fn first(&self) -> Option<&str> {
        let first = self.names.first()?;
        Some(first)
    }

    #[measure_performance("last_mut", metrics = self.metrics)]
    async fn last_mut<'a>(&'a mut self, suffix: &str) -> &'a mut String {
        tokio::task::yield_now().await;
        let last = self.names.last_mut().unwrap();
        last.push_str(suffix);
        last
    }

    #[measure_performance("push", metrics = self.metrics)]
    fn push(&mut self, name: impl Into<String>) -> &mut String {
        self.names.push(name.into());
        self.names.last_mut().unwrap()
    }

    #[measure_performance("into_names", metrics = self.metrics)]
    async fn into_names(mut self, keep: &Metrics) -> (Vec<String>, Metrics) {
        self.names.reverse();
        (self.names, keep.clone())
    }
}

#[measure_performance("parse", metrics = metrics)]
fn parse<T>(metrics: &Metrics, text: &str) -> Result<T, T::Err>
where
    T: std::str::FromStr,
{
    if text.is_empty() {
        return "0".parse();
    }
    let value = text.trim().parse()?;
    Ok(value)
}

#[measure_performance("read", metrics = metrics)]
async fn read(metrics: Arc<Metrics>, text: &str) -> Answer {
    tokio::task::yield_now().await;
    let timer = text.parse::<u8>().map_err(io::Error::other)?;
    if timer == 0 {
        return Ok(255);
    }
    Ok(timer)
}

#[measure_performance("shown", metrics = metrics)]
async fn shown(metrics: &Metrics, n: u8) -> Result<impl Display + use<>, io::Error> {
    if n == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(n)
}

#[measure_performance("evens", metrics = metrics)]
fn evens<const N: usize>(metrics: &Metrics) -> impl Iterator<Item = usize> + use<N> {
    (0..N).filter(|n| n % 2 == 0)
}

#[measure_performance("boxed", metrics = metrics)]
fn boxed(metrics: &Metrics) -> Box<dyn Display + Send> {
    Box::new(7)
}

#[measure_performance("unit", metrics = metrics)]
async fn unit(metrics: &Metrics, done: &mut bool) {
    *done = true;
}

#[test]
fn a_method_is_measured_whatever_its_receiver_and_what_it_borrows() {
    let mut service = Service::new();
    assert_eq!(service.first(), Some("a"));
    service.push("c").push('!');
    assert_eq!(service.names, ["a", "b", "c!"]);
    assert_eq!(counts_of(&service.metrics, "first"), (1, 0, 0));
    assert_eq!(counts_of(&service.metrics, "push"), (1, 0, 0));
}

#[tokio::test]
async fn an_async_method_is_measured_whatever_its_receiver_and_what_it_borrows() {
    let mut service = Service::new();
    assert_eq!(service.greet().await, "hello");
    service.last_mut("!").await.push('?');
    let metrics = service.metrics.clone();
    let (names, kept) = service.into_names(&metrics).await;
    assert_eq!(names, ["b!?", "a"]);
    for name in ["greet", "last_mut", "into_names"] {
        assert_eq!(counts_of(&kept, name), (1, 0, 0), "{name}");
    }
}

#[test]
fn a_generic_function_is_one_operation_and_returns_early_as_before() {
    let metrics = Metrics::new();
    assert_eq!(parse::<u8>(&metrics, " 7 ").unwrap(), 7);
    assert_eq!(parse::<u8>(&metrics, "").unwrap(), 0);
    assert!(parse::<u8>(&metrics, "x").is_err());
    assert!(parse::<f32>(&metrics, "x").is_err());
    assert_eq!(counts_of(&metrics, "parse"), (4, 2, 0));
}

#[tokio::test]
async fn an_alias_of_a_result_is_one() {
    let metrics = Arc::new(Metrics::new());
    assert_eq!(read(Arc::clone(&metrics), "0").await.unwrap(), 255);
    assert_eq!(read(Arc::clone(&metrics), "1").await.unwrap(), 1);
    assert!(read(Arc::clone(&metrics), "300").await.is_err());
    assert_eq!(counts_of(&metrics, "read"), (3, 1, 0));
}

#[tokio::test]
async fn opaque_and_unsized_results_are_inferred() {
    let metrics = Metrics::new();
    assert_eq!(shown(&metrics, 3).await.unwrap().to_string(), "3");
    assert!(shown(&metrics, 0).await.is_err());
    assert_eq!(evens::<5>(&metrics).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(boxed(&metrics).to_string(), "7");
    let mut done = false;
    unit(&metrics, &mut done).await;
    assert!(done);

    assert_eq!(counts_of(&metrics, "shown"), (2, 1, 0));
    for name in ["evens", "boxed", "unit"] {
        assert_eq!(counts_of(&metrics, name), (1, 0, 0), "{name}");
    }
}

#[tokio::test]
async fn a_measured_future_is_still_send() {
    let metrics = Arc::new(Metrics::new());
    let task = tokio::spawn(read(Arc::clone(&metrics), "9"));
    assert_eq!(task.await.unwrap().unwrap(), 9);
    assert_eq!(counts_of(&metrics, "read"), (1, 0, 0));
}
