//! `#[cached]` on every kind of function that it takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use ruleiq_cache::{
    CacheManager, LoadError, cached, cached_query, install, installed, runs_without_cache,
};
use ruleiq_scope::Scope;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::place::in_process;

/// Something that cannot be a part of a key, and counts.
#[derive(Debug, Default)]
struct Database {
    queries: AtomicU32,
}

impl Database {
    fn query(&self) -> u32 {
        self.queries.fetch_add(1, SeqCst) + 1
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum Failure {
    #[error("there is no user `{0}`")]
    NoUser(u32),
    #[error("loading failed: {0}")]
    Load(String),
}

impl From<LoadError<Failure>> for Failure {
    fn from(error: LoadError<Failure>) -> Failure {
        match error {
            LoadError::Failed(error) => Failure::clone(&error),
            other => Failure::Load(other.to_string()),
        }
    }
}

type Fallible<T> = Result<T, Failure>;

#[cached(ttl = 60, prefix = "user", cache = cache, skip(cache, db))]
async fn user(cache: &CacheManager, db: &Database, id: u32, fields: &[&str]) -> Fallible<String> {
    let query = db.query();
    if id == 0 {
        return Err(Failure::NoUser(id));
    }
    let id = Some(id).ok_or(Failure::NoUser(id))?;
    Ok(format!("user {id} {fields:?} by query {query}"))
}

#[tokio::test]
async fn a_result_is_kept_under_its_arguments_if_it_is_ok() {
    let (cache, db) = (in_process(), Database::default());
    let first = user(&cache, &db, 1, &["name"]).await.unwrap();
    assert_eq!(first, "user 1 [\"name\"] by query 1");
    assert_eq!(user(&cache, &db, 1, &["name"]).await.unwrap(), first);
    user(&cache, &db, 1, &["name", "email"]).await.unwrap();
    user(&cache, &db, 2, &["name"]).await.unwrap();
    assert_eq!(db.queries.load(SeqCst), 3);

    for _ in 0..2 {
        assert_eq!(user(&cache, &db, 0, &[]).await, Err(Failure::NoUser(0)));
    }
    assert_eq!(db.queries.load(SeqCst), 5, "an error is not kept");

    cache.delete(&[r#"user:[1,["name"]]"#]).await;
    user(&cache, &db, 1, &["name"]).await.unwrap();
    assert_eq!(db.queries.load(SeqCst), 6, "the key is as documented");
}

#[cached(ttl = Duration::from_millis(1_500), prefix = "count", cache = cache, skip(cache, db))]
async fn count<T>(cache: CacheManager, db: Arc<Database>, mut of: Vec<T>) -> usize
where
    T: Serialize + Send,
{
    of.clear();
    db.query() as usize
}

#[tokio::test]
async fn the_same_arguments_of_another_type_are_another_key() {
    let (cache, db) = (in_process(), Arc::new(Database::default()));
    let (one, two) = (cache.clone(), cache.clone());
    assert_eq!(count::<u8>(one, Arc::clone(&db), vec![1]).await, 1);
    assert_eq!(count::<u16>(two, Arc::clone(&db), vec![1]).await, 2);
    assert_eq!(count::<u8>(cache, db, vec![1]).await, 1);
}

#[derive(Debug)]
struct Repository {
    cache: CacheManager,
    db: Database,
}

impl Repository {
    #[cached(ttl = 60, prefix = "repository:get", cache = self.cache, skip(self))]
    async fn get<T>(&self, id: u32) -> Option<T>
    where
        T: From<u8> + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.db.query();
        (id > 0).then(|| T::from(7))
    }

    #[cached(ttl = 60, negative_ttl = 5, prefix = "find", cache = self.cache, skip(self))]
    async fn find(&self, id: u32) -> Option<u32> {
        self.db.query();
        (id > 0).then_some(id)
    }

    #[cached_query(ttl = 60, prefix = "rows", cache = self.cache, skip(self, _note))]
    async fn rows<T>(&self, _id: T, _note: &str) -> u32
    where
        T: Serialize,
    {
        self.db.query()
    }

    #[cached(ttl = 60, prefix = "user", key = format!("{tenant}:{}", id + 1), cache = &self.cache)]
    async fn of_tenant(&self, tenant: &str, (id, _): (u32, Database)) -> Arc<Vec<u32>> {
        assert!(!tenant.is_empty());
        Arc::new(vec![id, self.db.query()])
    }

    #[cached(ttl = 60, key = "now", cache = self.cache)]
    async fn now(&mut self) -> u32 {
        self.db.query()
    }
}

#[tokio::test]
async fn methods_generics_and_keys_of_ones_own_work() {
    let (cache, db) = (in_process(), Database::default());
    let mut repository = Repository { cache, db };
    assert_eq!(repository.get::<u8>(1).await, Some(7));
    assert_eq!(repository.get::<u8>(1).await, Some(7));
    assert_eq!(repository.get::<u64>(1).await, Some(7));
    assert_eq!(repository.get::<u64>(0).await, None);
    assert_eq!(repository.get::<u64>(0).await, None);
    assert_eq!(repository.db.queries.load(SeqCst), 4, "nothing is not kept");
    for _ in 0..2 {
        assert_eq!(repository.find(0).await, None);
    }
    assert_eq!(repository.db.queries.load(SeqCst), 5, "unless it is to be");

    let list = repository.of_tenant("acme", (1, Database::default())).await;
    assert_eq!(*list, [1, 6]);
    let kept = repository.cache.get::<Arc<Vec<u32>>>("user:acme:2").await;
    assert_eq!(**kept.unwrap(), [1, 6]);

    assert_eq!(repository.now().await, 7);
    assert_eq!(repository.now().await, 7);
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Profile {
    id: u32,
    query: u32,
}

static AMBIENT_DATABASE: Database = Database {
    queries: AtomicU32::new(0),
};

#[cached(ttl = 3600, prefix = "user_profile")]
async fn user_profile(id: u32) -> Profile {
    let query = AMBIENT_DATABASE.query();
    Profile { id, query }
}

#[cached_query(ttl = 3600, prefix = "newest_profile")]
async fn newest_profile(id: u32) -> Profile {
    let query = AMBIENT_DATABASE.query();
    Profile { id, query }
}

#[tokio::test]
async fn without_a_cache_it_runs_plainly_and_then_the_installed_one_serves() {
    assert!(installed().is_none());
    assert_eq!(user_profile(1).await.query, 1);
    assert_eq!(user_profile(1).await.query, 2);
    assert_eq!(runs_without_cache(), 2);
    // There is nothing that it could take away.
    newest_profile_invalidate(1).await;

    install(in_process()).unwrap();
    let error = install(in_process()).unwrap_err();
    assert!(error.to_string().contains("cache = ..."), "{error}");
    let first = user_profile(1).await;
    assert_eq!(user_profile(1).await, first);
    assert_eq!(runs_without_cache(), 2);
    let first = newest_profile(1).await;
    assert_eq!(newest_profile(1).await, first);
    newest_profile_invalidate(2).await;
    assert_eq!(newest_profile(1).await, first);
    newest_profile_invalidate(1).await;
    assert_ne!(newest_profile(1).await, first);
    assert_eq!(installed().unwrap().stats().l1_hits, 3);
}

#[cached(ttl = 60, prefix = "panics", cache = cache, skip(cache))]
async fn panics(cache: &CacheManager) -> u8 {
    assert!(cache.stats().loads > 0, "the first time");
    1
}

#[tokio::test]
async fn a_panic_of_a_plain_function_stays_a_panic() {
    let cache = in_process();
    let own = cache.clone();
    let panicked = tokio::spawn(async move { panics(&own).await }).await;
    let said = panicked.unwrap_err().into_panic();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(said.contains("the first time"), "{said}");
    assert_eq!(panics(&cache).await, 1);
}

#[cached(ttl = 60, prefix = "odd", cache = cache, skip(cache))]
async fn odd(cache: &CacheManager, map: std::collections::BTreeMap<Vec<u8>, u8>) -> usize {
    map.len()
}

#[tokio::test]
async fn an_argument_that_is_no_json_runs_the_function_plainly() {
    let cache = in_process();
    assert_eq!(odd(&cache, [(vec![1], 1)].into()).await, 1);
    assert_eq!(cache.stats().loads, 0);
}

#[tokio::test]
async fn a_hundred_calls_run_the_function_once() {
    let (cache, db) = (in_process(), Database::default());
    let calls = (0..100).map(|_| user(&cache, &db, 1, &[]));
    futures_util::future::join_all(calls).await;
    assert_eq!(db.queries.load(SeqCst), 1);
}

#[test]
fn a_cached_future_is_send_where_its_body_is() {
    fn check<T: Send>(_: T) {}
    let (cache, db) = (in_process(), Database::default());
    check(user(&cache, &db, 1, &[]));
    check(user_profile(1));
}

#[tokio::test]
async fn a_query_has_a_function_that_takes_away_what_it_has_kept() {
    let (cache, db) = (in_process(), Database::default());
    let repository = Repository { cache, db };
    let rows = async |id: u8| repository.rows(id, "a note").await;
    assert_eq!((rows(1).await, rows(2).await), (1, 2));
    repository.rows_invalidate(1_u8).await;
    assert_eq!((rows(1).await, rows(2).await), (3, 2));
    // Another type is another key.
    repository.rows_invalidate(1_u16).await;
    assert_eq!(rows(1).await, 3);
}

#[tokio::test]
async fn inside_of_a_transaction_it_neither_reads_nor_fills() {
    let (cache, db) = (in_process(), Database::default());
    let repository = Repository { cache, db };
    let rows = async || repository.rows(1_u8, "").await;
    let scope = Scope::builder().build();
    let inside = scope.clone().run(async {
        let open = scope.open_transaction();
        assert_eq!((rows().await, rows().await), (1, 2));
        drop(open);
        rows().await
    });
    assert_eq!(inside.await, 3, "what it saw was not kept");
    assert_eq!(rows().await, 3);
    let open = scope.open_transaction();
    assert_eq!(scope.run(rows()).await, 4, "what is kept was not read");
    drop(open);
}

mod elsewhere {
    pub(super) use ruleiq_cache as moved;
}

#[cached(ttl = 60, prefix = "moved", cache = cache, skip(cache), crate = elsewhere::moved)]
async fn moved(cache: &CacheManager, id: u32) -> u32 {
    id + 1
}

#[tokio::test]
async fn the_crate_is_found_where_it_is_said_to_be() {
    let cache = in_process();
    assert_eq!(moved(&cache, 1).await, 2);
    assert!(cache.exists("moved:[1]").await.unwrap());
}

#[cached_query(
    ttl = 60,
    prefix = "sessions",
    cache = cache,
    skip(cache, db),
    invalidate_on = ["assessment_sessions", "users"],
    tags = [format!("user:{user}")],
)]
async fn sessions(cache: &CacheManager, db: &Database, user: u32, status: String) -> u32 {
    // The body takes what the tags only looked at.
    drop(status);
    db.query()
}

#[tokio::test]
async fn what_a_query_has_kept_falls_with_its_tables_and_tags() {
    let (cache, db) = (in_process(), Database::default());
    let sessions = async |user| sessions(&cache, &db, user, "open".to_owned()).await;
    assert_eq!((sessions(1).await, sessions(2).await), (1, 2));
    cache.invalidate_tables(&["frameworks"]).await;
    cache.invalidate_tags(&["user:3"]).await;
    assert_eq!((sessions(1).await, sessions(2).await), (1, 2));
    cache.invalidate_tags(&["user:1"]).await;
    assert_eq!((sessions(1).await, sessions(2).await), (3, 2));
    cache.invalidate_tables(&["users"]).await;
    assert_eq!((sessions(1).await, sessions(2).await), (4, 5));
    sessions_invalidate(&cache, 1, "open".to_owned()).await;
    assert_eq!((sessions(1).await, sessions(2).await), (6, 5));
}

#[cached(ttl = 60, prefix = "inbox", owner = user, cache = cache, skip(cache))]
async fn inbox(cache: &CacheManager, user: &str, page: u32) -> String {
    format!("page {page} of {user}")
}

#[tokio::test]
async fn whose_value_it_is_stands_before_the_arguments() {
    let cache = in_process();
    for user in ["ada", "a\":[1", "a"] {
        assert_eq!(inbox(&cache, user, 1).await, format!("page 1 of {user}"));
    }
    for key in [
        r#"inbox:"ada":[1]"#,
        r#"inbox:"a\":[1":[1]"#,
        r#"inbox:"a":[1]"#,
    ] {
        assert!(cache.exists(key).await.unwrap(), "{key}");
    }
    assert_eq!(cache.delete_pattern(r#"inbox:"ada":*"#).await.unwrap(), 1);
}
