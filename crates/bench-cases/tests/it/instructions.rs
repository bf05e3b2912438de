use std::path::Path;

use ruleiq_bench_cases::instructions::{InstructionsError, count_one, names};

/// Where valgrind is, the counts are the same twice; where it is not, its lack is told.
#[tokio::test]
async fn the_same_program_takes_the_same_instructions_twice() {
    let program = Path::new(env!("CARGO_BIN_EXE_bench-cases"));
    let valgrind = Path::new("valgrind");
    // One that makes no map: the keys of a hash table are drawn anew in each process, and where they
    // fall takes a few instructions more or less.
    let path = "histogram_record";
    assert!(names().any(|it| it == path));
    let first = match count_one(program, valgrind, path).await {
        Err(error @ InstructionsError::NotInstalled) => {
            assert!(error.to_string().contains("apt-get install valgrind"));
            println!("not counted: {error}");
            return;
        }
        counted => counted.unwrap(),
    };
    assert!(first.name == path && first.per_op > 1.0, "{first:?}");
    let second = count_one(program, valgrind, path).await.unwrap();
    // What a start does differs by the odd instruction: less than one in each operation.
    assert!(
        (first.per_op - second.per_op).abs() < 1.0,
        "{first:?}, {second:?}"
    );
}

#[tokio::test]
async fn a_program_that_fails_is_not_counted() {
    let program = Path::new("/bin/false");
    let valgrind = Path::new("valgrind");
    let error = count_one(program, valgrind, "cache_key").await.unwrap_err();
    let is_told = matches!(
        error,
        InstructionsError::Uncounted { .. } | InstructionsError::NotInstalled
    );
    assert!(is_told, "{error}");
}
