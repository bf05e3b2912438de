//! Plans that are dear to make, as texts.

use ruleiq_db_optimizer::{Case, Finding, Plan, Runs};

fn diagnose(text: &str, plan: &str) -> Vec<Finding> {
    let plan = Plan::parse(plan).unwrap();
    Case::new(&plan).text(text).diagnose()
}

/// The first plan shows what the rule is for, the second does not.
fn check(code: &str, text: &str, ill: &str, well: &str) {
    let found = diagnose(text, ill);
    assert!(
        found.iter().any(|it| it.code == code),
        "no `{code}` in {found:?}"
    );
    let cured = diagnose(text, well);
    assert!(
        !cured.iter().any(|it| it.code == code),
        "`{code}` in {cured:?}"
    );
}

#[test]
fn compiling_is_judged_by_its_share_of_short_statements() {
    let plan = |jit, whole| {
        format!(
            r#"[{{"Plan": {{"Node Type": "Result"}}, "JIT": {{"Functions": 9, "Timing": {{"Total": {jit}}}}},
                "Execution Time": {whole}}}]"#
        )
    };
    check("jit", "select 1", &plan(100, 300), &plan(10, 300));
    check("jit", "select 1", &plan(100, 300), &plan(4_000, 9_000));
}

#[test]
fn a_count_of_a_million_rows_is_told_of() {
    let plan = |rows, key| {
        format!(
            r#"[{{"Plan": {{"Node Type": "Aggregate", "Partial Mode": "Simple", "Output": ["count(*)"], {key}
                "Plans": [{{"Node Type": "Seq Scan", "Relation Name": "t", "Plan Rows": {rows}}}]}}}}]"#
        )
    };
    check(
        "count_all",
        "select count(*) from t",
        &plan(2_000_000, ""),
        &plan(2_000, ""),
    );
    let grouped = plan(2_000_000, r#""Group Key": ["x"],"#);
    check(
        "count_all",
        "select count(*) from t",
        &plan(2_000_000, ""),
        &grouped,
    );
}

#[test]
fn rows_without_a_limit_are_told_of_by_their_number_per_run() {
    let plan = Plan::parse(r#"[{"Plan": {"Node Type": "Seq Scan"}}]"#).unwrap();
    let is_told = |text, calls, rows| {
        let found = Case::new(&plan)
            .text(text)
            .runs(Runs { calls, rows })
            .diagnose();
        found.iter().any(|it| it.code == "missing_limit")
    };
    assert!(is_told("SELECT * FROM t", 2, 30_000));
    assert!(!is_told("SELECT * FROM t", 20, 30_000));
    assert!(!is_told("SELECT * FROM t LIMIT 50000", 2, 30_000));
    assert!(!is_told("UPDATE t SET x = 1", 2, 30_000));
    assert!(!is_told("SELECT * FROM t", 0, 0));
}

#[test]
fn wide_rows_are_told_of_where_there_are_many() {
    let plan = |width, rows| {
        format!(
            r#"[{{"Plan": {{"Node Type": "Seq Scan", "Plan Width": {width}, "Plan Rows": {rows}}}}}]"#
        )
    };
    check(
        "wide_rows",
        "select * from t",
        &plan(5_000, 1_000),
        &plan(100, 1_000),
    );
    check(
        "wide_rows",
        "select * from t",
        &plan(5_000, 1_000),
        &plan(5_000, 1),
    );
}

#[test]
fn reading_is_told_of_where_it_takes_most_of_the_time() {
    let plan = |read, ms, key| {
        format!(
            r#"[{{"Plan": {{"Node Type": "Seq Scan", "Shared Hit Blocks": 10, "Shared Read Blocks": {read},
                "{key}": {ms}}}, "Execution Time": 100}}]"#
        )
    };
    let key = "I/O Read Time";
    check(
        "cold_reads",
        "select 1",
        &plan(90, 80, key),
        &plan(90, 20, key),
    );
    check(
        "cold_reads",
        "select 1",
        &plan(90, 80, "Shared I/O Read Time"),
        &plan(5, 80, key),
    );
}

#[test]
fn log_of_whole_pages_is_told_of() {
    let plan = |pages| {
        format!(
            r#"[{{"Plan": {{"Node Type": "ModifyTable", "WAL Records": 5000, "WAL FPI": {pages},
                "WAL Bytes": 4000000}}}}]"#
        )
    };
    check("wal", "update t set x = 1", &plan(400), &plan(40));
}

#[test]
fn planning_is_told_of_where_it_is_longer_than_running() {
    let plan = |planning, running| {
        format!(
            r#"[{{"Plan": {{"Node Type": "Result"}}, "Planning Time": {planning}, "Execution Time": {running}}}]"#
        )
    };
    check("planning_time", "select 1", &plan(50, 5), &plan(5, 1));
    check("planning_time", "select 1", &plan(50, 5), &plan(50, 500));
}

#[test]
fn time_that_is_neither_work_nor_reading_is_told_of() {
    let plan = |rows| {
        format!(
            r#"[{{"Plan": {{"Node Type": "ModifyTable", "Actual Total Time": 5000, "Actual Rows": 0,
                "Actual Loops": 1, "Plans": [{{"Node Type": "Index Scan", "Actual Total Time": 1,
                "Actual Rows": {rows}, "Actual Loops": 1}}]}}, "Execution Time": 5001}}]"#
        )
    };
    check(
        "lock_wait",
        "update t set x = 1",
        &plan(3),
        &plan(1_000_000),
    );
}

#[test]
fn workers_share_time_and_what_never_ran_is_not_judged() {
    // 3 processes for 100 ms each: their sum is not the time of the clock.
    let parallel = r#"[{"Plan": {"Node Type": "Gather", "Workers Planned": 2, "Workers Launched": 2,
        "Actual Total Time": 101, "Actual Rows": 0, "Actual Loops": 1, "Plans": [
            {"Node Type": "Seq Scan", "Relation Name": "t", "Filter": "(x = 1)", "Plan Rows": 1,
             "Actual Total Time": 100, "Actual Rows": 0.33, "Actual Loops": 3,
             "Rows Removed by Filter": 100000}]}, "Execution Time": 102}]"#;
    let found = diagnose("select 1", parallel);
    let scan = found.iter().find(|it| it.code == "filtered_scan").unwrap();
    assert!((scan.numbers["self_ms"] - 100.0).abs() < 1.0, "{scan}");
    assert_eq!(scan.numbers["removed_rows"], 300_000.0);
    let never = r#"[{"Plan": {"Node Type": "Append", "Actual Total Time": 0, "Actual Rows": 0,
        "Actual Loops": 1, "Plans": [{"Node Type": "Seq Scan", "Filter": "(x = 1)", "Plan Rows": 100000,
        "Total Cost": 1e10, "Actual Total Time": 0, "Actual Rows": 0, "Actual Loops": 0,
        "Rows Removed by Filter": 0}]}, "Execution Time": 0.1}]"#;
    assert_eq!(diagnose("select 1", never), []);
}

#[test]
fn an_aggregate_that_went_to_disk_is_told_of() {
    let plan = |batches, disk| {
        format!(
            r#"[{{"Plan": {{"Node Type": "Aggregate", "Strategy": "Hashed", "Group Key": ["x"],
                "HashAgg Batches": {batches}, "Disk Usage": {disk}, "Actual Total Time": 50, "Actual Rows": 1,
                "Actual Loops": 1, "Plan Rows": 1}}, "Execution Time": 60}}]"#
        )
    };
    check("hash_spill", "select 1", &plan(5, 900), &plan(1, 0));
}
