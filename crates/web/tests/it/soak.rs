//! What storms need: their size and their figures.

/// Whether storms are to run at full size.
pub(crate) fn is_full() -> bool {
    std::env::var("RULEIQ_SOAK").is_ok_and(|it| it == "full")
}

/// Prints the figure of what must not happen at all, in the form that `cargo xtask soak` reads, and fails the test where
/// it has happened.
#[track_caller]
#[allow(
    clippy::print_stdout,
    reason = "the figures of a soak are read from there"
)]
pub(crate) fn report_none(name: &str, figure: usize, unit: &str) {
    let verdict = if figure == 0 { "ok" } else { "MISSED" };
    println!("soak {name} {figure} {unit} bar 0 {verdict}");
    assert_eq!(figure, 0, "{name}: {unit}");
}
