//! The coordinator, over workers that are scripts: what they answer is known.

mod counted;
mod sides;

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::json;

use super::*;
use crate::{ArmOf, CaseName, Role, Rules, SideInfo, report::Verdict, summarise};

fn case(name: &str) -> CaseInfo {
    let side = |name: &str, role| SideInfo {
        name: name.into(),
        version: "1".into(),
        role,
        missing: None,
        counts: BTreeMap::new(),
    };
    CaseInfo {
        name: CaseName {
            component: "toy".into(),
            case: name.into(),
            variant: BTreeMap::new(),
        },
        about: String::new(),
        settings: serde_json::Value::Null,
        processes: vec![crate::Process::Client],
        slice_s: None,
        is_whole: false,
        is_quick: true,
        targets: vec![crate::Target::ratio_at_most(2.0)],
        sides: vec![side("ours", Role::Subject), side("theirs", Role::Control)],
    }
}

/// A worker whose answers to set-up and check are these, and whose slices cost 1 us per operation,
/// 3 us for the subject. `on_slice` is done before each.
fn worker(set_up: &str, check: &str, on_slice: &str) -> WorkerProgram {
    let slice = |cpu_s: f64| json!({"slice": {"operations": 1_000, "wall_s": 0.001, "cpu_s": {"client": cpu_s}}});
    let cases = json!({"cases": [case("one"), case("two")]});
    let script = format!(
        "echo '{{\"hello\":{{\"protocol\":1}}}}'\n\
         while read -r line; do case \"$line\" in\n\
         *'\"list\"'*) echo '{cases}';;\n\
         *set_up*) echo '{set_up}';;\n\
         *check*) echo '{check}';;\n\
         *slice*'{{\"side\":0}}'*) {on_slice} echo '{}';;\n\
         *slice*) {on_slice} echo '{}';;\n\
         *counts*) echo '{{\"counts\":[]}}';;\n\
         *) echo '{{\"done\":{{}}}}';;\n\
         esac; done",
        slice(0.003),
        slice(0.001)
    );
    WorkerProgram {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script],
        variables: Vec::new(),
        stop: Stop::default(),
    }
}

fn arms(control_fault: &serde_json::Value) -> String {
    let again = if control_fault.is_null() {
        json!({"again": 1})
    } else {
        json!({"again": 0})
    };
    json!({"arms": [
        {"arm": {"side": 0}, "fault": null},
        {"arm": {"side": 1}, "fault": control_fault},
        {"arm": again, "fault": null},
    ]})
    .to_string()
}

fn plan(program: WorkerProgram) -> RunPlan {
    RunPlan {
        program,
        counting: None,
        against: None,
        profile: Profile::quick(),
        rules: Rules::quick(),
        iterations: None,
        seed: 1,
    }
}

async fn run_of(program: WorkerProgram, names: &[&str]) -> Outcome {
    let cases = names.iter().map(|it| case(it)).collect();
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    run(&plan(program), cases, None, &hidden, &stop).await
}

fn verdict(measured: &Measured) -> Verdict {
    summarise(measured, &Rules::quick())[0].verdict
}

#[tokio::test]
async fn a_case_has_all_its_blocks_in_mirrored_order() {
    let fine = arms(&json!(null));
    let outcome = run_of(worker(&fine, &fine, ""), &["one", "two"]).await;
    assert!(!outcome.is_partial);
    assert_eq!(outcome.measured.len(), 2);
    for measured in &outcome.measured {
        assert_eq!(measured.blocks.len(), Profile::quick().blocks);
        for block in &measured.blocks {
            let order: Vec<ArmOf> = block.slices.iter().map(|(of, _)| *of).collect();
            let mut mirrored = order.clone();
            mirrored.reverse();
            assert_eq!((order.len(), &order), (6, &mirrored));
        }
    }
    let row = &summarise(&outcome.measured[0], &Rules::quick())[0];
    assert!((row.ratio.unwrap() - 3.0).abs() < 1e-9, "{row:?}");
    assert_eq!(row.verdict, Verdict::Missed);
}

