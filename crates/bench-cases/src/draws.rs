//! What operations ask for: drawn before anything is measured, the same for every side.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ruleiq_bench::Fault;

use crate::seeded::{Seeded, uniform};

/// Draws until they repeat, at least.
const DRAWS: usize = 1 << 16;

/// Values in a drawn order, handed out to any number of tasks.
#[derive(Debug)]
pub(crate) struct Draws<T> {
    values: Vec<T>,
    order: Vec<u32>,
    next: AtomicUsize,
}

impl<T> Draws<T> {
    /// All values equally likely. An error where there are none, which `what` names.
    pub(crate) fn uniform(seed: u64, what: &str, values: Vec<T>) -> Result<Draws<T>, Fault> {
        let n = u32::try_from(values.len())
            .ok()
            .filter(|it| *it > 0)
            .ok_or_else(|| {
                Fault::Failed(format!(
                    "the database has no {what}: seed it, then try again"
                ))
            })?;
        Ok(Draws {
            order: uniform(&mut Seeded::new(seed, what), n, DRAWS.max(values.len())),
            values,
            next: AtomicUsize::new(0),
        })
    }

    /// The next one.
    pub(crate) fn next(&self) -> &T {
        let at = self.next.fetch_add(1, Relaxed) % self.order.len();
        &self.values[self.order[at] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_ask_for_the_same_in_the_same_order() {
        let draw = || {
            let draws = Draws::uniform(7, "numbers", (0..100).collect()).unwrap();
            (0..1_000).map(|_| *draws.next()).collect::<Vec<i32>>()
        };
        assert_eq!(draw(), draw());
        assert!(Draws::<i32>::uniform(7, "numbers", Vec::new()).is_err());
    }
}
