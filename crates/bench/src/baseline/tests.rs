#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use super::*;
use crate::{
    report::{
        Git, Host, Kind, Noise, Report, SCHEMA, Scale, SelfCheck, Server, Settings, Toolchain,
        Verdict,
    },
    summarise::{simulated::Simulated, summarise},
    verdict::{Outcome, Rules},
};

fn report(cost_us: f64, seed: u64) -> Report {
    let measured = Simulated {
        cost_us: vec![cost_us, 20.0],
        seed,
        ..Simulated::default()
    };
    of(&measured, &Rules::full())
}

fn of(measured: &Simulated, rules: &Rules) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        id: uuid::Uuid::from_u128(1),
        started: time::OffsetDateTime::UNIX_EPOCH,
        duration_s: 60.0,
        kind: Kind::Measure,
        partial: false,
        quick: false,
        host: Host {
            fingerprint: "one".to_owned(),
            ..Host::default()
        },
        toolchain: Toolchain {
            rustc: "1.95.0".to_owned(),
            profile: "release".to_owned(),
            ..Toolchain::default()
        },
        git: Git::default(),
        servers: vec![Server {
            name: "postgres".to_owned(),
            version: "18.1".to_owned(),
            settings: [("fsync".to_owned(), "on".to_owned())].into(),
        }],
        scale: Scale {
            name: "small".to_owned(),
            rows: [("questions".to_owned(), 100)].into(),
            ..Scale::default()
        },
        settings: Settings::default(),
        noise: Noise::default(),
        results: summarise(&measured.run(), rules),
        curves: Vec::new(),
        scale_study: Vec::new(),
        instructions: Vec::new(),
        self_check: SelfCheck::default(),
        warnings: Vec::new(),
    }
}

fn against(cost_us: f64, seed: u64) -> Report {
    let mut now = report(cost_us, seed);
    compare_with(&mut now, &report(20.0, 1_000 + seed), &Rules::full()).unwrap();
    now
}

#[test]
fn a_stored_run_tells_a_large_change_and_flags_no_unchanged_one() {
    for seed in 1..20 {
        let same = against(20.0, seed);
        assert_eq!(
            same.results[0].verdict,
            Verdict::Same,
            "{:?}",
            same.results[0].reasons
        );
        assert_eq!(Outcome::of(&same.results).exit_code(), 0);
        let slower = against(26.0, seed);
        assert_eq!(slower.results[0].verdict, Verdict::Regressed);
        assert_eq!(Outcome::of(&slower.results).exit_code(), 1);
        assert_eq!(against(15.0, seed).results[0].verdict, Verdict::Improved);
    }
}

#[test]
fn the_interval_has_room_for_what_differs_between_runs() {
    let now = against(20.0, 3);
    let baseline = now.results[0].baseline.clone().unwrap();
    // 2.576 × 5 % on either side, at the least.
    assert!((baseline.ci_high / baseline.ratio).ln() > 0.128);
    assert!((baseline.ratio / baseline.ci_low).ln() > 0.128);
    assert_eq!(baseline.id, Some(uuid::Uuid::from_u128(1)));
}

#[test]
fn the_machine_cancels_out_through_the_controls() {
    let mut now = report(20.0, 5);
    let slower_hour = Simulated {
        cost_us: vec![60.0, 60.0],
        seed: 6,
        ..Simulated::default()
    };
    compare_with(&mut now, &of(&slower_hour, &Rules::full()), &Rules::full()).unwrap();
    assert_eq!(now.results[0].verdict, Verdict::Same);
}

#[test]
fn noise_that_hides_a_quarter_is_inconclusive() {
    let noisy = Simulated {
        noise: 0.12,
        seed: 8,
        ..Simulated::default()
    };
    let mut now = of(&noisy, &Rules::full());
    compare_with(&mut now, &report(20.0, 9), &Rules::full()).unwrap();
    assert_eq!(now.results[0].verdict, Verdict::Inconclusive);
    assert!(
        now.results[0]
            .reasons
            .iter()
            .any(|it| it.contains("--against"))
    );
}

