//! The settings as an operator meets them.

use std::{collections::BTreeMap, fs, path::Path};

use super::*;

const SECRETS: &str = "DATABASE_URL=postgres://app:hidden@db/ruleiq REDIS_URL=redis://:hidden@cache JWT_KEYS=k1:hiddenhiddenhiddenhiddenhiddenhiddenhiddenA";

fn variables(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace()
        .map(|it| it.split_once('=').expect("a test writes NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn sources(text: &str) -> Sources {
    Sources::new(variables(text), Path::new("/nowhere")).unwrap()
}

fn load(text: &str) -> Result<Settings, Faults> {
    load_from(&sources(text))
}

/// Loads as the program does, on a runtime.
fn load_from(sources: &Sources) -> Result<Settings, Faults> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _on_it = runtime.enter();
    Settings::load(sources)
}

/// An environment file of the guide, as it stands in the repository.
fn example(name: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/env")
        .join(name);
    dotenvy::from_path_iter(path)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn the_defaults_are_those_of_the_guide() {
    let settings = load(SECRETS).unwrap();

    assert_eq!(settings.environment, Environment::Production);
    assert_eq!(settings.database.pool_size.get(), 10);
    assert_eq!(settings.database.max_overflow, 20);
    assert_eq!(settings.database.pool_timeout, Duration::from_secs(30));
    assert_eq!(settings.database.pool_recycle, Duration::from_secs(3600));
    assert_eq!(
        settings.monitoring.slow_request_threshold,
        Duration::from_secs(1)
    );
    assert!(settings.database.pool_autosize);
    assert!(settings.compression.enabled && settings.compression.load_aware);
    assert!(settings.monitoring.enabled);
}

#[test]
fn the_guides_development_file_works_as_written() {
    let mut variables = variables(SECRETS);
    variables.extend(example(".env.local"));
    let settings = load_from(&Sources::new(variables, Path::new("/nowhere")).unwrap()).unwrap();

    assert_eq!(settings.database.pool_size.get(), 5);
    assert_eq!(settings.database.max_overflow, 10);
    assert_eq!(settings.redis.max_connections.get(), 10);
    assert_eq!(
        settings.monitoring.slow_request_threshold,
        Duration::from_secs(2)
    );
    assert!(settings.monitoring.enabled);
}

#[test]
fn the_guides_production_file_works_as_written() {
    let mut variables = variables(SECRETS);
    variables.extend(example(".env.production"));
    let settings = load_from(&Sources::new(variables, Path::new("/nowhere")).unwrap()).unwrap();

    assert_eq!(settings.database.pool_size.get(), 20);
    assert_eq!(settings.database.max_overflow, 40);
    assert_eq!(settings.redis.max_connections.get(), 50);
    assert_eq!(
        settings.monitoring.slow_request_threshold,
        Duration::from_secs(1)
    );
    assert!(settings.monitoring.enabled && settings.compression.enabled);
}

#[test]
fn all_faults_are_reported_at_once_and_no_secret_is() {
    let faults = load(
        "DATABASE_URL=postgres://app:hidden@db/ruleiq DATABASE_POOL_SIZE=0 \
         ENABLE_COMPRESSION=perhaps BIND_ADDRESS=here REQUEST_TIMEOUT=-1 RULEIQ_ENV=staging",
    )
    .unwrap_err()
    .to_string();

    insta::assert_snapshot!(faults, @r"
    7 faults in the settings:
      RULEIQ_ENV is `staging`, expected `development` or `production` (from environment)
      BIND_ADDRESS is `here`, expected an address with a port, such as 127.0.0.1:8080 (from environment)
      REQUEST_TIMEOUT is `-1`, expected a number of seconds above 0, at most a year (from environment)
      DATABASE_POOL_SIZE is `0`, expected a whole number above 0 (from environment)
      REDIS_URL is not set (Redis, such as redis://127.0.0.1:6379)
      JWT_KEYS is not set (Signing keys `kid:key,…`, base64url of 32 bytes each; the first signs, all verify)
      ENABLE_COMPRESSION is `perhaps`, expected `true` or `false` (from environment)
    ");
}

#[test]
fn values_that_cannot_be_put_to_use_are_reported_with_the_rest() {
    let faults = load(
        "DATABASE_URL=hidden DATABASE_MONITOR_URL=hidden DATABASE_ADMIN_URL=hidden \
         REDIS_URL=hidden JWT_KEYS=k1:hidden LOG=a=b=c WORKERS=0",
    )
    .unwrap_err()
    .to_string();

    for fault in [
        "DATABASE_URL: the database URL cannot be read",
        "DATABASE_MONITOR_URL: the database URL cannot be read",
        "DATABASE_ADMIN_URL: the database URL cannot be read",
        "REDIS_URL: the Redis URL cannot be read",
        "key `k1` of JWT_KEYS is not base64url",
        "LOG is `a=b=c`, expected a level",
        "WORKERS is `0`",
    ] {
        assert!(faults.contains(fault), "{fault}: {faults}");
    }
    assert!(faults.starts_with("7 faults"), "{faults}");
    assert!(!faults.contains("hidden"), "{faults}");
}

#[test]
fn requests_are_failed_in_development_alone() {
    let load = |more: &str| load(&format!("{SECRETS} {more}"));
    for mode in ["off", "header", "log"] {
        assert!(load(&format!("N_PLUS_ONE={mode}")).is_ok(), "{mode}");
    }
    assert!(load("N_PLUS_ONE=fail RULEIQ_ENV=development").is_ok());
    for (more, fault) in [
        ("N_PLUS_ONE=fail", "needs RULEIQ_ENV=development"),
        (
            "N_PLUS_ONE=fail RULEIQ_ENV=production",
            "needs RULEIQ_ENV=development",
        ),
        (
            "N_PLUS_ONE=yes",
            "expected `off`, `header`, `log` or `fail`",
        ),
        ("N_PLUS_ONE_THRESHOLD=0", "N_PLUS_ONE_THRESHOLD is `0`"),
    ] {
        let faults = load(more).unwrap_err().to_string();
        assert!(faults.contains(fault), "{faults}");
        assert!(faults.starts_with("1 fault"), "{faults}");
    }
    let settings = load("").unwrap().n_plus_one;
    assert_eq!(settings.mode, ruleiq_performance::web::NPlusOneMode::Off);
    assert_eq!(settings.threshold.get(), 5);
}

#[test]
fn what_would_be_over_before_it_began_is_refused() {
    for name in [
        "REQUEST_TIMEOUT",
        "DATABASE_CONNECT_TIMEOUT",
        "ACCESS_TOKEN_TTL",
        "REFRESH_TOKEN_TTL",
    ] {
        let faults = load(&format!("{SECRETS} {name}=0"))
            .unwrap_err()
            .to_string();
        assert!(faults.contains(&format!("{name} is `0`")), "{faults}");
    }
    assert!(load(&format!("{SECRETS} DRAIN_DELAY=0 SLOW_REQUEST_THRESHOLD=0")).is_ok());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = std::env::temp_dir().join(format!("ruleiq-settings-{}.toml", std::process::id()));
    fs::write(&file, "database_pool_size = 7\ndatabase_max_overflow = 8\n").unwrap();
    let text = format!(
        "{SECRETS} DATABASE_POOL_SIZE=9 RULEIQ_CONFIG={}",
        file.display()
    );
    let settings = load(&text).unwrap();
    fs::write(&file, "database_pol_size = 7\n").unwrap();
    let faults = load(&text).unwrap_err().to_string();
    fs::remove_file(&file).unwrap();

    assert_eq!(settings.database.pool_size.get(), 9);
    assert_eq!(settings.database.max_overflow, 8);
    assert!(
        faults.contains("`database_pol_size`, which is no setting"),
        "{faults}"
    );
}

#[test]
fn the_owners_commands_read_the_servers_file() {
    let file = std::env::temp_dir().join(format!("ruleiq-owner-{}.toml", std::process::id()));
    fs::write(
        &file,
        "database_owner_url = \"postgres://db/ruleiq\"\nworkers = 2\n",
    )
    .unwrap();
    let text = format!("RULEIQ_CONFIG={}", file.display());
    let owner = OwnerSettings::load(&sources(&text));
    let server = load(&format!("{SECRETS} {text}"));
    fs::remove_file(&file).unwrap();

    assert!(owner.is_ok(), "{owner:?}");
    assert!(server.is_ok(), "{server:?}");
}

#[test]
fn the_benchmark_is_off_in_production_unless_it_is_turned_on() {
    for (text, is_on) in [
        ("RULEIQ_ENV=production", false),
        ("RULEIQ_ENV=production ENABLE_BENCHMARK_ENDPOINT=true", true),
        ("RULEIQ_ENV=development", true),
        (
            "RULEIQ_ENV=development ENABLE_BENCHMARK_ENDPOINT=false",
            false,
        ),
    ] {
        let settings = load(&format!("{SECRETS} {text}")).unwrap();
        assert_eq!(settings.monitoring.benchmark, is_on, "{text}");
    }
}

#[test]
fn a_missing_file_is_a_fault() {
    let variables = variables("RULEIQ_CONFIG=/nowhere/ruleiq.toml");
    let faults = Sources::new(variables, Path::new("/nowhere"))
        .unwrap_err()
        .to_string();
    assert!(faults.contains("/nowhere/ruleiq.toml"), "{faults}");
}

#[test]
fn env_local_counts_in_development_alone() {
    let folder = std::env::temp_dir().join(format!("ruleiq-env-local-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(".env.local"), "DATABASE_POOL_SIZE=3\n").unwrap();
    let load = |environment: &str| {
        let variables = variables(&format!("{SECRETS} RULEIQ_ENV={environment}"));
        load_from(&Sources::new(variables, &folder).unwrap()).unwrap()
    };
    let (development, production) = (load("development"), load("production"));
    fs::remove_dir_all(&folder).unwrap();

    assert_eq!(development.database.pool_size.get(), 3);
    assert_eq!(production.database.pool_size.get(), 10);
}

#[test]
fn a_listing_shows_every_setting_and_no_secret() {
    let listings = Settings::list(&sources(SECRETS));
    let text: String = listings.iter().map(|it| format!("{it}\n")).collect();

    assert!(!text.contains("hidden"), "{text}");
    assert!(text.contains("DATABASE_URL=(secret)"), "{text}");
    assert!(text.contains("DATABASE_POOL_SIZE=10"), "{text}");
    assert_eq!(
        format!("{:?}", load(SECRETS).unwrap())
            .matches("hidden")
            .count(),
        0
    );
}

#[test]
fn the_owners_commands_need_no_more_than_a_database() {
    let load = |text: &str| OwnerSettings::load(&sources(text));
    assert!(load("DATABASE_URL=postgres://db/ruleiq").is_ok());
    assert!(load("DATABASE_OWNER_URL=postgres://db/ruleiq").is_ok());
    assert!(
        load("")
            .unwrap_err()
            .to_string()
            .contains("DATABASE_URL is not set")
    );
}

#[test]
fn compression_is_set_in_its_own_words_and_a_level_that_is_none_is_a_fault() {
    let settings = load(&format!(
        "{SECRETS} COMPRESSION_PREFERENCE=cheapest COMPRESSION_CPU_BUDGET=0.0005 \
         COMPRESSION_ZSTD_LEVEL=6 COMPRESSION_MEMO_BYTES=0 COMPRESSION_LOAD_AWARE=off"
    ))
    .unwrap();
    let compression = settings.compression;
    assert_eq!(
        compression.preference,
        ruleiq_compression::Preference::Cheapest
    );
    assert_eq!(compression.cpu_budget_us, 500);
    assert_eq!(compression.zstd_level, Some(6));
    assert_eq!(compression.memo_bytes, 0);
    assert!(!compression.load_aware);

    let faults = load(&format!(
        "{SECRETS} COMPRESSION_BROTLI_LEVEL=9 COMPRESSION_PREFERENCE=best"
    ));
    let told = faults.unwrap_err().to_string();
    assert!(told.contains("br has no level `9`"), "{told}");
    assert!(told.contains("COMPRESSION_PREFERENCE is `best`"), "{told}");
}
