//! A database with a few rows, a Redis, and the server's program.

use std::path::PathBuf;

use ruleiq_bench_cases::Env;
use ruleiq_test_support::{TestDatabase, TestRedis};

use crate::data;

/// What cases run in, for as long as this lives.
pub(crate) struct Surroundings {
    pub(crate) env: Env,
    pub(crate) database: TestDatabase,
    _redis: TestRedis,
}

impl Surroundings {
    pub(crate) async fn new() -> Surroundings {
        let database = TestDatabase::migrated().await;
        data::fill(&database.client().await).await;
        let redis = TestRedis::namespace().await;
        let env = Env::new()
            .with_database_url(database.app_url())
            .with_owner_url(database.url())
            .with_redis_url(redis.url())
            .with_scale("test");
        Surroundings {
            env,
            database,
            _redis: redis,
        }
    }

    /// With the server's program, which cargo builds beside the tests of the workspace.
    pub(crate) fn with_server(mut self) -> Surroundings {
        let mut program: PathBuf = std::env::current_exe().unwrap();
        // target/debug/deps/it-… stands beside target/debug/ruleiq-server.
        program.pop();
        program.pop();
        program.push("ruleiq-server");
        assert!(
            program.is_file(),
            "`{}` is not there: `cargo build -p ruleiq-server`",
            program.display()
        );
        self.env = self.env.with_server_program(&program);
        self
    }
}