/// Each difference alone is refused, and named.
#[test]
fn whatever_changes_figures_is_refused() {
    type Change = fn(&mut Report);
    let changes: [(&str, Change); 19] = [
        ("ruleiq-bench/2", |it| {
            it.schema = "ruleiq-bench/2".to_owned()
        }),
        ("another machine", |it| {
            it.host.fingerprint = "other".to_owned()
        }),
        ("profile", |it| it.toolchain.profile = "dev".to_owned()),
        ("debug assertions", |it| {
            it.toolchain.debug_assertions = true
        }),
        ("link-time", |it| it.toolchain.lto = "fat".to_owned()),
        ("target CPU", |it| {
            it.toolchain.target_cpu = "native".to_owned()
        }),
        ("allocator", |it| {
            it.toolchain.allocator = "mimalloc".to_owned()
        }),
        ("scale", |it| it.scale.name = "medium".to_owned()),
        ("rows of questions", |it| {
            it.scale.rows.insert("questions".to_owned(), 101);
        }),
        ("postgres: version", |it| {
            it.servers[0].version = "17".to_owned()
        }),
        ("postgres: fsync", |it| {
            it.servers[0].settings = BTreeMap::from([("fsync".to_owned(), "off".to_owned())]);
        }),
        ("concurrency", |it| it.settings.concurrency = Some(7)),
        ("length of a slice", |it| it.settings.slice_s = 9.0),
        ("control of pools/point_select", |it| {
            it.results[0].control.as_mut().unwrap().version = "2.0".to_owned();
        }),
        ("settings of pools/point_select", |it| {
            it.results[0].settings = serde_json::json!({"size": 17});
        }),
        ("unit of pools/point_select", |it| {
            it.results[0].unit = "ns".to_owned()
        }),
        ("dirty", |it| it.git.dirty = true),
        ("partial", |it| it.partial = true),
        ("invalid", |it| it.results[0].verdict = Verdict::Invalid),
    ];
    let now = report(20.0, 1);
    assert_eq!(refusals(&now, &report(20.0, 2), &Rules::full()), []);
    for (named, change) in changes {
        let mut then = report(20.0, 2);
        change(&mut then);
        let reasons = refusals(&now, &then, &Rules::full());
        assert_eq!(reasons.len(), 1, "{named}: {reasons:?}");
        assert!(
            reasons[0].to_string().contains(named),
            "{named}: {}",
            reasons[0]
        );
    }
}

/// As a run of cases that need no server has it.
fn without_servers(seed: u64) -> Report {
    Report {
        servers: Vec::new(),
        scale: Scale::default(),
        ..report(20.0, seed)
    }
}

#[test]
fn a_run_of_everything_is_a_measure_for_a_part_that_needs_fewer_servers() {
    let whole = report(20.0, 2);
    let part = without_servers(1);
    assert_eq!(refusals(&part, &whole, &Rules::full()), []);

    let mut both = whole.clone();
    both.servers.push(Server {
        name: "redis".to_owned(),
        ..whole.servers[0].clone()
    });
    let mut part = report(20.0, 1);
    assert_eq!(refusals(&part, &both, &Rules::full()), []);
    part.servers[0].version = "17".to_owned();
    let reasons = refusals(&part, &both, &Rules::full());
    assert!(
        matches!(&reasons[..], [Refusal::Differs { what, .. }] if what == "postgres: version"),
        "{reasons:?}"
    );
}

#[test]
fn a_server_or_data_that_the_stored_run_was_without_are_refused() {
    let reasons = refusals(&report(20.0, 1), &without_servers(2), &Rules::full());
    let told: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let expect = [
        "rows of questions was `absent` and is `100`: measure both alike",
        "scale was `absent` and is `small`: measure both alike",
        "postgres was `absent` and is `18.1`: measure both alike",
    ];
    assert_eq!(told, expect);
}

#[test]
fn a_refusal_gives_all_reasons_at_once_and_changes_nothing() {
    let mut then = report(20.0, 2);
    then.git.dirty = true;
    then.partial = true;
    then.host.fingerprint = "other".to_owned();
    let mut now = report(20.0, 1);
    let before = now.clone();
    let refused = compare_with(&mut now, &then, &Rules::full()).unwrap_err();
    assert_eq!(refused.0.len(), 3);
    assert_eq!(refused.to_string().lines().count(), 4);
    assert_eq!(now, before);
}

#[test]
fn few_blocks_noise_and_strangers_are_refused() {
    let now = report(20.0, 1);
    let with = |simulated: Simulated| {
        let then = of(&simulated, &Rules::full());
        refusals(&now, &then, &Rules::full())
    };
    let few = with(Simulated {
        blocks: 7,
        ..Simulated::default()
    });
    assert!(
        few.iter()
            .any(|it| matches!(it, Refusal::FewBlocks { blocks: 7, .. }))
    );
    let noisy = with(Simulated {
        noise: 0.3,
        ..Simulated::default()
    });
    assert!(
        noisy.iter().any(|it| matches!(it, Refusal::Noisy { .. })),
        "{noisy:?}"
    );
    let mut stranger = report(20.0, 2);
    for row in &mut stranger.results {
        row.case = "checkout".to_owned();
    }
    let reasons = refusals(&now, &stranger, &Rules::full());
    assert_eq!(reasons, [Refusal::NothingInCommon]);
}

