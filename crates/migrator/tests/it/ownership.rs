//! What may be changed beyond repair.

use ruleiq_migrator::{Error, Migrator, Ownership, Target, require_ours};
use ruleiq_test_support::TestDatabase;

#[tokio::test]
async fn a_database_that_was_empty_is_ours() {
    let database = TestDatabase::empty().await;
    Migrator::embedded().up(database.url()).await.unwrap();
    require_ours(database.url(), &Ownership::default())
        .await
        .unwrap();
    let report = Migrator::embedded()
        .down(database.url(), Target::One, &Ownership::default())
        .await
        .unwrap();
    assert_eq!(report.versions, [ruleiq_migrator::latest_version()]);
}

#[tokio::test]
async fn a_database_that_had_tables_is_not_ours_unless_its_name_is_repeated() {
    let database = TestDatabase::empty().await;
    database
        .client()
        .await
        .batch_execute("CREATE TABLE theirs ()")
        .await
        .unwrap();
    Migrator::embedded().up(database.url()).await.unwrap();

    for i_own in [None, Some("another".to_owned())] {
        let ownership = Ownership { i_own };
        let error = Migrator::embedded()
            .down(database.url(), Target::Zero, &ownership)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::NotOurs { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("--i-own {}", database.name())),
            "{error}"
        );
        assert!(require_ours(database.url(), &ownership).await.is_err());
    }

    let ownership = Ownership {
        i_own: Some(database.name().to_owned()),
    };
    Migrator::embedded()
        .down(database.url(), Target::Zero, &ownership)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_database_without_our_tables_is_not_ours() {
    let database = TestDatabase::empty().await;
    let error = require_ours(database.url(), &Ownership::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn a_database_that_others_filled_after_everything_was_reverted_is_not_ours() {
    let database = TestDatabase::empty().await;
    let (migrator, ownership) = (Migrator::embedded(), Ownership::default());
    migrator.up(database.url()).await.unwrap();
    migrator
        .down(database.url(), Target::Zero, &ownership)
        .await
        .unwrap();
    database
        .client()
        .await
        .batch_execute("CREATE TABLE theirs ()")
        .await
        .unwrap();

    migrator.up(database.url()).await.unwrap();

    let error = require_ours(database.url(), &ownership).await.unwrap_err();
    assert!(matches!(error, Error::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn the_marker_comes_back_with_its_table() {
    let database = TestDatabase::empty().await;
    let (migrator, ownership) = (Migrator::embedded(), Ownership::default());
    let first = migrator.up(database.url()).await.unwrap().versions[0];
    migrator
        .down(database.url(), Target::To(first), &ownership)
        .await
        .unwrap();
    assert!(require_ours(database.url(), &ownership).await.is_err());

    migrator.up(database.url()).await.unwrap();

    require_ours(database.url(), &ownership).await.unwrap();
}

#[tokio::test]
async fn reverting_what_was_never_applied_changes_nothing() {
    let database = TestDatabase::empty().await;
    let ownership = Ownership {
        i_own: Some(database.name().to_owned()),
    };
    let report = Migrator::embedded()
        .down(database.url(), Target::Zero, &ownership)
        .await
        .unwrap();
    assert!(report.versions.is_empty());
    let table = "SELECT to_regclass('_sqlx_migrations') IS NULL";
    let row = database.client().await.query_one(table, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}
