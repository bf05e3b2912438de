use std::path::Path;

use ruleiq_bench_cases::instructions::{InstructionsError, count, names};

/// Where valgrind is, the counts are the same twice; where it is not, its lack is told.
#[tokio::test]
async fn the_same_program_takes_the_same_instructions_twice() {
    let program = Path::new(env!("CARGO_BIN_EXE_bench-cases"));
    let valgrind = Path::new("valgrind");
    let first = match count(program, valgrind).await {
        Err(error @ InstructionsError::NotInstalled) => {
            assert!(error.to_string().contains("apt-get install valgrind"));
            println!("not counted: {error}");
            return;
        }
        counted => counted.unwrap(),
    };
    let counted: Vec<&str> = first.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(counted, names().collect::<Vec<_>>());
    assert!(first.iter().all(|it| it.per_op > 1.0), "{first:?}");
    assert_eq!(first, count(program, valgrind).await.unwrap());
}

#[tokio::test]
async fn a_program_that_fails_is_not_counted() {
    let program = Path::new("/bin/false");
    let error = count(program, Path::new("valgrind")).await.unwrap_err();
    let is_told = matches!(
        error,
        InstructionsError::Uncounted { .. } | InstructionsError::NotInstalled
    );
    assert!(is_told, "{error}");
}
