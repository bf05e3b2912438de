//! What storms need: their size, their figures, and dice.

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
pub(crate) fn report_none(name: &str, figure: u64, unit: &str) {
    report(name, figure, unit, "0", figure == 0);
    assert_eq!(figure, 0, "{name}: {unit}");
}

/// Steps are told apart by a counter: a run can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        // Seeds that follow each other would begin alike; and zero would stay zero.
        Dice(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // Xorshift, Marsaglia 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// One of so many, from zero.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        let at = self.roll(u64::try_from(count).unwrap());
        usize::try_from(at).unwrap()
    }
}