#[tokio::test]
async fn a_missing_control_is_never_a_pass() {
    let missing = json!({"is_wrong": false, "text": "it is not installed"});
    let outcome = run_of(worker(&arms(&missing), &arms(&json!(null)), ""), &["one"]).await;
    let measured = &outcome.measured[0];
    assert_eq!(
        measured.sides[1].missing.as_deref(),
        Some("it is not installed")
    );
    assert_eq!(verdict(measured), Verdict::NoControl);
}

#[tokio::test]
async fn a_wrong_answer_makes_the_case_invalid() {
    let fine = arms(&json!(null));
    let wrong = json!({"is_wrong": true, "text": "wrong answer: 8 instead of 7"});
    let wrong = json!({"arms": [{"arm": {"side": 0}, "fault": wrong}]}).to_string();
    let outcome = run_of(worker(&fine, &wrong, ""), &["one"]).await;
    let row = &summarise(&outcome.measured[0], &Rules::quick())[0];
    assert_eq!(row.verdict, Verdict::Invalid);
    assert!(row.reasons[0].contains("8 instead of 7"), "{row:?}");
    assert_eq!(
        crate::verdict::Outcome::of(std::slice::from_ref(row)).exit_code(),
        2
    );
}

#[tokio::test]
async fn a_worker_that_dies_costs_one_case() {
    let folder = scratch("dies");
    let mark = folder.join("died");
    // The first slice of all kills its worker; the next worker lives.
    let die = format!(
        "if ! [ -e {0} ]; then : > {0}; echo gone >&2; exit 9; fi;",
        mark.display()
    );
    let fine = arms(&json!(null));
    let outcome = run_of(worker(&fine, &fine, &die), &["one", "two"]).await;
    std::fs::remove_dir_all(&folder).unwrap();
    let (dead, fine): (Vec<_>, Vec<_>) = outcome
        .measured
        .iter()
        .partition(|it| it.sides[0].missing.is_some());
    assert_eq!((dead.len(), fine.len()), (1, 1));
    assert!(dead[0].sides[0].missing.as_ref().unwrap().contains("gone"));
    assert_eq!(verdict(dead[0]), Verdict::Invalid);
    assert_eq!(fine[0].blocks.len(), Profile::quick().blocks);
}

