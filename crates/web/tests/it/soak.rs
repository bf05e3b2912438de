//! What storms need: their size and their figures.

/// Whether storms are to run at full size.
pub(crate) fn is_full() -> bool {
    std::env::var("RULEIQ_SOAK").is_ok_and(|it| it == "full")
}

/// Prints a figure beside its bar, in the form that `cargo xtask soak` reads.
#[allow(
    clippy::print_stdout,
    reason = "the figures of a soak are read from there"
)]
pub(crate) fn report(name: &str, figure: u64, unit: &str, bar: &str, ok: bool) {
    let verdict = if ok { "ok" } else { "MISSED" };
    println!("soak {name} {figure} {unit} bar {bar} {verdict}");
}

/// The same of what must not happen at all, which fails the test as well.
#[track_caller]
pub(crate) fn report_none(name: &str, figure: usize, unit: &str) {
    report(name, figure as u64, unit, "0", figure == 0);
    assert_eq!(figure, 0, "{name}: {unit}");
}
