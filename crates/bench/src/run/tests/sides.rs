//! Sides that are lost, or are not those that were meant.

use super::*;
use crate::{Block, verdict::Outcome as Verdicts};

fn fine() -> WorkerProgram {
    let fine = arms(&json!(null));
    worker(&fine, &fine, "")
}

/// A worker whose script has `to` for each `from`.
fn changed(from: &str, to: &str) -> WorkerProgram {
    let mut program = fine();
    assert!(program.arguments[1].contains(from), "{from}");
    program.arguments[1] = program.arguments[1].replace(from, to);
    program
}

/// A worker whose arm cannot run.
fn without(arm: &str) -> WorkerProgram {
    let slices = "*slice*'{\"side\":0}'*)";
    let refuse = format!("*slice*'{arm}'*) echo '{{\"error\":\"it broke\"}}';;\n{slices}");
    changed(slices, &refuse)
}

async fn against(then: WorkerProgram) -> Measured {
    let mut plan = plan(fine());
    plan.against = Some(Against {
        revision: "decaf".into(),
        program: then,
        counting: None,
    });
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let mut outcome = run(&plan, vec![case("one")], None, &hidden, &stop).await;
    outcome.measured.remove(0)
}

fn has(arm: ArmOf) -> impl Fn(&Block) -> bool {
    move |block| block.slices.iter().any(|it| it.0 == arm)
}

/// Of five turns, a side whose operations are long has as many as fill its slice, and an outside
/// program one; neither takes the others' time from them.
#[tokio::test]
async fn each_side_has_its_time_whatever_the_others_take() {
    let turns = |wall_s: f64, of: f64| {
        let before = format!("\"client\":{of}}},\"operations\":1000,\"wall_s\":");
        (format!("{before}0.001"), format!("{before}{wall_s}"))
    };
    for (role, wall_s, expect) in [
        (Role::Control, 0.25, 1_000),
        (Role::Control, 0.1, 2_000),
        (Role::Peer, 0.04, 1_000),
        (Role::Peer, 0.25, 1_000),
    ] {
        let (from, to) = turns(wall_s, 0.001);
        let mut program = changed(&from, &to);
        let (from, to) = turns(0.04, 0.003);
        assert!(program.arguments[1].contains(&from));
        program.arguments[1] = program.arguments[1].replace(&from, &to);
        let mut plan = plan(program);
        plan.profile.is_quick = false;
        let mut case = case("one");
        case.sides[1].role = role;
        let (hidden, stop) = (Progress::hidden(), Stop::default());
        let outcome = run(&plan, vec![case], None, &hidden, &stop).await;
        let blocks = &outcome.measured[0].blocks;
        assert_eq!(blocks.len(), plan.profile.blocks);
        for (of, slice) in blocks.iter().flat_map(|it| &it.slices) {
            let right = match of {
                ArmOf::Side(0) => 5_000,
                _ => expect,
            };
            assert_eq!(slice.operations, right, "{role:?} {wall_s} {of:?}");
        }
    }
}

#[tokio::test]
async fn another_case_of_the_same_name_is_not_compared() {
    let named = "\"case\":\"one\"";
    for (then, why) in [
        (changed(named, "\"case\":\"three\""), "does not have"),
        (
            changed("\"settings\":null", "\"settings\":{\"size\":2}"),
            "other settings: {\"size\":2} instead of null",
        ),
        (changed("[\"client\"]", "[\"redis\"]"), "other processes"),
        (without("{\"side\":0}"), "it broke"),
    ] {
        let measured = against(then).await;
        let missing = measured.sides[2].missing.clone().unwrap();
        assert!(missing.contains(why), "{missing}");
        assert!(!measured.blocks.iter().any(has(ArmOf::Side(2))));
        let rows = summarise(&measured, &Rules::quick());
        assert_eq!(rows[0].verdict, Verdict::Inconclusive);
        assert!(rows[0].reasons.contains(&missing), "{:?}", rows[0].reasons);
        assert_eq!(Verdicts::of(&rows).exit_code(), 3);
    }
}

#[tokio::test]
async fn the_earlier_worker_carries_the_same_sides() {
    let asked = "*set_up*'\"sides\":[0,1],\"again\":true'*)";
    let measured = against(changed("*set_up*)", asked)).await;
    assert_eq!(measured.sides[2].missing, None);
    assert!(measured.blocks.iter().all(|it| it.slices.len() == 8));
}

#[tokio::test]
async fn a_lost_control_takes_its_second_arm_with_it() {
    let outcome = run_of(without("{\"side\":1}"), &["one"]).await;
    let measured = &outcome.measured[0];
    assert!(
        measured.sides[1]
            .missing
            .as_ref()
            .unwrap()
            .contains("it broke")
    );
    assert!(measured.blocks.iter().any(has(ArmOf::Side(0))));
    assert!(!measured.blocks.iter().any(has(ArmOf::Again(1))));
    let row = &summarise(measured, &Rules::quick())[0];
    assert_eq!((row.aa_s, row.verdict), (None, Verdict::NoControl));
}

#[tokio::test]
async fn a_lost_second_arm_is_told() {
    let outcome = run_of(without("{\"again\":1}"), &["one"]).await;
    let measured = &outcome.measured[0];
    assert_eq!(measured.sides[1].missing, None);
    let row = &summarise(measured, &Rules::quick())[0];
    assert!(
        row.reasons.iter().any(|it| it.contains("it broke")),
        "{:?}",
        row.reasons
    );
    assert!(row.ratio.is_some() && row.aa_s.is_none());
}

#[tokio::test]
async fn wrong_answers_outlive_the_control_that_gave_them() {
    let folder = scratch("wrong");
    let mark = folder.join("answered");
    // Two slices of the control are wrong; then it breaks.
    let slices = "*slice*'{\"side\":0}'*)";
    let wrong = json!({"slice": {"operations": 1_000, "wall_s": 0.001, "wrong": 3,
        "cpu_s": {"client": 0.001}}});
    let control = format!(
        "*slice*'{{\"side\":1}}'*) echo >> {0}; if [ $(wc -l < {0}) -le 2 ]; then \
         echo '{wrong}'; else echo '{{\"error\":\"it broke\"}}'; fi;;\n{slices}",
        mark.display()
    );
    let outcome = run_of(changed(slices, &control), &["one"]).await;
    std::fs::remove_dir_all(&folder).unwrap();
    let measured = &outcome.measured[0];
    assert!(measured.sides[1].missing.is_some());
    let rows = summarise(measured, &Rules::quick());
    assert_eq!(rows[0].verdict, Verdict::Invalid, "{:?}", rows[0].reasons);
    assert!(rows[0].ratio.is_none(), "no figure of it is left");
    assert!(
        rows[0]
            .reasons
            .iter()
            .any(|it| it.contains("6 answers were wrong")),
        "{:?}",
        rows[0].reasons
    );
    assert_eq!(Verdicts::of(&rows).exit_code(), 2);
}
