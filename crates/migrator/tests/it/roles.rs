//! The roles, which belong to the whole server. The shared one has them, so this starts its own.

use futures_util::future::join_all;
use ruleiq_migrator::Migrator;
use ruleiq_test_support::{OwnServers, PostgresSpec, Spec};
use tokio_postgres::NoTls;

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the connections go to a server of the test's own"
)]
async fn databases_that_are_migrated_at_once_make_the_roles_on_a_bare_server() {
    let servers = OwnServers::start(Spec {
        postgres: Some(PostgresSpec::default()),
        ..Spec::default()
    })
    .await;
    let url = servers.postgres_url();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let (server, _) = url.rsplit_once('/').unwrap();
    let databases: Vec<String> = (0..5).map(|n| format!("database_{n}")).collect();
    for database in &databases {
        let sql = format!("CREATE DATABASE {database}");
        client.batch_execute(&sql).await.unwrap();
    }
    let roles = "SELECT rolname::text, rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb,
                        pg_has_role(rolname, 'pg_monitor', 'MEMBER')
                 FROM pg_roles WHERE rolname ~ '^ruleiq_' ORDER BY 1";
    assert!(client.query(roles, &[]).await.unwrap().is_empty());

    let migrator = Migrator::embedded();
    let ups = databases.iter().map(|database| {
        let (migrator, url) = (migrator.clone(), format!("{server}/{database}"));
        tokio::spawn(async move { migrator.up(&url).await })
    });
    for up in join_all(ups).await {
        up.unwrap().unwrap();
    }

    let rows = client.query(roles, &[]).await.unwrap();
    let roles: Vec<(String, bool, bool)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let expected = |name: &str, monitors| (name.to_owned(), false, monitors);
    assert_eq!(
        roles,
        [
            expected("ruleiq_app", false),
            expected("ruleiq_monitor", true)
        ]
    );
}
