//! The server as keep-alive connections grow, and the pool as its own do.

use std::{collections::BTreeMap, sync::Arc};

use ruleiq_bench::{Fault, cpu::Servers, report::GrowthPoint};

use super::{Found, Say, Series, point};
use crate::{
    Env, Options,
    cases::{
        http,
        pools::{PointSelect, point_select},
    },
    postgres::{Ours, PoolSettings, connect},
};

/// The endpoint.
const HTTP: &str = "assessment";
/// Rows of the pool's table.
const ROWS: u32 = 100_000;
/// Connections of PostgreSQL that are left to others.
const SPARE: i64 = 20;

pub(super) async fn grow(
    env: &Arc<Env>,
    servers: Servers,
    sizes: &[usize],
    found: &Found,
    say: Say<'_>,
) -> Result<(), Fault> {
    grow_http(env, servers, sizes, found, say).await?;
    grow_pool(env, servers, sizes, found, say).await
}

async fn grow_http(
    env: &Arc<Env>,
    servers: Servers,
    sizes: &[usize],
    found: &Found,
    say: Say<'_>,
) -> Result<(), Fault> {
    let series = Series {
        what: "connections",
        component: "http",
        case: HTTP,
    };
    for size in sizes {
        say(&series.says(*size as u64));
        let options = Options {
            concurrency: Some(*size),
            ..Options::default()
        };
        let measured = http_point(env, servers, &options, *size as u64).await;
        if !found.keep(series, *size as u64, measured, say)? {
            break;
        }
    }
    Ok(())
}

async fn http_point(
    env: &Arc<Env>,
    servers: Servers,
    options: &Options,
    size: u64,
) -> Result<GrowthPoint, Fault> {
    let all = http::cases(options);
    let case = all
        .iter()
        .find(|it| it.name().case == HTTP && it.name().variant.is_empty())
        .and_then(|it| it.sides().first());
    let side = case.ok_or_else(|| Fault::Failed(format!("there is no http case `{HTTP}`")))?;
    let mut arm = side.set_up(Arc::clone(env)).await?;
    point::measure(size, &mut *arm, servers, BTreeMap::new()).await
}

async fn grow_pool(
    env: &Arc<Env>,
    servers: Servers,
    sizes: &[usize],
    found: &Found,
    say: Say<'_>,
) -> Result<(), Fault> {
    let series = Series {
        what: "connections",
        component: "pools",
        case: "point_select",
    };
    let most = most_connections(env).await?;
    for size in sizes {
        if *size > most {
            say(&format!(
                "the pool ends before {size} connections: PostgreSQL has {most} to spare"
            ));
            break;
        }
        say(&series.says(*size as u64));
        let measured = pool_point(env, servers, *size).await;
        if !found.keep(series, *size as u64, measured, say)? {
            break;
        }
    }
    Ok(())
}

async fn pool_point(env: &Arc<Env>, servers: Servers, size: usize) -> Result<GrowthPoint, Fault> {
    let settings = PointSelect::new(PoolSettings::new(size, size), ROWS);
    let mut arm = point_select::<Ours>(Arc::clone(env), Arc::new(settings)).await?;
    point::measure(size as u64, &mut *arm, servers, BTreeMap::new()).await
}

async fn most_connections(env: &Env) -> Result<usize, Fault> {
    let row = connect(env.owner_url()?)
        .await?
        .query_one(
            "SELECT current_setting('max_connections')::bigint - $1
                    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')",
            &[&SPARE],
        )
        .await
        .map_err(Fault::failed)?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}
