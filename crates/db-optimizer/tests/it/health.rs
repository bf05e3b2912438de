//! The health report: each check with a database that shows it and one that does not.

mod activity;
mod droppable;
mod replication;
mod rights;
mod sequences;
mod server;
mod tables;
mod text;

use ruleiq_db_optimizer::{DatabaseOptimizer, Finding, HealthLimits, HealthReport};
use ruleiq_query::Queries;

async fn health_by(client: &impl Queries, limits: &HealthLimits) -> HealthReport {
    let optimizer = DatabaseOptimizer::new(client);
    optimizer.health_by(limits).await.unwrap()
}

async fn health(client: &impl Queries) -> HealthReport {
    let report = DatabaseOptimizer::new(client).health().await.unwrap();
    // No check is refused.
    let refused = report.degraded.iter().find(|it| it.code() == "refused");
    assert_eq!(refused, None);
    report
}

fn find<'a>(report: &'a HealthReport, code: &str, subject: &str) -> Option<&'a Finding> {
    let mut findings = report.findings.iter();
    findings.find(|it| it.code == code && it.subject == subject)
}

/// The subjects of the findings of a kind.
fn subjects<'a>(report: &'a HealthReport, code: &str) -> Vec<&'a str> {
    let found = report.findings.iter().filter(|it| it.code == code);
    found.map(|it| it.subject.as_str()).collect()
}

fn unseen(report: &HealthReport) -> Vec<&'static str> {
    report.degraded.iter().map(|it| it.code()).collect()
}