#[test]
fn another_compiler_is_a_warning() {
    let mut then = report(20.0, 2);
    then.toolchain.rustc = "1.94.0".to_owned();
    let mut now = report(20.0, 1);
    let warnings = compare_with(&mut now, &then, &Rules::full()).unwrap();
    assert!(warnings[0].contains("1.94.0") && warnings.len() == 1);
}

#[test]
fn a_run_may_be_saved_if_its_halves_agree() {
    for seed in 1..20 {
        assert_eq!(
            may_be_saved(&report(20.0, seed), &Rules::full()),
            [],
            "{seed}"
        );
    }
    let mut drifting = report(20.0, 1);
    for row in &mut drifting.results {
        for round in row.rounds.iter_mut().skip(6) {
            round.b.iter_mut().for_each(|it| *it *= 1.3);
        }
    }
    let reasons = may_be_saved(&drifting, &Rules::full());
    assert!(
        matches!(&reasons[..], [Refusal::Halves { .. }]),
        "{reasons:?}"
    );
    let mut dirty = report(20.0, 1);
    dirty.git.dirty = true;
    assert_eq!(may_be_saved(&dirty, &Rules::full()), [Refusal::Dirty]);
    let noisy = Simulated {
        noise: 0.3,
        ..Simulated::default()
    };
    let reasons = may_be_saved(&of(&noisy, &Rules::full()), &Rules::full());
    assert!(
        matches!(&reasons[..], [Refusal::Noisy { .. }]),
        "{reasons:?}"
    );
}

#[test]
fn counts_are_compared_exactly() {
    let with = |allocations: f64| {
        let mut measured = Simulated::default().run();
        let counts = &mut measured.sides[0].counts;
        counts.insert("allocations_per_op".to_owned(), allocations);
        let mut report = report(20.0, 1);
        report.results = summarise(&measured, &Rules::full());
        report
    };
    let mut now = with(13.0);
    compare_with(&mut now, &with(12.0), &Rules::full()).unwrap();
    let row = now
        .results
        .iter()
        .find(|it| it.metric == "allocations_per_op")
        .unwrap();
    assert_eq!(row.verdict, Verdict::Regressed);
    assert_eq!(Outcome::of(&now.results), Outcome::Failed);
}

#[test]
fn a_count_that_only_the_stored_run_has_is_undecided() {
    let with = |allocations: f64| {
        let mut measured = Simulated::default().run();
        let counts = &mut measured.sides[0].counts;
        counts.insert("allocations_per_op".to_owned(), allocations);
        counts.insert("allocated_bytes_per_op".to_owned(), 64.0 * allocations);
        let mut report = report(20.0, 2);
        report.results = summarise(&measured, &Rules::full());
        report
    };
    let mut now = report(20.0, 2);
    now.results = summarise(&Simulated::default().run(), &Rules::full());
    let rows = now.results.len();
    compare_with(&mut now, &with(12.0), &Rules::full()).unwrap();
    assert_eq!(
        now.results.len(),
        rows + 1,
        "what is only shown is not missed"
    );
    let row = now.results.last().unwrap();
    assert_eq!(row.metric, "allocations_per_op");
    assert_eq!((row.value, row.verdict), (None, Verdict::Inconclusive));
    assert!(row.not_compared.is_some());
    assert_eq!(Outcome::of(&now.results), Outcome::Undecided);
}

#[test]
fn what_is_not_compared_is_undecided() {
    let mut two = report(20.0, 1);
    let mut other = report(20.0, 3).results;
    other
        .iter_mut()
        .for_each(|it| it.case = "checkout".to_owned());
    two.results.extend(other);
    compare_with(&mut two, &report(20.0, 2), &Rules::full()).unwrap();
    let checkout = two.results.iter().find(|it| it.case == "checkout").unwrap();
    assert_eq!(checkout.verdict, Verdict::Inconclusive);
    assert!(
        checkout.reasons[0].contains("does not have this case"),
        "{:?}",
        checkout.reasons
    );
    assert_eq!(Outcome::of(&two.results).exit_code(), 3);

    let mut alone = report(20.0, 1);
    for round in &mut alone.results[0].rounds {
        round.a.clear();
    }
    compare_with(&mut alone, &report(20.0, 2), &Rules::full()).unwrap();
    assert_eq!(alone.results[0].verdict, Verdict::Inconclusive);
    assert_eq!(Outcome::of(&alone.results).exit_code(), 3);
}
