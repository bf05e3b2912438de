//! What the optimizer's advice is worth, and what it costs to ask for.
//!
//! `guide_indexes` and `advice_time` run on databases of their own: RuleIQ's migrations up to the
//! schema, without the guide's indexes, filled with rows that are made by their numbers alone. The
//! others price or run two workloads, TPC-H and RuleIQ's own, on databases with keys alone; their
//! figures begin with `sampled_` where they depend on which rows ANALYZE happened to draw, or on a
//! clock.

mod advice_time;
mod advise;
mod contest;
mod extend;
mod guide_indexes;
mod planner;
mod price;
mod priced;
mod queries;
mod real_run;
mod ruleiq;
mod schema;
mod site;
mod tpch;
mod workload;

use std::time::Duration;

use ruleiq_bench::{Case, Process, Target};

use self::{
    advice_time::{advised, asked_shortly},
    advise::Sizes,
    contest::{Contest, Contestant, Terms},
    guide_indexes::{with_advice, with_guide, without},
    price::ENTRY_COST,
    real_run::RealRun,
    schema::Filled,
    site::Site,
    tpch::Tpch,
};
use crate::{Env, Options};

/// The optimizer and its version, as reports show them.
const OPTIMIZER: (&str, &str) = ("ruleiq-db-optimizer", env!("CARGO_PKG_VERSION"));
const BY_HAND: &str = "1";
/// The search and its version.
const EXTEND: (&str, &str) = ("Extend", "2019");

/// What a search may take.
const SEARCH_US: f64 = 10e6;
const EXPLAINS: f64 = 3_000.0;

/// The cases of this group.
pub fn cases(options: &Options) -> Vec<Case<Env>> {
    let filled = Filled::new(if options.tiny { 2_000 } else { 20_000 });
    let mut cases = vec![
        Case::builder("optimizer", "guide_indexes", filled)
            .about("Six searches on a database with the indexes that were advised, beside the guide's.")
            .cpu_of([Process::Postgres])
            .quick()
            .subject(OPTIMIZER.0, OPTIMIZER.1, with_advice)
            .control("the guide's indexes", BY_HAND, with_guide)
            .control("no index", BY_HAND, without)
            .build(),
        Case::builder("optimizer", "advice_time", filled)
            .about("All advice about indexes, asked of the catalogue.")
            .cpu_of([Process::Client, Process::Postgres])
            .subject(OPTIMIZER.0, OPTIMIZER.1, advised)
            .control("a short query", BY_HAND, asked_shortly)
            .build(),
    ];
    for (name, budget_percent, recorded, bound) in [
        (
            "tpch_25",
            25.0,
            Some(include_str!("optimizer/tpch/extend_25.sql")),
            0.975,
        ),
        (
            "tpch_50",
            50.0,
            Some(include_str!("optimizer/tpch/extend_50.sql")),
            0.992,
        ),
        (
            "tpch_100",
            100.0,
            Some(include_str!("optimizer/tpch/extend_100.sql")),
            0.990,
        ),
        ("tpch_50_real_bytes", 50.0, None, 0.98),
    ] {
        cases.push(tpch(options, name, budget_percent, recorded, bound));
    }
    cases.extend([ruleiq(options), write_heavy(options)]);
    cases.extend(real_runs(options));
    cases
}

/// A few statements go every way that all of them go.
fn one_of(options: &Options) -> usize {
    if options.tiny { 6 } else { 1 }
}

