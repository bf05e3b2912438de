//! The curves of the endpoints, as short as they can be.

use std::time::Duration;

use ruleiq_bench::cpu::Servers;
use ruleiq_bench_cases::cases::http::{CurvesPlan, curves};

use crate::{cases::TINY, surroundings::Surroundings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_answer_rightly_under_load_on_both_sides() {
    let surroundings = Surroundings::new().await.with_server();
    let plan = CurvesPlan {
        servers: Servers::default(),
        slice: Duration::from_millis(100),
        refine: false,
    };
    let curves = curves(&surroundings.env, &TINY, plan).await.unwrap();
    let names: Vec<&str> = curves.iter().map(|it| it.case.as_str()).collect();
    assert_eq!(
        names,
        ["assessment", "assessment", "assessments", "assessments"]
    );
    for curve in &curves {
        assert!(curve.ceiling > 0.0);
        assert_eq!(curve.points.len(), 4);
        for point in &curve.points {
            let counts = &point.counts;
            assert_eq!((counts.wrong, counts.errors.len()), (0, 0), "{counts:?}");
        }
    }
}
