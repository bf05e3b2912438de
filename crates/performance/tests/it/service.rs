//! Endpoints over a database and a Redis namespace of their own.

use std::{num::NonZeroUsize, time::Duration};

use actix_web::{
    App, Error, HttpRequest,
    body::{MessageBody, to_bytes},
    dev::ServiceResponse,
    http::{Method, StatusCode, header::HeaderMap},
    test::{TestRequest, init_service, try_call_service},
    web::ServiceConfig,
};
use ruleiq_cache::CacheManager;
use ruleiq_metrics::Metrics;
use ruleiq_performance::{Builder, Performance};
use ruleiq_pools::{PoolManager, PostgresConfig, RedisConfig};
use ruleiq_test_support::{TestDatabase, TestRedis};
use ruleiq_web::Problem;
use serde_json::Value;

/// The endpoints and what they tell about.
pub(crate) struct Service {
    pub(crate) performance: Performance,
    pub(crate) pools: PoolManager,
    pub(crate) cache: CacheManager,
    pub(crate) metrics: Metrics,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A pool of two connections, one of them an overflow.
pub(crate) fn postgres(url: &str) -> PostgresConfig {
    PostgresConfig {
        size: NonZeroUsize::MIN,
        max_overflow: 1,
        autosize: false,
        timeout: Duration::from_secs(5),
        ..PostgresConfig::new(url.to_owned())
    }
}

/// Pools on these servers.
pub(crate) fn pools(postgres: PostgresConfig, redis_url: &str) -> PoolManager {
    let redis = RedisConfig::new(redis_url.to_owned());
    PoolManager::builder()
        .postgres(postgres)
        .redis(redis)
        .build()
        .unwrap()
}

impl Service {
    /// Over a migrated database, as the application's role.
    pub(crate) async fn start() -> (Service, TestDatabase, TestRedis) {
        let database = TestDatabase::migrated().await;
        let redis = TestRedis::namespace().await;
        let pools = pools(postgres(database.app_url()), redis.url());
        (Service::over(&pools, redis.prefix()), database, redis)
    }

    /// Over these pools.
    pub(crate) fn over(pools: &PoolManager, prefix: &str) -> Service {
        Service::with(pools, prefix, |builder| builder)
    }

    /// Over these pools, with other options.
    pub(crate) fn with(
        pools: &PoolManager,
        prefix: &str,
        options: impl FnOnce(Builder) -> Builder,
    ) -> Service {
        let mut cache = CacheManager::builder().prefix(prefix);
        if let Some(client) = pools.redis() {
            cache = cache.redis(client);
        }
        let (cache, metrics) = (cache.build().unwrap(), Metrics::new());
        let builder = Performance::builder()
            .pools(pools.clone())
            .cache(cache.clone())
            .metrics(metrics.clone())
            .admin(only_root);
        Service {
            performance: options(builder).build().unwrap(),
            pools: pools.clone(),
            cache,
            metrics,
        }
    }

    /// `GET`, as the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Some("root")).await
    }

    /// A request, as this user.
    pub(crate) async fn send(&self, method: Method, path: &str, user: Option<&str>) -> Answer {
        send(
            |config| self.performance.configure(config),
            method,
            path,
            user,
        )
        .await
    }
}

/// A request to an application of these routes alone.
pub(crate) async fn send(
    routes: impl FnOnce(&mut ServiceConfig),
    method: Method,
    path: &str,
    user: Option<&str>,
) -> Answer {
    let mut request = TestRequest::with_uri(path).method(method);
    if let Some(user) = user {
        let token = ("authorization", format!("Bearer {user}"));
        request = request.insert_header(("x-user", user)).insert_header(token);
    }
    send_as_is(routes, request).await
}

/// A request that is like no other.
pub(crate) async fn send_as_is(
    routes: impl FnOnce(&mut ServiceConfig),
    request: TestRequest,
) -> Answer {
    let app = init_service(App::new().configure(routes)).await;
    Answer::of(try_call_service(&app, request.to_request()).await.unwrap()).await
}

impl Answer {
    pub(crate) async fn of<B: MessageBody>(response: ServiceResponse<B>) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body()).await.ok().unwrap();
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).unwrap(),
        };
        Answer {
            status,
            headers,
            body,
        }
    }

    /// A header that is there and readable.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    /// The body of a 200.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        self.body
    }

    /// Expects problem details of this status and code.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
    }
}

fn only_root(request: &HttpRequest) -> Result<(), Error> {
    match request.headers().get("x-user") {
        None => Err(Problem::new(StatusCode::UNAUTHORIZED, "token_missing", "who is it").into()),
        Some(user) if user == "root" => Ok(()),
        Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "not for you").into()),
    }
}