#[tokio::test]
async fn what_was_measured_is_kept_and_gone_on_with() {
    let folder = scratch("resume");
    let fine = arms(&json!(null));
    let plan = plan(worker(&fine, &fine, ""));
    let key = json!({"revision": "c0ffee"}).as_object().unwrap().clone();
    let stored = StoredRun {
        seed: 5,
        began_s: 0,
        key: key.clone(),
    };
    let mut store = Store::begin(&folder, &stored).unwrap();
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let outcome = run(&plan, vec![case("one")], Some(&mut store), &hidden, &stop).await;
    assert!(outcome.fault.is_none() && !outcome.is_partial);
    // What cannot be read is skipped, also in the middle; the next case is cut off in its line.
    let path = folder.join("partial.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let text = format!("{head}\nnonsense\n{rest}{{\"name\":");
    std::fs::write(&path, text).unwrap();

    let (mut store, again, done) = Store::resume(&folder).unwrap();
    assert_eq!(again, stored);
    again.expect(&key).unwrap();
    let other = json!({"revision": "decaf"}).as_object().unwrap().clone();
    let refused = again.expect(&other).unwrap_err().to_string();
    assert!(
        refused.contains("revision (stored \"c0ffee\", asked \"decaf\")"),
        "{refused}"
    );
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].blocks.len(), Profile::quick().blocks);
    run(&plan, vec![case("two")], Some(&mut store), &hidden, &stop).await;
    let (_, _, done) = Store::resume(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let names: Vec<_> = done.iter().map(|it| it.name.case.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[tokio::test]
async fn what_could_not_be_measured_is_not_done() {
    let folder = scratch("missing");
    let missing = json!({"is_wrong": false, "text": "no server"});
    let missing = json!({"arms": [{"arm": {"side": 0}, "fault": missing}]}).to_string();
    let plan = plan(worker(&missing, &missing, ""));
    let stored = StoredRun {
        seed: 5,
        began_s: 0,
        key: serde_json::Map::new(),
    };
    let mut store = Store::begin(&folder, &stored).unwrap();
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let outcome = run(&plan, vec![case("one")], Some(&mut store), &hidden, &stop).await;
    assert!(outcome.measured[0].sides[0].missing.is_some());
    let (_, _, done) = Store::resume(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(done.is_empty(), "{done:?}");
}

#[tokio::test]
async fn a_slice_without_end_is_ended_when_the_run_is_to_end() {
    let folder = scratch("stuck");
    let slices = folder.join("slices");
    let fine = arms(&json!(null));
    // One block of five turns is whole; then the worker and a process of its own hang.
    let hang = format!(
        "echo >> {0}; if [ $(wc -l < {0}) -gt 30 ]; then sleep 600; fi;",
        slices.display()
    );
    let plan = plan(worker(&fine, &fine, &hang));
    let (hidden, stop) = (Progress::hidden(), plan.program.stop.clone());
    let asking = async {
        while std::fs::read(&slices).map_or(0, |it| it.len()) < 31 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        stop.ask();
    };
    let cases = vec![case("one")];
    let running = run(&plan, cases, None, &hidden, &stop);
    let (outcome, ()) = tokio::join!(running, asking);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(outcome.is_partial);
    let measured = &outcome.measured[0];
    assert_eq!(measured.blocks.len(), 1);
    assert_eq!(measured.blocks[0].slices.len(), 6);
    assert_eq!(measured.sides[0].missing, None);
}

#[tokio::test]
async fn a_run_that_is_to_end_keeps_whole_blocks() {
    let folder = scratch("stop");
    let slices = folder.join("slices");
    let fine = arms(&json!(null));
    let note = format!("echo >> {};", slices.display());
    let plan = plan(worker(&fine, &fine, &note));
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let asking = async {
        // More than one block, less than all.
        while std::fs::read(&slices).map_or(0, |it| it.len()) < 80 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        stop.ask();
    };
    let cases = (0..50).map(|i| case(&format!("case_{i}"))).collect();
    let running = run(&plan, cases, None, &hidden, &stop);
    let (outcome, ()) = tokio::join!(running, asking);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(outcome.is_partial);
    assert!(!outcome.measured.is_empty() && outcome.measured.len() < 50);
    let blocks = outcome.measured.iter().flat_map(|it| &it.blocks);
    assert!(blocks.clone().all(|it| it.slices.len() == 6));
    assert!(blocks.count() >= 1);
}

#[tokio::test]
async fn an_earlier_revision_is_measured_in_the_same_blocks() {
    let fine = arms(&json!(null));
    let mut plan = plan(worker(&fine, &fine, ""));
    plan.against = Some(Against {
        revision: "decaf".into(),
        program: worker(&fine, &fine, ""),
        counting: None,
    });
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let outcome = run(&plan, vec![case("one")], None, &hidden, &stop).await;
    let measured = &outcome.measured[0];
    assert_eq!(measured.sides[2].role, Role::Baseline);
    assert_eq!(measured.sides[2].version, "decaf");
    assert!(measured.blocks.iter().all(|it| it.slices.len() == 8));
    let row = &summarise(measured, &Rules::quick())[0];
    let baseline = row.baseline.as_ref().unwrap();
    assert!((baseline.ratio - 1.0).abs() < 1e-9, "{baseline:?}");
    assert_eq!(row.verdict, Verdict::Same);
}

fn scratch(name: &str) -> PathBuf {
    let name = format!("ruleiq-bench-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
