//! Prints what a database's own statistics advise.
//!
//! ```text
//! cargo run -p ruleiq-db-optimizer --example advise -- postgres://localhost/shop
//! ```

use std::{env, error::Error, time::Duration};

use ruleiq_db_optimizer::DatabaseOptimizer;
use tokio_postgres::NoTls;

/// Answers how many indexes are advised.
#[allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for the terminal, with a connection of its own"
)]
pub(crate) async fn advise(url: &str) -> Result<usize, Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let optimizer = DatabaseOptimizer::new(&client);

    let missing = optimizer.recommend_indexes().await?;
    for advice in &missing {
        println!("-- {}", on_one_line(&advice.reason));
        println!(
            "-- {} rows, {} bytes",
            advice.rows_estimate, advice.table_bytes
        );
        println!("{};", advice.sql);
    }

    let slow = optimizer
        .analyze_slow_queries(Duration::from_millis(100))
        .await?;
    for lost in &slow.degraded {
        println!("-- {lost}");
    }
    for it in &slow.statements {
        let text = on_one_line(it.query.as_deref().unwrap_or("(its text is lost)"));
        println!(
            "-- {} times {:.1?}, at most {:.1?}: {text}",
            it.calls, it.mean, it.max
        );
    }
    Ok(missing.len())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1);
    advise(&url.ok_or("name a database: postgres://…")?).await?;
    Ok(())
}

/// A quoted name may hold a line break, which would end the comment that it stands in.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
