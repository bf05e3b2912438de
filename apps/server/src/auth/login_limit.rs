//! Slows the guessing of passwords down: so many attempts per minute for one account from one
//! address, and [`PER_ADDRESS`] times as many for one address.
//!
//! The generic cell rate algorithm (ITU-T I.371) needs one instant per key. The limit is per
//! process, and bounded: under a flood from many addresses the oldest keys are forgotten.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::tokens::sha256;

/// How many accounts' worth of attempts one address has.
const PER_ADDRESS: u32 = 10;
/// How many keys are remembered.
const MAX_KEYS: usize = 100_000;
const PERIOD: Duration = Duration::from_secs(60);

/// Limits attempts to log in.
#[derive(Debug)]
pub(crate) struct LoginLimit {
    per_minute: u32,
    /// When each key's attempts will all have been forgotten. The lock makes reading and writing
    /// one step; it is held for nanoseconds, before a hash that takes milliseconds.
    spent_until: Mutex<Cache<[u8; 32], Instant>>,
}

impl LoginLimit {
    pub(crate) fn new(per_minute: NonZeroU32) -> LoginLimit {
        LoginLimit {
            per_minute: per_minute.get(),
            spent_until: Mutex::new(Cache::new(MAX_KEYS)),
        }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    ///
    /// How long to wait, when there were too many.
    pub(crate) fn check(&self, address: Option<IpAddr>, account: &str) -> Result<(), Duration> {
        // A caller without an address comes through a socket of this machine.
        let address = address.map_or_else(String::new, |it| it.to_string());
        let pair = sha256(format!("{address} {account}").as_bytes());
        let all = sha256(address.as_bytes());
        let keys = self
            .spent_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let by_pair = spent(keys.get(&pair), self.per_minute, now)?;
        let by_all = spent(
            keys.get(&all),
            self.per_minute.saturating_mul(PER_ADDRESS),
            now,
        )?;
        // Only what both allow is kept: a refused address cannot push others out of memory.
        keys.insert(pair, by_pair);
        keys.insert(all, by_all);
        Ok(())
    }
}

/// Until when a key is spent after one more attempt.
fn spent(until: Option<Instant>, per_minute: u32, now: Instant) -> Result<Instant, Duration> {
    let spent_until = until.map_or(now, |it| it.max(now)) + PERIOD / per_minute;
    let allowed_until = now + PERIOD;
    if spent_until > allowed_until {
        return Err(spent_until - allowed_until);
    }
    Ok(spent_until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn limit(per_minute: u32) -> LoginLimit {
        LoginLimit::new(NonZeroU32::new(per_minute).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited_and_come_back_with_time() {
        let limit = limit(6);
        for _ in 0..6 {
            assert_eq!(limit.check(HERE, "a@example.com"), Ok(()));
        }
        assert_eq!(
            limit.check(HERE, "a@example.com"),
            Err(Duration::from_secs(10))
        );
        assert_eq!(limit.check(HERE, "b@example.com"), Ok(()));

        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limit.check(HERE, "a@example.com"), Ok(()));
        assert!(limit.check(HERE, "a@example.com").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_tries_many_accounts_is_limited_too() {
        let limit = limit(1);
        for n in 0..PER_ADDRESS {
            assert_eq!(limit.check(HERE, &n.to_string()), Ok(()));
        }
        assert!(limit.check(HERE, "one more").is_err());
        assert_eq!(limit.check(None, "one more"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_are_refused_are_not_remembered() {
        let limit = limit(1);
        for n in 0..100 * PER_ADDRESS {
            let known = limit.check(HERE, &n.to_string());
            assert_eq!(known.is_ok(), n < PER_ADDRESS);
        }
        let keys = limit.spent_until.lock().unwrap().len();
        assert_eq!(keys, PER_ADDRESS as usize + 1);
    }
}
