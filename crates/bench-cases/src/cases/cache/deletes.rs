//! Taking values away: one key, and all that match a pattern.
//!
//! Every operation finds what it takes away. What has been taken away is put back by a script, in
//! one command for many keys, which both sides pay alike and which no count of commands has.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use fred::interfaces::{KeysInterface as _, LuaInterface as _};
use ruleiq_bench::{Arm, Case, Fault, Process, concurrent};
use ruleiq_performance::benchmark::CACHE_KEYS;

use super::{
    OURS, TASKS,
    redis::{FRED, Remote, clear, counted, telling},
    settings::Settings,
    values::json,
};
use crate::{Env, Options, around::verified};

/// Puts a value under keys from one number to another. KEYS: what they begin with. ARGV: the first
/// number, the last one, the value, its time to live in seconds.
const PUT_BACK: &str = "\
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('SET', KEYS[1] .. string.format('%012d', i), ARGV[3], 'EX', ARGV[4])
end
return 1";
/// Parts of the ring of keys, of which one is put back at a time.
const PARTS: u32 = 4;
/// Keys of a part, where no more are needed.
const PART: u32 = CACHE_KEYS / PARTS;
/// The most keys of a case, however many operations are under way at once.
const MOST_KEYS: u32 = 1_000_000;
/// Keys that a pattern matches.
const GROUP: u32 = 100;

pub(super) fn delete(options: &Options) -> Case<Env> {
    let tasks = options.concurrency.unwrap_or(TASKS);
    let at_once = u32::try_from(tasks).unwrap_or(u32::MAX);
    // While a part is taken away, the one after the next is put back, well behind and before it.
    let part =
        if options.tiny { 40 } else { PART }.max(at_once.saturating_mul(4).min(MOST_KEYS / PARTS));
    let settings = Settings {
        keys: PARTS * part,
        ..Settings::remote(options, tasks, 1)
    };
    Case::builder("cache", "delete", settings)
        .about("A key that Redis has taken away; keys are put back a part at a time.")
        .cpu_of([Process::Client, Process::Redis])
        .subject(OURS.0, OURS.1, our_delete)
        .control("fred", FRED, bare_delete)
        .build()
}

pub(super) fn delete_pattern(options: &Options) -> Case<Env> {
    let tasks = options.concurrency.unwrap_or(1);
    let groups = u32::try_from(tasks).unwrap_or(u32::MAX).max(100);
    let groups = groups.min(MOST_KEYS / GROUP);
    let settings = Settings {
        keys: GROUP * if options.tiny { 4 } else { groups },
        ..Settings::remote(options, tasks, GROUP)
    };
    Case::builder("cache", "delete_pattern", settings)
        .about("A hundred keys among all those of the Redis taken away by a pattern, and put back.")
        .cpu_of([Process::Client, Process::Redis])
        .subject(OURS.0, OURS.1, our_pattern)
        .control("fred SCAN and UNLINK", FRED, bare_pattern)
        .build()
}

/// Keys in a ring, which are taken away one after the other.
struct Ring {
    remote: Arc<Remote>,
    value: String,
    keys: u32,
    ttl_s: u64,
    next: AtomicU64,
}

impl Ring {
    /// A ring all of whose keys are there, `part` at a time below `start`.
    async fn connect(env: &Env, settings: &Settings) -> Result<Ring, Fault> {
        let remote = Remote::connect(env, settings).await?;
        let value = String::from_utf8(json(&*remote.values.profiles[0]));
        Ok(Ring {
            value: value.map_err(Fault::failed)?,
            remote,
            keys: settings.keys,
            ttl_s: settings.ttl_s,
            next: AtomicU64::new(0),
        })
    }

    /// The next of `of` places, over and over.
    fn next(&self, of: u32) -> u32 {
        let at = self.next.fetch_add(1, Relaxed) % u64::from(of);
        u32::try_from(at).expect("it is below a `u32`")
    }

    /// Puts keys back that begin with `start` and end with a number.
    async fn put_back(&self, start: String, first: u32, count: u32) -> Result<(), Fault> {
        let arguments = vec![
            first.to_string(),
            (first + count - 1).to_string(),
            self.value.clone(),
            self.ttl_s.to_string(),
        ];
        // Counted before it is sent: the script's own commands, and the script.
        let commands = u64::from(count) + 1;
        self.remote.beside.fetch_add(commands, Relaxed);
        let done = self
            .remote
            .client
            .eval::<i64, _, _, _>(PUT_BACK, start, arguments);
        done.await.map(drop).map_err(Fault::failed)
    }

    /// The key that is taken away next. At the start of a part, puts back the one after the next.
    async fn take(&self) -> Result<u32, Fault> {
        let (at, part) = (self.next(self.keys), self.keys / PARTS);
        if at.is_multiple_of(part) {
            let start = format!("{}:profile:", self.remote.prefix);
            let first = (at + 2 * part) % self.keys;
            self.put_back(start, first, part).await?;
        }
        Ok(at)
    }

    /// The group that is taken away next.
    fn take_group(&self) -> u32 {
        self.next(self.keys / GROUP)
    }

    /// Puts a group back.
    async fn put_group_back(&self, group: u32) -> Result<(), Fault> {
        let start = format!("{}:{}", self.remote.prefix, group_start(group));
        self.put_back(start, 0, GROUP).await
    }

