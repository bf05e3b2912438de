//! What two runs must have in common: programs, settings, data, servers.
//!
//! A run of a few cases starts only the servers that those need. What the present run does without
//! has no part in its figures, so it is not compared: a stored run of everything is a baseline for a
//! run of a part.

use std::collections::BTreeMap;

use super::Refusal;
use crate::report::{Report, Scale, Server};

/// What must be alike, by name.
pub(super) type Facts = BTreeMap<String, String>;

/// What is there in one of two runs alone.
const ABSENT: &str = "absent";

/// What differs between the programs, the settings and the data of two runs.
pub(super) fn of_runs(now: &Report, then: &Report) -> Vec<Refusal> {
    let mut reasons = differences(&settings(then), &settings(now));
    if has_data(&now.scale) {
        reasons.extend(differences(&data(&then.scale), &data(&now.scale)));
    }
    reasons
}

/// What differs between the servers of two runs: each one that the present run has must have been
/// there, and alike.
pub(super) fn of_servers(now: &Report, then: &Report) -> Vec<Refusal> {
    let reasons = now.servers.iter().flat_map(|server| {
        let stored = then.servers.iter().find(|it| it.name == server.name);
        match stored {
            Some(stored) => differences(&of_server(stored), &of_server(server)),
            None => vec![Refusal::Differs {
                what: server.name.clone(),
                then: ABSENT.to_owned(),
                now: server.version.clone(),
            }],
        }
    });
    reasons.collect()
}

/// What differs, by name.
pub(super) fn differences(then: &Facts, now: &Facts) -> Vec<Refusal> {
    let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    let value = |facts: &Facts, name: &String| {
        let value = facts.get(name);
        value.map_or_else(|| ABSENT.to_owned(), String::clone)
    };
    names
        .into_iter()
        .filter(|it| then.get(*it) != now.get(*it))
        .map(|it| Refusal::Differs {
            what: it.clone(),
            then: value(then, it),
            now: value(now, it),
        })
        .collect()
}

fn settings(report: &Report) -> Facts {
    let toolchain = &report.toolchain;
    let settings = &report.settings;
    let given = |it: Option<String>| it.unwrap_or_else(|| "default".to_owned());
    [
        ("profile", toolchain.profile.clone()),
        ("link-time optimization", toolchain.lto.clone()),
        ("target CPU", toolchain.target_cpu.clone()),
        ("allocator", toolchain.allocator.clone()),
        ("order of slices", settings.order.clone()),
        ("length of a slice", settings.slice_s.to_string()),
        (
            "threads of the runtime",
            settings.runtime_threads.to_string(),
        ),
        (
            "concurrency",
            given(settings.concurrency.map(|it| it.to_string())),
        ),
        (
            "iterations",
            given(settings.iterations.map(|it| it.to_string())),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Whether the run has a database: without one, there is neither a name nor a row.
fn has_data(scale: &Scale) -> bool {
    !scale.name.is_empty() || !scale.rows.is_empty()
}

fn data(scale: &Scale) -> Facts {
    let tables = scale.rows.iter();
    let rows = tables.map(|(table, rows)| (format!("rows of {table}"), rows.to_string()));
    let name = Some(scale.name.clone()).filter(|it| !it.is_empty());
    let name = name.map(|it| ("scale".to_owned(), it));
    rows.chain(name).collect()
}

fn of_server(server: &Server) -> Facts {
    let Server {
        name,
        version,
        settings,
    } = server;
    let settings = settings.iter();
    let settings = settings.map(|(setting, value)| (format!("{name}: {setting}"), value.clone()));
    let version = (format!("{name}: version"), version.clone());
    settings.chain([version]).collect()
}
