//! The project's own migrations.

use ruleiq_migrator::{Error, Migrator, Ownership, Target};
use ruleiq_test_support::TestDatabase;

/// Everything that the migrations make, as text: columns, constraints, indexes, grants.
async fn schema(database: &TestDatabase) -> Vec<String> {
    let client = database.client().await;
    let rows = client
        .query(
            "SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
             FROM information_schema.columns WHERE table_schema = 'public'
             UNION ALL
             SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
             FROM pg_constraint WHERE connamespace = 'public'::regnamespace
             UNION ALL
             SELECT format('index %s %s', indexdef, indisvalid) FROM pg_indexes
             JOIN pg_index ON indexrelid = format('%I', indexname)::regclass WHERE schemaname = 'public'
             UNION ALL
             SELECT format('grant %s %s %s', grantee, privilege_type, table_name)
             FROM information_schema.role_table_grants WHERE table_schema = 'public'
             ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn up_down_to_zero_and_up_again_leaves_the_same_schema() {
    let database = TestDatabase::empty().await;
    let migrator = Migrator::embedded();
    let first = migrator.up(database.url()).await.unwrap();
    let before = schema(&database).await;

    let reverted = migrator
        .down(database.url(), Target::Zero, &Ownership::default())
        .await
        .unwrap();
    let bare = schema(&database).await;
    let second = migrator.up(database.url()).await.unwrap();

    assert_eq!(reverted.versions.len(), first.versions.len());
    assert!(
        bare.iter()
            .all(|it| it.contains("_sqlx_migrations") || it.contains("pg_stat_statements")),
        "{bare:?}"
    );
    assert_eq!(second.versions, first.versions);
    assert_eq!(schema(&database).await, before);
    assert!(before.len() > 100, "the comparison saw the schema");
}

#[tokio::test]
async fn the_owner_need_not_be_a_superuser() {
    let database = TestDatabase::empty().await;
    // Another test's database has made the roles, or this one does.
    Migrator::embedded()
        .up(TestDatabase::empty().await.url())
        .await
        .unwrap();
    let url = database.owned_by_ordinary_role().await;

    Migrator::embedded().up(&url).await.unwrap();

    let status = Migrator::embedded().status(&url).await.unwrap();
    assert!(
        status
            .iter()
            .all(|it| it.applied && !it.changed && it.name.is_some())
    );
    Migrator::embedded()
        .down(&url, Target::Zero, &Ownership::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn reverting_stops_at_its_target() {
    let database = TestDatabase::migrated().await;
    let all = Migrator::embedded().status(database.url()).await.unwrap();
    let target = all[1].version;

    let report = Migrator::embedded()
        .down(database.url(), Target::To(target), &Ownership::default())
        .await
        .unwrap();

    let mut newest_first: Vec<i64> = all[2..].iter().map(|it| it.version).collect();
    newest_first.reverse();
    assert_eq!(report.versions, newest_first);
    let after = Migrator::embedded().status(database.url()).await.unwrap();
    assert_eq!(after.iter().filter(|it| it.applied).count(), 2);
}

#[tokio::test]
async fn a_target_that_is_no_migration_reverts_nothing() {
    let database = TestDatabase::migrated().await;
    let (migrator, ownership) = (Migrator::embedded(), Ownership::default());
    let before = migrator.status(database.url()).await.unwrap();
    // A number that was mistyped is smaller than every version.
    for version in [0, 7] {
        let down = migrator.down(database.url(), Target::To(version), &ownership);
        let error = down.await.unwrap_err();
        assert!(matches!(error, Error::NoTarget { .. }), "{error}");
    }
    assert_eq!(migrator.status(database.url()).await.unwrap(), before);
}
