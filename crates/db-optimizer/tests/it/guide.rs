//! The application's own schema.

use ruleiq_db_optimizer::{DatabaseOptimizer, Recommendation};
use ruleiq_migrator::{Migrator, Ownership, Target};
use ruleiq_query::Queries;
use ruleiq_test_support::TestDatabase;

use crate::connect;

/// The schema without the guide's indexes.
const SCHEMA: i64 = 20261124090100;

async fn recommend(client: &impl Queries) -> Vec<Recommendation> {
    let optimizer = DatabaseOptimizer::new(client).min_table_bytes(0);
    optimizer.recommend_indexes().await.unwrap()
}

fn keys(recommendations: &[Recommendation]) -> Vec<String> {
    let keys = recommendations.iter();
    let mut keys: Vec<_> = keys
        .map(|it| format!("{} ({})", it.table, it.columns.join(", ")))
        .collect();
    keys.sort();
    keys
}

async fn without_the_guides_indexes() -> TestDatabase {
    let database = TestDatabase::migrated().await;
    let ownership = Ownership {
        i_own: Some(database.name().to_owned()),
    };
    Migrator::embedded()
        .down(database.url(), Target::To(SCHEMA), &ownership)
        .await
        .unwrap();
    database
}

#[tokio::test]
async fn what_the_migrations_leave_out_is_found() {
    let database = TestDatabase::migrated().await;
    let found = recommend(&database.client().await).await;
    assert_eq!(
        keys(&found),
        [
            "public.assessment_questions (framework_id)",
            "public.assessment_responses (answered_by)",
            "public.assessment_session_frameworks (framework_id)",
        ]
    );
}

#[tokio::test]
async fn the_guides_indexes_are_found_on_a_schema_without() {
    let database = without_the_guides_indexes().await;
    let client = database.client().await;

    let found = recommend(&client).await;
    assert_eq!(
        keys(&found),
        [
            "public.assessment_questions (framework_id)",
            "public.assessment_questions (session_id)",
            "public.assessment_responses (answered_by)",
            "public.assessment_responses (session_id)",
            "public.assessment_session_frameworks (framework_id)",
            "public.assessment_sessions (business_profile_id)",
            "public.assessment_sessions (user_id)",
            "public.business_profiles (user_id)",
        ]
    );
    let profiles = found.iter().find(|it| it.table.ends_with("profiles"));
    let profiles = serde_json::to_value(profiles.unwrap()).unwrap();
    let expected = serde_json::json!({
        "table": "public.business_profiles",
        "columns": ["user_id"],
        "foreign_keys": [{
            "name": "business_profiles_user_id_fkey",
            "references": "public.users",
        }],
        "rows_estimate": 0,
        "table_bytes": 0,
        "reason": "no index serves this foreign key: each row deleted from public.users, or given \
                   another key there, makes PostgreSQL read all of public.business_profiles",
        "index": "idx_business_profiles_user_id",
        "sql": "CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_business_profiles_user_id \
                ON public.business_profiles (user_id)",
        "blocks_writes": false,
    });
    assert_eq!(profiles, expected);
}

#[tokio::test]
async fn a_recommendation_that_is_followed_vanishes() {
    let database = without_the_guides_indexes().await;
    let client = database.client().await;
    let mut left = recommend(&client).await;
    while let Some(next) = left.pop() {
        client.batch_execute(&next.sql).await.unwrap();
        assert_eq!(recommend(&client).await, left);
    }
}

#[tokio::test]
async fn every_role_of_the_application_gets_the_same_advice() {
    let database = without_the_guides_indexes().await;
    let expected = recommend(&database.client().await).await;
    for url in [database.app_url(), database.monitor_url()] {
        assert_eq!(recommend(&connect(url).await).await, expected);
    }
}
