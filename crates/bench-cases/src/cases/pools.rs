//! Our pool beside a bare one, and `pgbench` beside both.

mod checkout;
mod concurrent_requests;
mod fairness;
mod goodput;
mod point_select;
mod tail;

use std::time::Duration;

use ruleiq_bench::{Case, Fault, Process, Target};

pub(crate) use self::point_select::{PointSelect, Points, point_select};
use self::{
    checkout::checkout,
    concurrent_requests::concurrent_requests,
    fairness::fairness,
    goodput::{Overload, capacity, overload},
    tail::{Mixed, tail},
};
use crate::{
    Env, Options,
    pgbench::{self, pgbench},
    postgres::{Bare, DEADPOOL, OURS, Ours, PoolSettings, Shared},
};

/// Connections of the pool.
const CONNECTIONS: usize = 10;
/// Operations that are under way at once: most of them wait for a connection.
const TASKS: usize = 50;
/// Operations under way at once where each of them has to get on.
const MANY_TASKS: usize = 200;
/// How long they are watched, until each has had many turns.
const FAIRNESS: Duration = Duration::from_secs(1);
/// How long reads are timed, until there are enough of them for the last hundredth.
const TAIL: Duration = Duration::from_secs(2);
/// How long requests are offered: until the queue would have grown far beyond what a client waits.
const OVERLOAD: Duration = Duration::from_secs(2);

/// The cases of this group.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let tasks = options.concurrency.unwrap_or(TASKS);
    let many_tasks = options.concurrency.unwrap_or(MANY_TASKS);
    let rows = if options.tiny { 1_000 } else { 100_000 };
    let select = PointSelect::new(PoolSettings::new(CONNECTIONS, tasks), rows);
    vec![
        Case::builder("pools", "multiplexed", select.clone())
            .about("The same row without a checkout, over connections that are shared; control: with one.")
            .cpu_of([Process::Client, Process::Postgres])
            .target(Target::ratio_at_most(0.65))
            .subject(OURS.0, OURS.1, point_select::<Shared>)
            .control("with a checkout", OURS.1, point_select::<Ours>)
            .build(),
        Case::builder("pools", "multiplexed_pgbench", select.clone())
            .about("The same beside PostgreSQL's own program, with as many connections as the pool has.")
            .cpu_of([Process::Client, Process::Postgres])
            .target(Target::ratio_at_most(0.8))
            .subject(OURS.0, OURS.1, point_select::<Shared>)
            .control("pgbench -M prepared", pgbench::version(), pgbench)
            .build(),
        Case::builder("pools", "multiplexed_tail", Mixed::new(select.clone()))
            .about("How long one row takes while one statement of a hundred takes 50 ms.")
            .slice(TAIL)
            .whole()
            .target(Target::ratio_of_at_most("latency_p99", 1.2))
            .subject(OURS.0, OURS.1, tail::<Shared>)
            .control("with a checkout", OURS.1, tail::<Ours>)
            .build(),
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
        Case::builder(
            "pools",
            "fairness",
            PointSelect::new(PoolSettings::new(CONNECTIONS, many_tasks), rows),
        )
        .about("The same by many tasks: whether each of them gets on, as Jain's index tells.")
        .slice(FAIRNESS)
        .whole()
        .cpu_of([Process::Client, Process::Postgres])
        .target(Target::value_at_least("jain_index", 0.99))
        .subject(OURS.0, OURS.1, fairness::<Ours>)
        .control(DEADPOOL.0, DEADPOOL.1, fairness::<Bare>)
        .build(),
        goodput("goodput_120", 1.2),
        goodput("goodput_200", 2.0),
    ]
}

/// Requests beyond the capacity, whose share with an answer in time has a bar.
fn goodput(name: &'static str, load: f64) -> Case<Env> {
    Case::builder("pools", name, Overload::new(CONNECTIONS, load))
        .about("Requests of 10 ms that come faster than they can be served, each with 250 ms of patience.")
        .slice(OVERLOAD)
        .whole()
        .target(Target::ratio_of_at_least("goodput_per_s", 0.95))
        .target(Target::value_at_most("late_answers", 0.0))
        .subject(OURS.0, OURS.1, overload)
        .control(DEADPOOL.0, DEADPOOL.1, capacity)
        .build()
}

/// What becomes of a task that ends in its middle.
fn panicked(_: tokio::task::JoinError) -> Fault {
    Fault::Failed("an operation panicked".to_owned())
}
