//! Our pool beside a bare one, and `pgbench` beside both.

mod checkout;
mod concurrent_requests;
mod point_select;

use ruleiq_bench::{Case, Process, Target};

pub(crate) use self::point_select::{PointSelect, Points, point_select};
use self::{checkout::checkout, concurrent_requests::concurrent_requests};
use crate::{
    Env, Options,
    pgbench::{self, pgbench},
    postgres::{Bare, DEADPOOL, OURS, Ours, PoolSettings},
};

/// Connections of the pool.
const CONNECTIONS: usize = 10;
/// Operations that are under way at once: most of them wait for a connection.
const TASKS: usize = 50;

/// The cases of this group.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let tasks = options.concurrency.unwrap_or(TASKS);
    let rows = if options.tiny { 1_000 } else { 100_000 };
    let select = PointSelect::new(PoolSettings::new(CONNECTIONS, tasks), rows);
    vec![
        Case::builder("pools", "point_select", select)
            .about("One row by key, ten connections for fifty tasks, with metrics, deadline and log.")
            .cpu_of([Process::Client, Process::Postgres])
            .quick()
            .target(Target::ratio_at_most(1.05))
            .subject(OURS.0, OURS.1, point_select::<Ours>)
            .control(DEADPOOL.0, DEADPOOL.1, point_select::<Bare>)
            .peer("pgbench -M prepared", pgbench::version(), pgbench)
            .build(),
        Case::builder("pools", "checkout", PoolSettings::new(CONNECTIONS, 1))
            .about("A connection checked out and given back, without a statement.")
            .on_one_thread()
            .target(Target::ratio_at_most(2.5))
            .subject(OURS.0, OURS.1, checkout::<Ours>)
            .control(DEADPOOL.0, DEADPOOL.1, checkout::<Bare>)
            .build(),
        Case::builder(
            "pools",
            "concurrent_requests",
            PointSelect::new(PoolSettings::new(CONNECTIONS / 2, tasks), rows),
        )
        .about("Requests of three statements each, ten at a time for each connection: who waits how long.")
        .cpu_of([Process::Client, Process::Postgres])
        .subject(OURS.0, OURS.1, concurrent_requests::<Ours>)
        .control(DEADPOOL.0, DEADPOOL.1, concurrent_requests::<Bare>)
        .build(),
    ]
}
