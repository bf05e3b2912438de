use std::{panic::Location, time::Duration};

use ruleiq_query::Shape;
use ruleiq_scope::{MAX_DISTINCT, Scope, StatementRun, assert_statements};

/// Runs a statement, as a pool would log it.
#[track_caller]
fn run(sql: &str) {
    if let Some(scope) = Scope::current() {
        scope.record_statement(StatementRun {
            shape: Shape::of(sql),
            call_site: Location::caller(),
            arguments: None,
            rows: 1,
            elapsed: Duration::from_micros(1),
        });
    }
}

/// What a test says that fails.
async fn failure(test: impl Future<Output = ()> + Send + 'static) -> String {
    let panic = tokio::spawn(test).await.unwrap_err().into_panic();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_block_that_runs_no_more_is_its_value() {
    let name = String::from("x");
    let value = assert_statements!(max = 2, {
        run("SELECT 1");
        tokio::task::yield_now().await;
        run("SELECT 2");
        name.as_str()
    });
    assert_eq!(value, "x");
    assert_statements!(max = 0, {});
    assert_statements!(exact = 1, { run("SELECT 1") },);
}

#[tokio::test]
async fn too_many_statements_are_listed_with_their_lines_the_most_frequent_first() {
    let told = failure(async {
        assert_statements!(max = 2, {
            run("SELECT name FROM users");
            for id in [17, 18, 19] {
                run(&format!("SELECT * FROM posts WHERE author = {id}"));
            }
        });
    })
    .await;
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    assert_eq!(lines[0], "expected at most 2 statements, 4 ran:");
    assert_eq!(lines[1], "3 × select * from posts where author = ?");
    assert!(lines[2].contains("assert_statements.rs:"), "{told}");
    assert_eq!(lines[3], "1 × select name from users");
    assert_eq!(lines.len(), 5, "{told}");
}

#[tokio::test]
async fn an_exact_number_fails_on_fewer_and_on_more() {
    for (expected, ran) in [(3, 2), (3, 4), (1, 0)] {
        let told = failure(async move {
            assert_statements!(exact = expected, {
                for _ in 0..ran {
                    run("SELECT 1");
                }
            });
        })
        .await;
        let first = format!("expected exactly {expected} statements, {ran} ran:");
        assert_eq!(told.lines().next().unwrap(), first);
    }
}

#[tokio::test]
async fn within_a_scope_only_what_the_block_runs_is_counted_and_the_scope_has_it_too() {
    let scope = Scope::builder().route("/x").build();
    let test = async {
        run("SELECT 1");
        assert_statements!(exact = 3, {
            run("SELECT 1");
            assert_statements!(exact = 1, { run("SELECT 2") });
            assert_eq!(Scope::current().unwrap().route(), Some("/x"));
            run("SELECT 3");
        });
    };
    scope.clone().run(test).await;
    assert_eq!(scope.statement_count(), 4);
}

#[tokio::test]
async fn a_scope_that_the_block_makes_within_its_own_counts() {
    assert_statements!(exact = 2, {
        let request = Scope::builder().within(Scope::current().unwrap()).build();
        request.run(async { run("SELECT 1") }).await;
        run("SELECT 2");
    });
}

#[tokio::test]
async fn statements_that_there_was_no_room_for_are_counted() {
    let told = failure(async {
        assert_statements!(max = 0, {
            for n in 0..MAX_DISTINCT + 7 {
                run(&format!("SELECT c{n}"));
            }
        });
    })
    .await;
    assert_eq!(
        told.lines().next_back().unwrap().trim(),
        "7 × others, which there was no room to tell apart"
    );
    assert!(told.starts_with("expected at most 0 statements, 263 ran:"));
}

#[tokio::test]
async fn a_block_that_fails_or_is_left_early_is_counted_all_the_same() {
    let left = assert_statements!(max = 1, {
        run("SELECT 1");
        Err::<(), _>("broken")?;
        run("SELECT 2");
        Ok::<(), &str>(())
    });
    assert_eq!(left, Err("broken"));
}
