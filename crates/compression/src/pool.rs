//! Encoder states that wait for their next body.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// At most as many states as it was made for; whoever finds none makes one.
///
/// A state that is being used when its encoder panics or fails is lost, and so never seen again.
pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    capacity: usize,
}

impl<T> Pool<T> {
    pub(crate) fn new(capacity: usize) -> Pool<T> {
        Pool {
            idle: Mutex::new(Vec::with_capacity(capacity)),
            capacity,
        }
    }

    /// Takes the state that was used last, whose memory is most likely still in the CPU's cache.
    pub(crate) fn take(&self) -> Option<T> {
        self.lock().pop()
    }

    pub(crate) fn put_back(&self, state: T) {
        let mut idle = self.lock();
        if idle.len() < self.capacity {
            idle.push(state);
        }
    }

    /// Nothing that can panic runs under the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.lock().len())
            .field("capacity", &self.capacity)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_capacity_is_dropped() {
        let pool = Pool::new(2);
        assert_eq!(pool.take(), None);
        for state in 1..=3 {
            pool.put_back(state);
        }
        assert_eq!(pool.take(), Some(2));
        assert_eq!(pool.take(), Some(1));
        assert_eq!(pool.take(), None);
    }
}
