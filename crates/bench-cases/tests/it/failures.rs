//! What Redis does not do is no operation.

use std::sync::Arc;

use ruleiq_bench::Budget;
use ruleiq_bench_cases::cases;
use ruleiq_test_support::FaultProxy;

use crate::{cases::TINY, surroundings::Surroundings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_without_a_redis_are_errors_where_the_cache_hides_it() {
    let surroundings = Surroundings::new().await;
    let redis = surroundings.env.redis_url().unwrap();
    let proxy = FaultProxy::in_front_of(redis).await;
    let env = Arc::new(surroundings.env.clone().with_redis_url(&proxy.url(redis)));
    let all = cases::all(&TINY);
    for name in ["cache/get_miss", "cache/delete"] {
        let case = all.iter().find(|it| it.name().to_string() == name).unwrap();
        let mut arm = case.sides()[0].set_up(Arc::clone(&env)).await.unwrap();
        let budget = Budget::Operations(64);
        let tally = arm.run(budget).await.unwrap();
        assert_eq!((tally.operations, tally.errors.len()), (64, 0), "{name}");
        proxy.refuse().await;
        let tally = arm.run(budget).await.unwrap();
        assert_eq!(tally.operations, 0, "{name}");
        assert!(tally.errors.values().sum::<u64>() >= 64, "{name}");
        // The arm takes its keys away when it goes.
        proxy.heal().await;
    }
}
