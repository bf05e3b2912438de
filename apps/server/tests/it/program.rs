//! The command line.

use ruleiq_test_support::TestDatabase;

use crate::server::{PASSWORD, program};

fn run(configure: impl FnOnce(&mut std::process::Command)) -> (Option<i32>, String, String) {
    let mut command = program();
    configure(&mut command);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn faulty_settings_are_reported_at_once_with_their_own_exit_code() {
    let (code, _, errors) = run(|it| {
        it.env("DATABASE_POOL_SIZE", "none").env("WORKERS", "0");
    });
    assert_eq!(code, Some(64));
    for name in [
        "DATABASE_POOL_SIZE",
        "WORKERS",
        "DATABASE_URL",
        "REDIS_URL",
        "JWT_KEYS",
    ] {
        assert!(errors.contains(name), "{errors}");
    }
}

#[test]
fn settings_lists_every_setting_without_secrets() {
    let (code, list, _) = run(|it| {
        it.arg("settings")
            .env("DATABASE_URL", "postgres://a:hidden@h/d");
        it.env("REDIS_URL", "redis://:hidden@h")
            .env("JWT_KEYS", "k:hiddenhiddenhiddenhiddenhiddenhiddenhiddenA");
    });
    assert_eq!(code, Some(0));
    assert!(list.contains("DATABASE_POOL_SIZE=10"), "{list}");
    assert!(!list.contains("hidden"), "{list}");
}

#[tokio::test]
async fn demo_data_are_refused_in_production() {
    let database = TestDatabase::migrated().await;
    let seed = |scale: &'static str, environment: &'static str| {
        let url = database.url().to_owned();
        tokio::task::spawn_blocking(move || {
            run(|it| {
                it.args(["seed", "--scale", scale])
                    .env("DATABASE_OWNER_URL", url);
                it.env("RULEIQ_ENV", environment);
            })
        })
    };
    let (code, _, errors) = seed("small", "production").await.unwrap();
    assert_eq!(code, Some(1));
    assert!(errors.contains("RULEIQ_ENV=development"), "{errors}");
    for (scale, environment) in [("frameworks", "production"), ("small", "development")] {
        let (code, _, errors) = seed(scale, environment).await.unwrap();
        assert_eq!(code, Some(0), "{errors}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_ours_is_neither_seeded_nor_reverted() {
    let database = TestDatabase::migrated().await;
    database
        .client()
        .await
        .batch_execute("DELETE FROM ruleiq_marker")
        .await
        .unwrap();
    let with = |arguments: &'static [&'static str]| {
        let (url, name) = (database.url().to_owned(), database.name().to_owned());
        tokio::task::spawn_blocking(move || {
            run(|it| {
                let arguments = arguments.iter().map(|it| it.replace("NAME", &name));
                it.args(arguments).env("DATABASE_OWNER_URL", url);
                it.env("RULEIQ_ENV", "development");
            })
        })
    };
    for arguments in [
        &["seed", "--scale", "small"] as &[_],
        &["seed", "--scale", "small", "--i-own", "another"],
        &["migrate", "down"],
        &["migrate", "down", "--all", "--i-own", "another"],
    ] {
        let (code, _, errors) = with(arguments).await.unwrap();
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(errors.contains("--i-own"), "{errors}");
    }
    let (code, _, errors) = with(&["seed", "--scale", "small", "--i-own", "NAME"])
        .await
        .unwrap();
    assert_eq!(code, Some(0), "{errors}");
}

#[tokio::test]
async fn a_user_is_made_once() {
    let database = TestDatabase::migrated().await;
    let create = |more: &'static [&'static str]| {
        let url = database.url().to_owned();
        tokio::task::spawn_blocking(move || {
            run(|it| {
                it.args([
                    "user",
                    "create",
                    "--email",
                    "Root@Example.com",
                    "--name",
                    "Root",
                ]);
                it.args(more).env("DATABASE_OWNER_URL", url);
                it.env("RULEIQ_USER_PASSWORD", PASSWORD);
            })
        })
    };
    let (code, _, errors) = create(&["--admin"]).await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    let (code, _, errors) = create(&[]).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(errors.contains("--if-absent"), "{errors}");
    assert_eq!(create(&["--if-absent"]).await.unwrap().0, Some(0));
    let row = database
        .client()
        .await
        .query_one("SELECT email, is_admin FROM users", &[])
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, String>(0), row.get(1)),
        ("root@example.com".to_owned(), true)
    );
}

#[tokio::test]
async fn check_says_what_is_missing() {
    let (empty, ready) = (TestDatabase::empty().await, TestDatabase::migrated().await);
    let redis = ruleiq_test_support::TestRedis::namespace().await;
    let check = |url: &str| {
        let (url, redis) = (url.to_owned(), redis.url().to_owned());
        tokio::task::spawn_blocking(move || {
            run(|it| {
                it.arg("check")
                    .env("DATABASE_URL", url)
                    .env("REDIS_URL", redis);
                it.env("JWT_KEYS", crate::server::JWT_KEYS);
            })
        })
    };
    let (code, report, errors) = check(ready.app_url()).await.unwrap();
    assert_eq!(code, Some(0), "{report}{errors}");
    for subject in [
        "database",
        "schema",
        "rights",
        "pg_stat_statements",
        "connections",
        "redis",
    ] {
        assert!(
            report.contains(&format!(" {subject}: ")),
            "no {subject} in {report}"
        );
    }
    let (code, report, _) = check(ready.monitor_url()).await.unwrap();
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("GRANT ruleiq_app TO"), "{report}");
    let (code, report, _) = check(empty.url()).await.unwrap();
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("ruleiq-server migrate up"), "{report}");
    let (code, report, _) = check("postgres://nobody@127.0.0.1:1/none").await.unwrap();
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("refused"), "{report}");
}
