//! Slots that keep log for nobody.

use ruleiq_db_optimizer::HealthLimits;

use super::{find, health, health_by};
use crate::database;

#[tokio::test]
async fn a_slot_of_nobody_is_reported_by_what_it_keeps() {
    let (database, client) = database("SELECT 1").await;
    let name = database.name();
    let make = format!("SELECT pg_create_physical_replication_slot('{name}', true)");
    client.batch_execute(&make).await.unwrap();
    let limits = HealthLimits {
        slot_bytes: 0,
        ..HealthLimits::default()
    };
    let subject = format!("slot {name:?}");

    let report = health_by(&client, &limits).await;
    let by_default = health(&client).await;

    let found = find(&report, "replication_slot", &subject).cloned();
    let drop = found.as_ref().and_then(|it| it.sql.clone());
    // Before anything is asserted: it is the whole server's.
    client
        .batch_execute(&format!("SELECT pg_drop_replication_slot('{name}')"))
        .await
        .unwrap();
    assert_eq!(
        drop,
        Some(format!("SELECT pg_drop_replication_slot('{name}')"))
    );
    assert_eq!(find(&by_default, "replication_slot", &subject), None);
    assert_eq!(
        find(
            &health_by(&client, &limits).await,
            "replication_slot",
            &subject
        ),
        None
    );
}
