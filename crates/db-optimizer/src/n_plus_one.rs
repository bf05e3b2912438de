//! Finds statements that one request has run again and again from one line, where one would have done.
//!
//! It reads the statement log of a [`Scope`](ruleiq_scope::Scope), which is to say what pools of
//! `ruleiq-pools` have run in it, and runs nothing itself.
//!
//! ```
//! use ruleiq_db_optimizer::n_plus_one::Detector;
//! use ruleiq_scope::Scope;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let scope = Scope::builder().route("nightly mail").build();
//! scope.clone().run(async { /* the job */ }).await;
//!
//! let report = Detector::default().examine(&scope);
//! assert!(report.findings.is_empty(), "{report}");
//! # }
//! ```
//!
//! # What is reported
//!
//! A statement that ran at least [`threshold`](Detector::new) times from one call site: as a
//! [`Kind::NPlusOne`] if it reads; as a [`Kind::RepeatedRead`] if it reads and was asked the same each
//! time, which takes three runs to know; as a [`Kind::WriteLoop`] if it writes.
//!
//! # What is not
//!
//! - What has to be said as often as it is: the ends of transactions, settings, savepoints, cursors,
//!   `COPY`, `CALL`, and SELECTs that read no table, such as those of `nextval`, `pg_notify` and advisory
//!   locks.
//! - A queue that is emptied one by one with `SKIP LOCKED`.
//! - What moves 100 rows and more at a time, pages and batches: their round trips are paid for.
//! - Lines that were [allowed](Detector::allow).
//!
//! One helper that a handler calls from five places is one call site: such a statement is reported,
//! although nothing loops.

mod batched;
mod detector;
mod report;
mod statement;
mod tokens;

pub use self::{
    detector::{DEFAULT_THRESHOLD, Detector},
    report::{Finding, Kind, Report},
};
