//! What the detector says of a log, as pools would have written it.

use std::{num::NonZeroU32, panic::Location, time::Duration};

use ruleiq_db_optimizer::n_plus_one::{Detector, Finding, Kind, Report};
use ruleiq_query::{Arguments, Shape};
use ruleiq_scope::{MAX_DISTINCT, Scope, StatementRun};

const SELECT: &str = "SELECT name FROM users WHERE id = $1";

/// Logs so many runs from one line, each of so many rows.
#[track_caller]
fn log(scope: &Scope, sql: &str, runs: u32, rows: u64, argument: impl Fn(u32) -> u32) {
    log_at(scope, sql, Location::caller(), runs, rows, argument);
}

fn log_at(
    scope: &Scope,
    sql: &str,
    call_site: &'static Location<'static>,
    runs: u32,
    rows: u64,
    argument: impl Fn(u32) -> u32,
) {
    for n in 0..runs {
        let shape = Shape::of(sql);
        let again = scope.begins_again(shape.fingerprint(), call_site);
        let of_run = || Arguments::of(&argument(n).to_string(), &[], &[]);
        scope.record_statement(StatementRun {
            shape,
            call_site,
            arguments: again.then(of_run),
            rows,
            elapsed: Duration::from_millis(1),
        });
    }
}

fn each(n: u32) -> u32 {
    n
}

fn same(_: u32) -> u32 {
    0
}

fn examine(sql: &str, runs: u32, rows: u64, argument: impl Fn(u32) -> u32) -> Vec<Finding> {
    let scope = Scope::builder().build();
    log(&scope, sql, runs, rows, argument);
    Detector::default().examine(&scope).findings
}

#[test]
fn a_statement_is_reported_from_the_threshold_on() {
    let detector = |threshold| Detector::new(NonZeroU32::new(threshold).unwrap());
    for (threshold, runs, found) in [(5, 4, 0), (5, 5, 1), (2, 1, 0), (2, 2, 1), (1, 1, 0)] {
        let scope = Scope::builder().build();
        log(&scope, SELECT, runs, 1, each);
        let findings = detector(threshold).examine(&scope).findings;
        assert_eq!(findings.len(), found, "{runs} runs, threshold {threshold}");
    }
}

#[test]
fn what_it_is_depends_on_what_it_does_and_on_its_arguments() {
    use Kind::{NPlusOne, RepeatedRead, WriteLoop};
    let insert = "INSERT INTO t (a) VALUES ($1) RETURNING id";
    for (sql, argument, kind) in [
        (SELECT, each as fn(u32) -> u32, Some(NPlusOne)),
        (SELECT, same, Some(RepeatedRead)),
        (insert, each, Some(WriteLoop)),
        (insert, same, Some(WriteLoop)),
        ("UPDATE t SET a = $1 WHERE id = $2", each, Some(WriteLoop)),
        ("DELETE FROM t WHERE id = $1", each, Some(WriteLoop)),
        ("SELECT nextval('s')", same, None),
        ("SELECT set_config('a', $1, true)", each, None),
        ("BEGIN", same, None),
        ("COMMIT", same, None),
        ("SET LOCAL statement_timeout = 1", same, None),
        ("FETCH 10 FROM c", same, None),
    ] {
        let found = examine(sql, 9, 1, argument);
        assert_eq!(found.first().map(|it| it.kind), kind, "{sql}");
        assert_eq!(found.len(), usize::from(kind.is_some()), "{sql}");
    }
}

#[test]
fn runs_whose_arguments_nobody_looked_at_are_no_repeated_reads() {
    let scope = Scope::builder().build();
    for _ in 0..9 {
        scope.record_statement(StatementRun {
            shape: Shape::of(SELECT),
            call_site: Location::caller(),
            arguments: None,
            rows: 1,
            elapsed: Duration::ZERO,
        });
    }
    let report = Detector::default().examine(&scope);
    assert_eq!(report.findings[0].kind, Kind::NPlusOne);
    assert!(report.findings[0].share <= 1.0, "{report}");
}

#[test]
fn pages_and_batches_are_not_reported() {
    assert_eq!(examine(SELECT, 9, 99, each).len(), 1);
    assert_eq!(examine(SELECT, 9, 100, each).len(), 0);
    let bulk = "INSERT INTO t (a) SELECT * FROM unnest($1::int[])";
    assert_eq!(examine(bulk, 9, 1_000, each).len(), 0);
}

#[test]
fn the_same_statement_from_other_lines_is_another_matter() {
    let scope = Scope::builder().build();
    let (one, other) = (Location::caller(), Location::caller());
    assert_ne!(one, other);
    log_at(&scope, SELECT, one, 4, 1, each);
    log_at(&scope, SELECT, other, 4, 1, each);
    assert!(Detector::default().examine(&scope).findings.is_empty());
    log_at(&scope, SELECT, other, 1, 1, each);
    let findings = Detector::default().examine(&scope).findings;
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].call_site, findings[0].count), (other, 5));
}

