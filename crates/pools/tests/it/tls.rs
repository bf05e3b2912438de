use std::{io::Write as _, path::PathBuf};

use ruleiq_pools::{BuildError, CheckoutError, PoolManager, PostgresConfig};
use ruleiq_test_support::TestDatabase;

use crate::fixture::{backend, manager, single};

fn with_mode(url: &str, mode: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}sslmode={mode}")
}

#[tokio::test]
async fn plain_text_is_taken_where_it_may_be() {
    let database = TestDatabase::empty().await;
    for mode in ["disable", "prefer"] {
        let pools = manager(single(&with_mode(database.url(), mode)));
        backend(&pools.session().await.unwrap()).await;
    }
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_required() {
    let database = TestDatabase::empty().await;
    let observer = database.client().await;
    let ssl: String = observer.query_one("SHOW ssl", &[]).await.unwrap().get(0);
    let pools = manager(single(&with_mode(database.url(), "require")));
    let error = pools.session().await.unwrap_err();
    // A server with TLS has a certificate that nobody vouches for.
    assert!(
        matches!(error, CheckoutError::Connect { .. }),
        "ssl = {ssl}: {error:?}"
    );
    assert!(
        format!("{error:?}").contains("Tls"),
        "ssl = {ssl}: {error:?}"
    );
}

#[tokio::test]
async fn a_file_without_certificates_is_refused() {
    let build = |path: PathBuf| {
        let config = PostgresConfig {
            ca_file: Some(path),
            ..PostgresConfig::new("postgres://localhost/x")
        };
        PoolManager::builder().postgres(config).build().unwrap_err()
    };
    let missing = build("/nowhere/ca.pem".into());
    assert!(matches!(missing, BuildError::CaFile { .. }), "{missing:?}");
    assert!(missing.to_string().contains("/nowhere/ca.pem"), "{missing}");

    let path = std::env::temp_dir().join(format!("ruleiq-pools-{}.pem", std::process::id()));
    std::fs::File::create(&path)
        .unwrap()
        .write_all(b"nothing")
        .unwrap();
    let empty = build(path.clone());
    std::fs::remove_file(&path).unwrap();
    assert!(empty.to_string().contains("no certificate"), "{empty}");
}
