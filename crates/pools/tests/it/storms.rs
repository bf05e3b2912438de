//! What must hold whatever happens, at two sizes: `cargo xtask test` runs them small, and
//! `cargo xtask soak`, by `RULEIQ_SOAK=full`, at the size of their bars.

#![allow(clippy::print_stdout, reason = "the figures are the result")]

pub(crate) mod cancellation;
mod outage;
mod replicas;
mod resize;
mod schema_change;
mod self_tuning;
mod stall;

use std::fmt::Display;

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
enum Bar<T> {
    AtLeast(T),
    AtMost(T),
}

fn is_full() -> bool {
    std::env::var("RULEIQ_SOAK").is_ok_and(|it| it == "full")
}

/// Prints the figure as a soak reads it, and fails where it misses its bar.
fn report<T: Copy + Display + PartialOrd>(name: &str, figure: T, unit: &str, bar: Bar<T>) {
    let is_met = print(name, &figure, unit, &bar);
    assert!(is_met, "{name}: {figure} {unit}");
}

/// Prints a figure that depends on how fast the machine is: a soak judges it, a test does not.
fn report_time(name: &str, figure_ms: u128, bar: Bar<u128>) {
    print(name, &figure_ms, "ms", &bar);
}

fn print<T: Display + PartialOrd>(name: &str, figure: &T, unit: &str, bar: &Bar<T>) -> bool {
    let (is_met, sign, bar) = match bar {
        Bar::AtLeast(bar) => (figure >= bar, ">=", bar),
        Bar::AtMost(bar) => (figure <= bar, "<=", bar),
    };
    let verdict = if is_met { "ok" } else { "MISSED" };
    println!("soak {name} {figure} {unit} bar {sign}{bar} {verdict}");
    is_met
}

/// xorshift64*: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}
