//! `bench-cases` with an allocator that counts: counting while timing would change both.

use std::{alloc::System, process::ExitCode};

use ruleiq_bench::worker::Allocated;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    ruleiq_bench_cases::command::main(Some(allocated))
}

fn allocated() -> Allocated {
    let stats = ALLOCATOR.stats();
    Allocated {
        count: (stats.allocations + stats.reallocations) as u64,
        bytes: stats.bytes_allocated as u64,
    }
}
