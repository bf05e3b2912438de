use ruleiq_metrics::{Metrics, install, installed, measure_performance};

use crate::counts_of;

#[measure_performance("ambient.double")]
fn double(n: u32) -> u32 {
    n * 2
}

#[measure_performance]
async fn named_by_its_path() -> Result<(), ()> {
    Err(())
}

/// One test, because the ambient metrics are one per process and for good.
#[tokio::test]
async fn a_function_runs_plainly_until_there_are_ambient_metrics_and_is_recorded_from_then_on() {
    assert!(installed().is_none());
    assert_eq!(double(21), 42);
    assert_eq!(named_by_its_path().await, Err(()));

    let metrics = Metrics::new();
    install(metrics.clone()).unwrap();
    assert!(metrics.summary().is_empty());
    assert_eq!(double(21), 42);
    assert_eq!(double(1), 2);
    assert_eq!(named_by_its_path().await, Err(()));

    assert_eq!(counts_of(&metrics, "ambient.double"), (2, 0, 0));
    let path = concat!(module_path!(), "::named_by_its_path");
    assert_eq!(counts_of(&metrics, path), (1, 1, 0));
    assert_eq!(counts_of(installed().unwrap(), path), (1, 1, 0));

    let said = install(Metrics::new()).unwrap_err().to_string();
    assert!(said.contains("install them once, in `main`"), "{said}");
}
