//! The scale study, with two small sizes of everything.

use std::sync::Arc;

use ruleiq_bench_cases::scale_study::{Found, ScaleStudy};

use crate::surroundings::Surroundings;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_has_a_point_for_each_size() {
    let surroundings = Surroundings::new().await.with_server();
    let env = Arc::new(surroundings.env.clone());
    let mut said = Vec::new();
    let mut say = |line: &str| said.push(line.to_owned());
    let found = Found::default();
    ScaleStudy::tiny()
        .run(&env, &found, &mut say)
        .await
        .unwrap();
    let growths = found.growths();

    let names: Vec<String> = growths
        .iter()
        .map(|it| format!("{}/{} by {}", it.component, it.case, it.what))
        .collect();
    assert_eq!(
        names,
        [
            "database/simple_select by questions",
            "database/complex_join by questions",
            "database/aggregation by questions",
            "database/indexed_search by questions",
            "http/assessment by connections",
            "pools/point_select by connections",
            "cache/l2_hit_64 by keys",
            "cache/l1_hit by cache_bytes",
        ]
    );
    for growth in &growths {
        assert_eq!(growth.points.len(), 2, "{}", growth.case);
        assert!(
            growth.points[0].size < growth.points[1].size,
            "{}",
            growth.case
        );
        for point in &growth.points {
            assert!(point.cpu["client"] > 0.0, "{}", growth.case);
        }
    }
    let select = &growths[0].points[0];
    assert!(select.cpu["postgres"] > 0.0);
    // One row; a table of one page is read without its index.
    assert!((select.figures["rows_scanned_per_op"] - 1.0).abs() < 1e-9);
    assert!(select.figures["buffers_per_op"] >= 1.0);
    assert!(
        said.iter().any(|it| it.contains("1,000 questions")),
        "{said:?}"
    );
}
