//! Whether the harness itself is sound: what an operation costs that does nothing.

use std::{hint::black_box, time::Duration};

use ruleiq_bench::{Budget, cpu, repeat};

/// Above this, the loop around an operation would be part of the figures of short ones.
const MOST_NS: f64 = 2.0;
const SLICE: Duration = Duration::from_millis(200);

/// CPU nanoseconds per operation of an empty closure, in the loop that all short operations run
/// in; and a warning, if that is too much.
pub(super) async fn null_case() -> anyhow::Result<(f64, Option<String>)> {
    let mut counter = 0_u64;
    let empty = move || {
        counter = black_box(counter.wrapping_add(1));
        counter
    };
    let mut arm = repeat(empty, |_| Ok(()));
    let before = cpu::own_cpu_s()?;
    let tally = arm.run(Budget::For(SLICE)).await?;
    let used = cpu::own_cpu_s()? - before;
    #[expect(clippy::cast_precision_loss, reason = "a count of operations")]
    let ns = used * 1e9 / tally.operations as f64;
    let warning = (ns >= MOST_NS).then(|| {
        format!(
            "an operation that does nothing costs {ns:.1} ns, at most {MOST_NS} are sound: do not \
             read cases of less than a microsecond; is this an optimized build?"
        )
    });
    Ok((ns, warning))
}