fn tpch(
    options: &Options,
    name: &str,
    budget_percent: f64,
    recorded: Option<&'static str>,
    bound: f64,
) -> Case<Env> {
    // What was recorded was found by these sizes.
    let sizes = recorded.map_or(Sizes::Own, |_| Sizes::Hypopg);
    let terms = Terms {
        site: Site::Tpch(Tpch {
            scale_mille: if options.tiny { 10 } else { 1_000 },
        }),
        budget_percent,
        sizes,
        entry_cost: 0.0,
        writes_times: 1.0,
        one_of: one_of(options),
        recorded: recorded.unwrap_or_default(),
    };
    let contest = Contest::new(terms, Contestant::Advice, Contestant::Extend, options.tiny);
    let mut case = Case::builder("optimizer", name, contest)
        .about("What TPC-H costs by its plans with the indexes that were advised, beside Extend's.")
        .cpu_of([Process::Postgres])
        .target(Target::ratio_of_at_most("sampled_cost", bound))
        .target(Target::value_at_most("sampled_search_us", SEARCH_US))
        .target(Target::value_at_most("sampled_explains", EXPLAINS));
    if sizes == Sizes::Own {
        case = case.target(Target::value_at_most(
            "sampled_built_percent",
            budget_percent,
        ));
    }
    case.subject(OPTIMIZER.0, OPTIMIZER.1, priced::subject)
        .control(EXTEND.0, EXTEND.1, priced::control)
        .build()
}

fn ruleiq(options: &Options) -> Case<Env> {
    let terms = Terms {
        site: Site::Ruleiq,
        budget_percent: 50.0,
        sizes: Sizes::Own,
        entry_cost: 0.0,
        writes_times: 1.0,
        one_of: one_of(options),
        recorded: "",
    };
    let contest = Contest::new(terms, Contestant::Advice, Contestant::ByHand, options.tiny);
    Case::builder("optimizer", "ruleiq_50", contest)
        .about("What RuleIQ's statements cost by their plans with the indexes that were advised, beside the best set made by hand.")
        .cpu_of([Process::Postgres])
        .target(Target::ratio_of_at_most("sampled_cost", 1.0))
        .target(Target::value_at_most("sampled_search_us", SEARCH_US))
        .target(Target::value_at_most("sampled_explains", EXPLAINS))
        .target(Target::value_at_most("sampled_built_percent", 50.0))
        .subject(OPTIMIZER.0, OPTIMIZER.1, priced::subject)
        .control("a set made by hand", BY_HAND, priced::control)
        .build()
}

fn write_heavy(options: &Options) -> Case<Env> {
    let terms = Terms {
        site: Site::Ruleiq,
        budget_percent: 50.0,
        sizes: Sizes::Own,
        entry_cost: ENTRY_COST,
        writes_times: 50.0,
        one_of: one_of(options),
        recorded: "",
    };
    let control = Contestant::AdviceForReading;
    let contest = Contest::new(terms, Contestant::Advice, control, options.tiny);
    Case::builder("optimizer", "write_heavy", contest)
        .about("What RuleIQ's statements cost by plans and index entries, where writes were weighed and where not.")
        .cpu_of([Process::Postgres])
        .target(Target::ratio_of_at_most("sampled_cost", 1.0))
        .target(Target::ratio_of_at_most("sampled_indexes", 1.0))
        .subject(OPTIMIZER.0, OPTIMIZER.1, priced::subject)
        .control("advice for reading alone", OPTIMIZER.1, priced::control)
        .build()
}

fn real_runs(options: &Options) -> [Case<Env>; 2] {
    let tpch = Site::Tpch(Tpch {
        scale_mille: if options.tiny { 10 } else { 100 },
    });
    [(tpch, 1), (Site::Ruleiq, 200)].map(|(site, pass)| {
        let terms = Terms {
            site,
            budget_percent: 50.0,
            sizes: Sizes::Own,
            entry_cost: 0.0,
            writes_times: 1.0,
            one_of: one_of(options),
            recorded: "",
        };
        Case::builder("optimizer", "real_run", RealRun { terms, pass })
            .variant("workload", site.word())
            .about("A workload, run with the indexes that were advised, beside Extend's at the same bytes.")
            .cpu_of([Process::Postgres])
            .slice(Duration::from_secs(3))
            .whole()
            .target(Target::ratio_at_most(1.0))
            .target(Target::value_at_most("sampled_slower_statements", 0.0))
            .subject(OPTIMIZER.0, OPTIMIZER.1, real_run::with_advice)
            .control(EXTEND.0, EXTEND.1, real_run::with_extend)
            .control("no index", BY_HAND, real_run::without)
            .build()
    })
}
