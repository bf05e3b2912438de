//! `advise`, on any database.

use std::{fs, path::PathBuf, process};

use ruleiq_test_support::TestDatabase;
use serde_json::Value;

use crate::server::program;

const SCHEMA: &str = "
    CREATE EXTENSION hypopg;
    CREATE TABLE things (id int PRIMARY KEY, a int NOT NULL, note text NOT NULL);
    INSERT INTO things SELECT i, i, repeat('x', 80) FROM generate_series(1, 20000) i;
    ANALYZE things";
const WORKLOAD: &str = "-- name: by_a weight: 9
    SELECT note FROM things WHERE a = 7;
    -- name: by_id
    SELECT note FROM things WHERE id = 7;";

/// A directory of one test's files, which goes with it.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Files {
        let name = format!("advise-{test}-{}", process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        Files(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What the program answers: its exit code, its output, its errors.
async fn advise(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = program();
    command
        .args(["advise", "--database-url", url])
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test]
async fn advice_is_printed_written_and_read_by_programs() {
    let database = TestDatabase::empty().await;
    database.client().await.batch_execute(SCHEMA).await.unwrap();
    let files = Files::new("good");
    let (workload, sql) = (
        files.write("workload.sql", WORKLOAD),
        files.path("indexes.sql"),
    );

    let asked = ["--workload", &workload, "--budget", "100%", "--sql", &sql];
    let (code, text, errors) = advise(database.url(), &asked).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("idx_things_a ON public.things (a)"), "{text}");
    let written = fs::read_to_string(&sql).unwrap();
    assert_eq!(written, "CREATE INDEX ON public.things (a);\n");

    let asked = ["--workload", &workload, "--skip", "by_a", "--json"];
    let (code, json, errors) = advise(database.url(), &asked).await;
    assert_eq!(code, Some(0), "{errors}");
    let advice: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(advice["indexes"], Value::Array(vec![]), "{json}");
    assert_eq!(advice["statements"][0]["name"], "by_id", "{json}");
    let asked = ["--workload", &workload, "--budget", "100%", "--trial"];
    let (code, text, errors) = advise(database.url(), &asked).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("-- run for real, 2 statements"), "{text}");
    assert!(text.contains("idx_things_a ON public.things (a)"), "{text}");

    let left = "SELECT count(*) FROM pg_indexes WHERE tablename = 'things'";
    let row = database.client().await.query_one(left, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "it is only read");
}

#[tokio::test]
async fn bad_input_is_told_in_one_line() {
    let database = TestDatabase::empty().await;
    database.client().await.batch_execute(SCHEMA).await.unwrap();
    let files = Files::new("bad");
    let good = files.write("good.sql", WORKLOAD);
    let empty = files.write("empty.sql", "-- nothing\n");
    let faulty = files.write("faulty.sql", "SELECT * FROM nowhere; SELECT FROM WHERE;");
    for (asked, expected) in [
        (vec!["--workload", &empty], "statement"),
        (
            vec!["--workload", &faulty],
            "none of the 2 statements could be planned",
        ),
        (
            vec!["--workload", "/nowhere.sql"],
            "failed to read /nowhere.sql",
        ),
        (vec!["--workload", &good, "--skip", "by_b"], "`--skip by_b`"),
        (
            vec!["--workload", &good, "--budget", "0"],
            "no index fits in `0`",
        ),
        (vec!["--workload", &good, "--seconds=-1"], "--seconds"),
        (
            vec!["--workload", &good, "--trial", "--trial-seconds=0"],
            "--trial-seconds",
        ),
        (
            vec!["--workload", &good, "--set", "work_mem"],
            "`name=value`",
        ),
        (
            vec!["--workload", &good, "--set", "role=postgres"],
            "is not for others to set",
        ),
        (vec![], "pg_stat_statements"),
    ] {
        let (code, text, errors) = advise(database.url(), &asked).await;
        assert_ne!(code, Some(0), "{asked:?}: {text}");
        assert!(errors.contains(expected), "{asked:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
    let somebody = database.client().await;
    let asked = ["--workload", &good, "--trial"];
    let (code, text, errors) = advise(database.url(), &asked).await;
    assert_eq!(code, Some(1), "{errors}");
    let why = "the advice was not tried out: 1 other clients are connected";
    assert!(errors.contains(why), "{errors}");
    assert!(text.contains("of the cost is left"), "it is told: {text}");
    drop(somebody);

    let elsewhere = database.url().replace(database.name(), "no_such_database");
    let (code, _, errors) = advise(&elsewhere, &["--workload", &good]).await;
    assert_ne!(code, Some(0));
    assert!(
        errors.contains("failed to connect to the database"),
        "{errors}"
    );
}
