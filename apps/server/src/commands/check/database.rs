//! PostgreSQL: version, schema, rights, extensions, connections.

use ruleiq_pools::{PoolManager, Session};
use ruleiq_query::{Error, Read};
use tokio_postgres::error::SqlState;

use super::Finding;
use crate::store::schema;

/// The oldest version that its makers still maintain.
const OLDEST_VERSION: i32 = 14;

/// What the role needs on each table.
const RIGHTS: &[(&[&str], &[&str])] = &[
    (
        &[
            "users",
            "refresh_tokens",
            "idempotency_keys",
            "business_profiles",
            "assessment_sessions",
            "assessment_session_frameworks",
            "assessment_questions",
            "assessment_responses",
        ],
        &["SELECT", "INSERT", "UPDATE", "DELETE"],
    ),
    (
        &[
            "compliance_frameworks",
            "framework_controls",
            "_sqlx_migrations",
        ],
        &["SELECT"],
    ),
];

pub(super) async fn check(
    pools: &PoolManager,
    monitor: Option<&PoolManager>,
    admin: Option<&PoolManager>,
) -> Vec<Finding> {
    let db = match pools.session().await {
        Ok(session) => session,
        Err(error) => return vec![Finding::failed("database", error)],
    };
    let mut findings = vec![
        version(&db).await,
        schema(&db).await,
        rights(&db).await,
        statistics(&db).await,
        budget(&db, [Some(pools), monitor, admin]).await,
    ];
    findings.push(monitoring(monitor).await);
    findings
        .into_iter()
        .map(|it| it.unwrap_or_else(|error| Finding::failed("database", error)))
        .collect()
}

async fn version(db: &Session) -> Result<Finding, Error> {
    let row = db
        .query_one(
            "SELECT current_setting('server_version'),
                    current_setting('server_version_num')::integer / 10000",
            &[],
        )
        .await?;
    let (version, major): (String, i32) = (row.get(0), row.get(1));
    Ok(match major >= OLDEST_VERSION {
        true => Finding::ok("database", format!("reachable, PostgreSQL {version}")),
        false => Finding::fail(
            "database",
            format!("PostgreSQL {version}, expected {OLDEST_VERSION} or newer"),
        ),
    })
}

async fn schema(db: &Session) -> Result<Finding, Error> {
    let expected = ruleiq_migrator::latest_version();
    Ok(match schema::is_expected(db).await {
        Ok(true) => Finding::ok("schema", format!("has migration {expected}")),
        Ok(false) => Finding::fail(
            "schema",
            format!("lacks migration {expected}; run `ruleiq-server migrate up`"),
        ),
        Err(error) => Finding::failed("schema", error),
    })
}

async fn rights(db: &Session) -> Result<Finding, Error> {
    let pairs = RIGHTS.iter().flat_map(|(tables, rights)| {
        tables
            .iter()
            .flat_map(|table| rights.iter().map(move |right| (*table, *right)))
    });
    let (tables, rights): (Vec<&str>, Vec<&str>) = pairs.unzip();
    // Tables that are missing are the schema's matter: the answer about them is null.
    let row = db
        .query_one(
            "SELECT current_user::text,
                    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
                    (SELECT string_agg(format('%s on %s', wanted.privilege, wanted.name), ', ')
                     FROM unnest($1::text[], $2::text[]) AS wanted (name, privilege)
                     WHERE NOT has_table_privilege(to_regclass(wanted.name), wanted.privilege))",
            &[&tables, &rights],
        )
        .await?;
    let (role, is_superuser, missing): (String, bool, Option<String>) =
        (row.get(0), row.get(1), row.get(2));
    Ok(match missing {
        Some(missing) => Finding::fail(
            "rights",
            format!(
                "`{role}` lacks {missing}; as the owner, run `GRANT ruleiq_app TO \"{role}\"` in psql"
            ),
        ),
        None if is_superuser => Finding::note(
            "rights",
            format!("`{role}` is a superuser; a role of its own in `ruleiq_app` would do"),
        ),
        None => Finding::ok("rights", format!("`{role}` has all that it needs")),
    })
}

async fn statistics(db: &Session) -> Result<Finding, Error> {
    const SUBJECT: &str = "pg_stat_statements";
    let count = db
        .query_one("SELECT count(*) FROM pg_stat_statements", &[])
        .await;
    Ok(match count {
        Ok(_) => Finding::ok(SUBJECT, "installed and loaded"),
        Err(error) => match error.sql_state() {
            Some(&SqlState::UNDEFINED_TABLE) => Finding::note(
                SUBJECT,
                "not installed: slow statements will not be known; as a superuser, run \
                 `CREATE EXTENSION pg_stat_statements` in psql",
            ),
            Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Finding::note(
                SUBJECT,
                "not loaded: slow statements will not be known; add it to \
                 `shared_preload_libraries` and restart PostgreSQL",
            ),
            _ => return Err(error),
        },
    })
}

async fn budget(db: &Session, pools: [Option<&PoolManager>; 3]) -> Result<Finding, Error> {
    let row = db
        .query_one(
            "SELECT current_setting('max_connections')::bigint
                    - current_setting('superuser_reserved_connections')::bigint
                    - coalesce(current_setting('reserved_connections', true)::bigint, 0),
                    (SELECT count(*) FROM pg_stat_activity
                     WHERE datid IS NOT NULL AND pid <> pg_backend_pid())",
            &[],
        )
        .await?;
    let (most, others): (i64, i64) = (row.get(0), row.get(1));
    let wanted: usize = pools
        .into_iter()
        .flatten()
        .filter_map(|it| it.stats().database)
        .map(|it| it.size + it.max_overflow)
        .sum();
    let text = format!(
        "this server opens up to {wanted} of {most} connections, and {others} are in use by others"
    );
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    Ok(if wanted > most {
        Finding::fail(
            "connections",
            format!(
                "{text}; lower DATABASE_POOL_SIZE or DATABASE_MAX_OVERFLOW, or raise `max_connections`"
            ),
        )
    } else if wanted.saturating_add(others) > most {
        Finding::note(
            "connections",
            format!("{text}: too few are left under load"),
        )
    } else {
        Finding::ok("connections", text)
    })
}

async fn monitoring(monitor: Option<&PoolManager>) -> Result<Finding, Error> {
    const SUBJECT: &str = "monitoring";
    let Some(monitor) = monitor else {
        return Ok(Finding::note(
            SUBJECT,
            "DATABASE_MONITOR_URL is not set: the statistics show less",
        ));
    };
    let session = match monitor.session().await {
        Ok(session) => session,
        Err(error) => return Ok(Finding::failed(SUBJECT, error)),
    };
    let row = session
        .query_one(
            "SELECT current_user::text, pg_has_role('pg_monitor', 'USAGE')",
            &[],
        )
        .await?;
    let (role, may): (String, bool) = (row.get(0), row.get(1));
    Ok(match may {
        true => Finding::ok(SUBJECT, format!("`{role}` sees all statistics")),
        false => Finding::fail(
            SUBJECT,
            format!(
                "`{role}` may not see other roles' statements; as a superuser, run \
                 `GRANT pg_monitor TO \"{role}\"` in psql"
            ),
        ),
    })
}
