//! The program that `cargo xtask bench` starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    ruleiq_bench_cases::command::main(None)
}
