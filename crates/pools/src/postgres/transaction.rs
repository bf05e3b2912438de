//! A transaction on a session.

use std::{fmt, panic::Location};

use futures_util::FutureExt as _;
use ruleiq_query::Error;
use ruleiq_scope::{CausalToken, OpenTransaction, Scope};

use super::run::{CallSite, Runner};

/// A transaction. Dropping it without a commit rolls it back: the server is told at once, and the
/// connection is given to the next caller once it has answered.
///
/// Statements follow the rules of [`Session`](crate::Session).
pub struct Transaction<'a> {
    runner: Runner<'a>,
    /// Whether nothing is left to roll back.
    done: bool,
    _open: Option<OpenTransaction>,
}

impl<'a> Transaction<'a> {
    pub(crate) async fn begin(
        runner: Runner<'a>,
        call_site: CallSite,
    ) -> Result<Transaction<'a>, Error> {
        // Before it is sent: whoever drops this half-way rolls back what may have begun.
        let mut transaction = Transaction {
            runner,
            done: false,
            _open: Scope::current().map(|scope| scope.open_transaction()),
        };
        let begun = runner.control("BEGIN", call_site).await;
        transaction.done = begun.is_err();
        begun.map(|()| transaction)
    }

    /// Commits the transaction. Where there are standbys, it answers the position that a read must have
    /// reached to see it, which is in the scope by then, too.
    ///
    /// # Errors
    ///
    /// Those of a statement. Where a statement of the transaction has failed, seen or not, so does
    /// this: the server answers a COMMIT there with a rollback, which the driver takes for a
    /// success.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped half-way, the transaction may be committed or not.
    #[track_caller]
    pub fn commit(mut self) -> impl Future<Output = Result<Option<CausalToken>, Error>> + Send {
        let call_site = Location::caller();
        async move {
            if self.runner.link.may_have_failed() {
                // In a transaction that is beyond rescue every statement fails.
                self.runner.control("SELECT 1", call_site).await?;
            }
            let commit = self.runner.commit(call_site);
            self.ending(commit).await
        }
    }

    /// Rolls the transaction back and waits until it is done.
    ///
    /// # Errors
    ///
    /// Those of a statement.
    #[track_caller]
    pub fn rollback(mut self) -> impl Future<Output = Result<(), Error>> + Send {
        let call_site = Location::caller();
        async move {
            let rollback = self.runner.control("ROLLBACK", call_site);
            self.ending(rollback).await
        }
    }

    async fn ending<T>(&mut self, end: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        // From when it is sent, a rollback of ours would come too late. If the answer is not seen,
        // the connection is closed.
        self.done = true;
        let result = end.await;
        if let Err(Error::DeadlinePassed | Error::Unusable) = &result {
            self.done = false;
        }
        result
    }

    pub(crate) fn runner(&self) -> Runner<'_> {
        self.runner
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.done {
            // The driver sends when it is polled first. The answer is waited for at the check-in,
            // whether or not it has come already: the connection is driven by another thread.
            self.runner.link.note_rolling_back(true);
            drop(self.runner.client.batch_execute("ROLLBACK").now_or_never());
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}
