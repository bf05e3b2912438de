//! Exact counts, and runs that cannot go on.

use super::*;

/// What a script answers to `counts`.
fn counting(counts: &serde_json::Value) -> WorkerProgram {
    let fine = arms(&json!(null));
    let mut program = worker(&fine, &fine, "");
    let script = &mut program.arguments[1];
    *script = script.replace("{\"counts\":[]}", &json!({ "counts": counts }).to_string());
    program
}

fn without_program() -> WorkerProgram {
    WorkerProgram {
        program: "/nowhere/bench-cases-alloc".into(),
        ..counting(&json!([]))
    }
}

async fn measured(plan: &RunPlan) -> Measured {
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let mut outcome = run(plan, vec![case("one")], None, &hidden, &stop).await;
    assert!(outcome.fault.is_none() && !outcome.is_partial);
    outcome.measured.remove(0)
}

#[tokio::test]
async fn a_count_that_fails_is_told_beside_the_others() {
    let counts = json!([
        [{"side": 0}, {"fault": "the statistics are off"}],
        [{"side": 1}, {"statements_per_op": 2.0}],
        [{"again": 1}, {"fault": "the statistics are off"}],
    ]);
    let measured = measured(&plan(counting(&counts))).await;
    assert_eq!(measured.sides[1].counts["statements_per_op"], 2.0);
    let row = &summarise(&measured, &Rules::quick())[0];
    let told = |it: &&String| it.contains("ours") && it.contains("the statistics are off");
    assert_eq!(row.reasons.iter().filter(told).count(), 1, "{row:?}");
    assert_eq!(measured.notes.len(), 1);
}

#[tokio::test]
async fn a_worker_that_cannot_count_costs_its_counts_alone() {
    let mut plan = plan(counting(&json!([])));
    plan.counting = Some(without_program());
    let measured = measured(&plan).await;
    assert_eq!(measured.blocks.len(), Profile::quick().blocks);
    assert!(
        measured.notes[0].contains("/nowhere/bench-cases-alloc"),
        "{:?}",
        measured.notes
    );
}

#[tokio::test]
async fn allocations_of_both_revisions_are_compared() {
    let counts = |allocations: f64| {
        counting(&json!([
            [{"side": 0}, {"allocations_per_op": allocations}],
            [{"side": 1}, {"allocations_per_op": 1.0}],
        ]))
    };
    let mut plan = plan(counting(&json!([])));
    plan.counting = Some(counts(7.0));
    plan.against = Some(Against {
        revision: "decaf".into(),
        program: counting(&json!([])),
        counting: Some(counts(6.0)),
    });
    let measured = measured(&plan).await;
    let of = |side: usize| measured.sides[side].counts["allocations_per_op"];
    assert_eq!((of(0), of(1), of(2)), (7.0, 1.0, 6.0));
    let rows = summarise(&measured, &Rules::quick());
    let row = rows.iter().find(|it| it.metric == "allocations_per_op");
    assert_eq!(row.unwrap().verdict, Verdict::Regressed);
}

#[tokio::test]
async fn what_was_measured_outlives_a_worker_that_does_not_start() {
    let folder = scratch("restart");
    let mark = folder.join("starts");
    let mut program = counting(&json!([]));
    // The first worker dies in its second case; there is no other.
    let script = &mut program.arguments[1];
    let hello = format!(
        "echo >> {0}; if [ $(wc -l < {0}) -gt 1 ]; then echo 'no memory' >&2; exit 3; fi\n\
         sets=0\n",
        mark.display()
    );
    *script = script.replace(
        "*set_up*)",
        "*set_up*) sets=$((sets + 1)); if [ $sets -gt 1 ]; then exit 9; fi;",
    );
    *script = format!("{hello}{script}");
    let cases = ["one", "two", "three"].map(case).to_vec();
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let outcome = run(&plan(program), cases, None, &hidden, &stop).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(outcome.is_partial);
    let fault = outcome.fault.unwrap().to_string();
    assert!(fault.contains("no memory"), "{fault}");
    let whole = |it: &&Measured| it.blocks.len() == Profile::quick().blocks;
    assert_eq!(outcome.measured.iter().filter(whole).count(), 1);
}

#[tokio::test]
async fn what_was_measured_outlives_a_full_disk() {
    let plan = plan(counting(&json!([])));
    let mut store = Store::on(std::path::Path::new("/dev/full"));
    let (hidden, stop) = (Progress::hidden(), Stop::default());
    let cases = vec![case("one"), case("two")];
    let outcome = run(&plan, cases, Some(&mut store), &hidden, &stop).await;
    assert!(outcome.is_partial);
    assert!(matches!(outcome.fault, Some(RunError::Store(_))));
    assert_eq!(outcome.measured.len(), 1);
    assert_eq!(verdict(&outcome.measured[0]), Verdict::Missed);
}
