//! Waiting for a condition.

use std::{
    cell::Cell,
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use ruleiq_test_support::eventually;

fn paused(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future);
}

#[test]
fn a_condition_is_tried_until_it_holds() {
    let tries = Cell::new(0);
    paused(eventually(Duration::from_secs(1), || async {
        tries.set(tries.get() + 1);
        tries.get() == 5
    }));
    assert_eq!(tries.get(), 5);
}

#[test]
fn a_condition_that_never_holds_or_never_answers_ends_in_a_panic_that_names_the_line() {
    let limit = Duration::from_secs(3);
    let never_holds = catch_unwind(AssertUnwindSafe(|| {
        paused(eventually(limit, || async { false }));
    }));
    let never_answers = catch_unwind(AssertUnwindSafe(|| paused(eventually(limit, pending))));
    for panic in [never_holds, never_answers] {
        let panic = panic.unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("within 3000 ms"), "{message}");
        assert!(message.contains("eventually.rs:"), "{message}");
    }
}