    /// An error unless Redis has so many of these keys.
    async fn has(&self, names: Vec<String>, right: u64) -> Result<(), Fault> {
        let found: u64 = self
            .remote
            .client
            .exists(names)
            .await
            .map_err(Fault::failed)?;
        match found == right {
            true => Ok(()),
            false => Err(Fault::Wrong(format!("{found} keys in place of {right}"))),
        }
    }
}

/// What the keys of a group begin with, in the cache.
fn group_start(group: u32) -> String {
    format!("group:{group:04}:")
}

async fn ring(env: &Env, settings: &Settings) -> Result<Arc<Ring>, Fault> {
    let ring = Ring::connect(env, settings).await?;
    let part = settings.keys / PARTS;
    for at in 0..PARTS {
        let start = format!("{}:profile:", ring.remote.prefix);
        ring.put_back(start, at * part, part).await?;
    }
    Ok(Arc::new(ring))
}

async fn groups(env: &Env, settings: &Settings) -> Result<Arc<Ring>, Fault> {
    let ring = Ring::connect(env, settings).await?;
    for group in 0..settings.keys / GROUP {
        ring.put_group_back(group).await?;
    }
    Ok(Arc::new(ring))
}

/// `arm`, whose check deletes once more by hand and looks at what Redis has left.
fn taken_away(arm: Box<dyn Arm>, ring: &Arc<Ring>) -> Box<dyn Arm> {
    let verified_ring = Arc::clone(ring);
    let arm = verified(arm, move || {
        let ring = Arc::clone(&verified_ring);
        async move {
            // The check's own operation was the one before the next.
            let next = ring.next.load(Relaxed).wrapping_sub(1) % u64::from(ring.keys);
            let last = u32::try_from(next).expect("it is below a `u32`");
            ring.has(vec![ring.remote.name(last)], 0).await
        }
    });
    counted(arm, Arc::clone(&ring.remote))
}

async fn our_delete(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let ring = ring(&env, &settings).await?;
    let cache = ring.remote.cache(settings.l1_max_bytes)?;
    let told = cache.clone();
    let of = Arc::clone(&ring);
    let operation = move || {
        let (ring, cache) = (Arc::clone(&of), cache.clone());
        async move {
            let at = ring.take().await?;
            cache
                .delete(&[&*ring.remote.values.keys[at as usize]])
                .await;
            Ok(())
        }
    };
    let arm = concurrent(settings.at_once, operation, |()| Ok(()));
    Ok(taken_away(telling(arm, told), &ring))
}

async fn bare_delete(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let ring = ring(&env, &settings).await?;
    let names = Arc::new(ring.remote.names());
    let of = Arc::clone(&ring);
    let operation = move || {
        let (ring, names) = (Arc::clone(&of), Arc::clone(&names));
        async move {
            let name = &*names[ring.take().await? as usize];
            let unlinked = ring.remote.commands.unlink::<u64, _>(name).await;
            match unlinked.map_err(Fault::failed)? {
                1 => Ok(()),
                n => Err(Fault::Wrong(format!("{n} keys in place of one"))),
            }
        }
    };
    let arm = concurrent(settings.at_once, operation, |()| Ok(()));
    Ok(taken_away(arm, &ring))
}

async fn our_pattern(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let ring = groups(&env, &settings).await?;
    let cache = ring.remote.cache(settings.l1_max_bytes)?;
    let remote = Arc::clone(&ring.remote);
    let told = cache.clone();
    let operation = move || {
        let (ring, cache) = (Arc::clone(&ring), cache.clone());
        async move {
            let group = ring.take_group();
            let count = cache
                .delete_pattern(&format!("{}*", group_start(group)))
                .await;
            ring.put_group_back(group).await?;
            count.map_err(Fault::failed)
        }
    };
    let arm = concurrent(settings.at_once, operation, whole_group);
    Ok(counted(telling(arm, told), remote))
}

async fn bare_pattern(env: Arc<Env>, settings: Arc<Settings>) -> Result<Box<dyn Arm>, Fault> {
    let ring = groups(&env, &settings).await?;
    let remote = Arc::clone(&ring.remote);
    let operation = move || {
        let ring = Arc::clone(&ring);
        async move {
            let group = ring.take_group();
            let pattern = format!("{}:{}*", ring.remote.prefix, group_start(group));
            let count = clear(&ring.remote.commands, &pattern).await;
            ring.put_group_back(group).await?;
            count.map_err(Fault::failed)
        }
    };
    let arm = concurrent(settings.at_once, operation, whole_group);
    Ok(counted(arm, remote))
}

fn whole_group(count: &u64) -> Result<(), Fault> {
    match *count == u64::from(GROUP) {
        true => Ok(()),
        false => Err(Fault::Wrong(format!("{count} keys in place of {GROUP}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_tasks_has_keys() {
        for tasks in [1, 50, 1 << 20, usize::MAX] {
            let options = Options {
                concurrency: Some(tasks),
                ..Options::default()
            };
            for case in [delete(&options), delete_pattern(&options)] {
                let keys = case.settings()["keys"].as_u64().unwrap();
                assert!((1..=u64::from(MOST_KEYS)).contains(&keys), "{keys}");
            }
        }
    }
}
