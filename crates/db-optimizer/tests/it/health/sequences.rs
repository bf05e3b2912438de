//! Sequences that come to their end.

use ruleiq_db_optimizer::Severity;

use super::{find, health, subjects};
use crate::database;

#[tokio::test]
async fn a_sequence_ends_where_its_column_does() {
    let (_database, client) = database(
        r#"CREATE TABLE "Narrow" (id serial PRIMARY KEY);
           SELECT setval('"Narrow_id_seq"', 2000000000);
           -- The sequence goes on, the column does not.
           CREATE SEQUENCE wide;
           CREATE TABLE filled (id int PRIMARY KEY DEFAULT nextval('wide'));
           SELECT setval('wide', 1700000000);
           CREATE TABLE fine (id bigserial PRIMARY KEY);
           SELECT setval('fine_id_seq', 2000000000);
           CREATE SEQUENCE turning MAXVALUE 10 CYCLE;
           SELECT setval('turning', 10);
           CREATE SEQUENCE falling AS smallint INCREMENT -1;
           SELECT setval('falling', -30000);
           CREATE SEQUENCE untouched"#,
    )
    .await;

    let report = health(&client).await;

    assert_eq!(
        subjects(&report, "sequence_exhaustion"),
        [r#"public."Narrow_id_seq""#, "public.falling", "public.wide"]
    );
    let narrow = find(&report, "sequence_exhaustion", r#"public."Narrow_id_seq""#).unwrap();
    assert_eq!(narrow.severity, Severity::Critical);
    assert_eq!(narrow.numbers["bound"], 2_147_483_647.0);
    let wide = find(&report, "sequence_exhaustion", "public.wide").unwrap();
    assert_eq!(wide.severity, Severity::Warning);
    assert_eq!(
        wide.sql.as_deref(),
        Some("ALTER TABLE public.filled ALTER COLUMN id TYPE bigint")
    );
    for found in report
        .findings
        .iter()
        .filter(|it| it.code == "sequence_exhaustion")
    {
        client
            .batch_execute(found.sql.as_deref().unwrap())
            .await
            .unwrap();
    }
    let after = health(&client).await;
    assert_eq!(subjects(&after, "sequence_exhaustion"), [""; 0]);
}
