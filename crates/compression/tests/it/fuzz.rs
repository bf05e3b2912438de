//! What a fuzzer looks for, on every toolchain: the corpus that was kept, and cases that proptest makes.
//!
//! The full storm has the fuzzer itself at work where a nightly toolchain and `cargo-fuzz` are installed.

#[path = "../../fuzz/checks.rs"]
#[allow(unreachable_pub, reason = "it is a library where the fuzzer builds it")]
mod checks;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};

use crate::soak::{is_full, report_none};

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");
/// Of a target, in a full run.
const SECONDS: u64 = 300;
/// Of a target, in a small one.
const CASES: u32 = 300;
/// The longest input that libFuzzer makes by itself, in bytes.
const MOST_BYTES: usize = 4_096;

#[test]
fn what_a_fuzzer_has_found_holds() {
    for (target, check) in [
        ("headers", checks::headers as fn(&[u8])),
        ("chunking", checks::chunking),
    ] {
        let files = corpus(target);
        assert!(!files.is_empty(), "the corpus of `{target}` is empty");
        for file in files {
            let data = fs::read(&file).unwrap();
            let checked = std::panic::catch_unwind(|| check(&data));
            assert!(checked.is_ok(), "{}", file.display());
        }
    }
}

mod storm {
    use super::{checks, run};

    #[test]
    fn of_headers() {
        run("headers", checks::headers);
    }

    #[test]
    fn of_chunking() {
        run("chunking", checks::chunking);
    }
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(FUZZ).join("corpus").join(target);
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|it| it.unwrap().path()).collect()
}

/// A crash's input stands in what is printed of it.
#[allow(clippy::print_stdout, reason = "it says what was run")]
fn run(target: &str, check: fn(&[u8])) {
    let crash = if is_full() && has_fuzzer() {
        println!("{target}: cargo-fuzz for {SECONDS} s");
        fuzzed(target)
    } else if is_full() {
        println!("{target}: proptest for {SECONDS} s, without a nightly toolchain or cargo-fuzz");
        let end = Instant::now() + Duration::from_secs(SECONDS);
        loop {
            let crash = generated(check);
            if crash.is_some() || Instant::now() >= end {
                break crash;
            }
        }
    } else {
        println!("{target}: {CASES} cases of proptest");
        generated(check)
    };
    if let Some(crash) = &crash {
        println!("{target}: {crash}");
    }
    report_none(
        &format!("fuzz_{target}"),
        usize::from(crash.is_some()),
        "crashes",
    );
}

fn has_fuzzer() -> bool {
    let mut command = nightly();
    let command = command.args(["fuzz", "--version"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|it| it.success())
}

/// By rustup, since a `cargo` that runs tests has its own toolchain in front of the path.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    command
}

/// Runs the fuzzer, and answers what it has printed of a crash.
#[allow(clippy::print_stdout, reason = "it says what was run")]
fn fuzzed(target: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // What it finds goes to the first folder; what is kept is read from the second.
    let found = folder.join(format!("corpus-{target}"));
    fs::create_dir_all(&found).unwrap();
    let output = nightly()
        .args(["fuzz", "run", "--fuzz-dir", FUZZ, "--target-dir"])
        .arg(folder.join("fuzz"))
        .arg(target)
        .arg(&found)
        .arg(Path::new(FUZZ).join("corpus").join(target))
        .arg("--")
        .arg(format!("-max_total_time={SECONDS}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    for done in said.lines().filter(|it| it.starts_with("Done ")) {
        println!("{target}: {done}");
    }
    (!output.status.success()).then(|| {
        // The input stands there in several forms, behind the panic.
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    })
}

/// Answers the smallest input for which a check panics, if it does for one of these.
fn generated(check: fn(&[u8])) -> Option<String> {
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    // Mostly short, since a long one is slow and holds little that is not in a short one.
    let data = prop_oneof![
        4 => vec(any::<u8>(), 0..100),
        4 => vec(prop_oneof![0_u8..16, any::<u8>()], 0..300),
        2 => "[brzstdgip*;q=0-1., -]{0,100}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..MOST_BYTES),
    ];
    let checked = runner.run(&data, |data| {
        check(&data);
        Ok(())
    });
    checked.err().map(|error| match error {
        TestError::Fail(reason, data) => format!("{reason}, for {data:?}"),
        TestError::Abort(reason) => reason.to_string(),
    })
}