#[test]
fn a_line_that_is_allowed_is_not_reported() {
    let here = Location::caller();
    let line = format!("{}:{}", here.file(), here.line());
    let shorter = &line[..line.len() - 1];
    for (allowed, found) in [
        (here.file(), 0),
        (&*line, 0),
        (shorter, 1),
        ("elsewhere.rs", 1),
    ] {
        let scope = Scope::builder().build();
        log_at(&scope, SELECT, here, 9, 1, each);
        let detector = Detector::default().allow(allowed);
        assert_eq!(detector.examine(&scope).findings.len(), found, "{allowed}");
    }
}

#[test]
fn beyond_what_the_log_tells_apart_nothing_is_made_up() {
    let scope = Scope::builder().build();
    for n in 0..MAX_DISTINCT {
        log(&scope, &format!("SELECT c{n} FROM t"), 1, 1, each);
    }
    // There is no room for it any more.
    log(&scope, SELECT, 50, 1, each);
    assert!(Detector::default().examine(&scope).findings.is_empty());
    log(&scope, "SELECT c3 FROM t", 50, 1, each);
    assert_eq!(
        Detector::default().examine(&scope).findings.len(),
        0,
        "from another line"
    );
    assert_eq!(scope.summary().statements.untold(), 100);
}

fn report() -> Report {
    let scope = Scope::builder().route("/posts/{id}").build();
    log(&scope, "SELECT * FROM posts LIMIT 10", 1, 10, each);
    log(&scope, SELECT, 6, 1, each);
    log(
        &scope,
        "SELECT v FROM settings WHERE k = 'private'",
        9,
        1,
        same,
    );
    log(
        &scope,
        "INSERT INTO seen (post, at) VALUES ($1, $2)",
        5,
        1,
        each,
    );
    Detector::default().examine(&scope)
}

#[test]
fn a_report_names_route_line_count_share_and_batched_form_the_dearest_first() {
    let text = report().to_string();
    let without_lines: Vec<&str> = text
        .lines()
        .map(|line| {
            line.split_once(" from crates/")
                .map_or(line, |(before, _)| before)
        })
        .collect();
    assert_eq!(
        without_lines.join("\n"),
        "\
/posts/{id}: 3 statements run again and again
  9 ×
    select v from settings where k = ?
    9.0 ms, 43 % of the time in the database, 9 rows
    keep its answer, or cache it: it was asked the same each time
  6 ×
    select name from users where id = ?
    6.0 ms, 29 % of the time in the database, 6 rows
    read for all keys at once: select name from users where id = any(?)
  5 ×
    insert into seen(post, at) values (?)
    5.0 ms, 24 % of the time in the database, 5 rows
    write all rows in one statement: insert into seen(post, at) select * from unnest(?::…[], ?::…[])"
    );
    assert_eq!(text.matches("tests/it/n_plus_one.rs:").count(), 3, "{text}");
    assert!(!text.contains("private"), "{text}");
}

#[test]
fn a_report_for_people_has_twenty_findings_and_says_how_many_more_there_are() {
    let scope = Scope::builder().build();
    for n in 0..25 {
        log(
            &scope,
            &format!("SELECT c{n} FROM t WHERE id = $1"),
            5,
            1,
            each,
        );
    }
    let report = Detector::default().examine(&scope);
    assert_eq!(report.findings.len(), 25);
    let text = report.to_string();
    assert!(text.starts_with("(no route): 25 statements"), "{text}");
    assert_eq!(text.matches("5 × from ").count(), 20, "{text}");
    assert!(text.ends_with("\n  and 5 others"), "{text}");
}

#[test]
fn a_report_is_the_same_for_programs() {
    let json = serde_json::to_value(report()).unwrap();
    assert_eq!(json["route"], "/posts/{id}");
    let finding = &json["findings"][1];
    assert_eq!(finding["kind"], "n-plus-one");
    assert_eq!(finding["fingerprint"], fingerprint_of(SELECT));
    assert_eq!(finding["statement"], "select name from users where id = ?");
    assert_eq!(finding["count"], 6);
    assert_eq!(finding["rows"], 6);
    assert_eq!(finding["elapsed_ms"], 6.0);
    assert!((finding["share"].as_f64().unwrap() - 6.0 / 21.0).abs() < 1e-9);
    assert_eq!(
        finding["batched"],
        "select name from users where id = any(?)"
    );
    let call_site = finding["call_site"].as_str().unwrap();
    assert!(call_site.contains("tests/it/n_plus_one.rs:"), "{call_site}");
}

fn fingerprint_of(sql: &str) -> String {
    ruleiq_query::Fingerprint::of(sql).to_string()
}

#[tokio::test]
async fn a_request_that_is_dropped_or_panics_leaves_its_log() {
    let scope = Scope::builder().build();
    let dropped = scope.clone().run(async {
        log(&Scope::current().unwrap(), SELECT, 6, 1, each);
        std::future::pending::<()>().await;
    });
    tokio::time::timeout(Duration::ZERO, dropped)
        .await
        .unwrap_err();
    assert_eq!(Detector::default().examine(&scope).findings.len(), 1);

    let scope = Scope::builder().build();
    let panics = scope.clone().run(async {
        log(&Scope::current().unwrap(), SELECT, 6, 1, each);
        panic!("as it should");
    });
    tokio::spawn(panics).await.unwrap_err();
    assert_eq!(Detector::default().examine(&scope).findings.len(), 1);
}
