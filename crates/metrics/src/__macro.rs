//! What the expansion of `#[measure_performance]` calls. Not part of the public API.

use std::{ops::Deref, sync::OnceLock};

pub use std::{concat, module_path};

use crate::{
    installed,
    operation::{Operation, Outcome, Timer},
    operations::is_valid,
};

/// An operation of the ambient metrics, which is resolved when it first runs after they were
/// installed.
#[derive(Debug)]
pub struct Ambient {
    name: &'static str,
    operation: OnceLock<Operation>,
}

impl Ambient {
    pub const fn new(name: &'static str) -> Ambient {
        Ambient {
            name,
            operation: OnceLock::new(),
        }
    }

    /// `None` as long as there are no ambient metrics.
    pub fn start(&'static self) -> Option<Timer<'static>> {
        let operation = match self.operation.get() {
            Some(operation) => operation,
            None => {
                let metrics = installed()?;
                self.operation.get_or_init(|| metrics.operation(self.name))
            }
        };
        Some(operation.start())
    }
}

/// What a function returned, whose outcome is that of the result if it is one, whatever its alias:
/// the inherent method is found first, and the one behind [`Deref`] for all other types.
#[derive(Debug)]
pub struct Returned<'a, R>(pub &'a R);

/// What is neither right nor wrong.
#[derive(Debug)]
pub struct Anything;

impl<T, E> Returned<'_, Result<T, E>> {
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.0)
    }
}

impl<R> Deref for Returned<'_, R> {
    type Target = Anything;

    fn deref(&self) -> &Anything {
        &Anything
    }
}

impl Anything {
    pub fn outcome(&self) -> Outcome {
        Outcome::Ok
    }
}

/// Refuses a name at compile time.
pub const fn checked(name: &'static str) -> &'static str {
    assert!(
        is_valid(name),
        "the name of a measured operation must have 1 to 100 bytes: give a shorter one, as in \
         #[measure_performance(\"api.endpoint\")]"
    );
    name
}

/// Runs a function's body. A closure that is called in place would be taken for one that can be
/// called again, and could not return what it borrows from its arguments.
pub fn call<R>(body: impl FnOnce() -> R) -> R {
    body()
}

pub fn finish(timer: Option<Timer<'_>>, outcome: Outcome) {
    if let Some(timer) = timer {
        timer.finish(outcome);
    }
}

/// Gives an async block the type that it returns, in a branch that is never taken.
pub fn never_called<R>() -> R {
    unreachable!("the expansion calls it under `if false`")
}
