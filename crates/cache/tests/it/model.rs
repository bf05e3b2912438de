//! A cache in the process behaves as a map does.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use ruleiq_cache::{CacheManager, Policy};
use tokio::time::{Instant, advance};

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Mget(Vec<u8>),
    Set(u8, i64, u64),
    Mset(Vec<(u8, i64)>, u64),
    Load(u8, Option<i64>, u64),
    Delete(Vec<u8>),
    DeletePattern(u8),
    Expire(u8, u64),
    Ttl(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u8..12;
    let seconds = 1_u64..20;
    let step = prop_oneof![
        key.clone().prop_map(Step::Get),
        prop::collection::vec(key.clone(), 0..4).prop_map(Step::Mget),
        (key.clone(), any::<i64>(), seconds.clone()).prop_map(|(k, v, s)| Step::Set(k, v, s)),
        (
            prop::collection::vec((key.clone(), any::<i64>()), 0..4),
            seconds.clone()
        )
            .prop_map(|(entries, s)| Step::Mset(entries, s)),
        (key.clone(), any::<Option<i64>>(), seconds.clone())
            .prop_map(|(k, v, s)| Step::Load(k, v, s)),
        prop::collection::vec(key.clone(), 0..3).prop_map(Step::Delete),
        (0_u8..2).prop_map(Step::DeletePattern),
        (key.clone(), seconds.clone()).prop_map(|(k, s)| Step::Expire(k, s)),
        key.prop_map(Step::Ttl),
        seconds.prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// `0:*` and `1:*` are the patterns.
fn name(key: u8) -> String {
    format!("{}:{key}", key % 2)
}

#[derive(Default)]
struct Model(HashMap<u8, (i64, Instant)>);

impl Model {
    fn get(&self, key: u8) -> Option<i64> {
        let (value, expires) = self.0.get(&key)?;
        (*expires > Instant::now()).then_some(*value)
    }

    fn set(&mut self, key: u8, value: i64, seconds: u64) {
        let expires = Instant::now() + Duration::from_secs(seconds);
        self.0.insert(key, (value, expires));
    }

    fn ttl(&self, key: u8) -> Option<Duration> {
        self.get(key)?;
        Some(self.0[&key].1 - Instant::now())
    }
}

async fn run(steps: Vec<Step>) {
    let cache = CacheManager::builder().build().unwrap();
    let mut model = Model::default();
    for step in steps {
        apply(&cache, &mut model, step).await;
    }
}

async fn apply(cache: &CacheManager, model: &mut Model, step: Step) {
    let time = Duration::from_secs;
    match step {
        Step::Get(key) => {
            let value = cache.get::<i64>(&name(key)).await;
            assert_eq!(value.as_deref().copied(), model.get(key));
        }
        Step::Mget(keys) => {
            let names: Vec<String> = keys.iter().map(|&it| name(it)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let values = cache.mget::<i64>(&names).await;
            let values: Vec<_> = values.iter().map(|it| it.as_deref().copied()).collect();
            let expected: Vec<_> = keys.iter().map(|&it| model.get(it)).collect();
            assert_eq!(values, expected);
        }
        Step::Set(key, value, seconds) => {
            cache.set(&name(key), value, time(seconds)).await.unwrap();
            model.set(key, value, seconds);
        }
        Step::Mset(entries, seconds) => {
            let named = entries.iter().map(|&(key, value)| (name(key), value));
            cache.mset(named, time(seconds)).await.unwrap();
            entries
                .iter()
                .for_each(|&(key, value)| model.set(key, value, seconds));
        }
        Step::Load(key, loaded, seconds) => {
            let load = || async { loaded.ok_or("nothing") };
            let policy = Policy::new(time(seconds)).jitter(0.0);
            let value = cache.get_or_load(&name(key), policy, load).await;
            let expected = model.get(key).or(loaded);
            assert_eq!(value.ok().as_deref().copied(), expected);
            if let (None, Some(loaded)) = (model.get(key), loaded) {
                model.set(key, loaded, seconds);
            }
        }
        Step::Delete(keys) => {
            let names: Vec<String> = keys.iter().map(|&it| name(it)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            cache.delete(&names).await;
            model.0.retain(|key, _| !keys.contains(key));
        }
        Step::DeletePattern(start) => {
            cache.delete_pattern(&format!("{start}:*")).await.unwrap();
            model.0.retain(|key, _| key % 2 != start);
        }
        Step::Expire(key, seconds) => {
            let there = cache.expire(&name(key), time(seconds)).await.unwrap();
            assert_eq!(there, model.get(key).is_some());
            if let Some(value) = model.get(key) {
                model.set(key, value, seconds);
            }
        }
        Step::Ttl(key) => {
            assert_eq!(cache.ttl(&name(key)).await.unwrap(), model.ttl(key));
            let exists = cache.exists(&name(key)).await.unwrap();
            assert_eq!(exists, model.get(key).is_some());
        }
        Step::Wait(seconds) => advance(time(seconds)).await,
    }
}

proptest! {
    #[test]
    fn any_run_of_calls_answers_as_a_map_with_times_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(steps));
    }
}
