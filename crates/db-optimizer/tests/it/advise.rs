//! Indexes for a workload.

mod session;
mod sizes;
mod traps;

use ruleiq_db_optimizer::{
    Advice, AdviseError, AdviseOptions, Budget, DatabaseOptimizer, Workload,
};
use ruleiq_test_support::TestDatabase;
use tokio_postgres::Client;

use crate::{WITHOUT_AUTOVACUUM, database};

/// A database with HypoPG on which some statements have run.
async fn with_hypopg(sql: &str) -> (TestDatabase, Client) {
    let sql = format!("CREATE EXTENSION hypopg; {sql}; {WITHOUT_AUTOVACUUM}; ANALYZE");
    database(&sql).await
}

/// As much as anyone wants.
fn ample() -> AdviseOptions {
    let mut options = AdviseOptions::default();
    options.budget = Budget::Share(3.0);
    options
}

async fn advise(client: &Client, workload: &str) -> Result<Advice, AdviseError> {
    let workload = Workload::parse(workload).unwrap();
    let optimizer = DatabaseOptimizer::new(client);
    optimizer.advise(&workload, &ample(), |_| ()).await
}

/// What follows `ON public.` in the statements that make the indexes, in the order of the texts.
fn made(advice: &Advice) -> Vec<String> {
    let statements = advice.create_statements();
    let mut made: Vec<String> = (statements.lines())
        .map(|it| {
            it.trim_start_matches("CREATE INDEX ON ")
                .trim_end_matches(';')
        })
        .map(|it| it.trim_start_matches("public.").to_owned())
        .collect();
    made.sort();
    made
}
