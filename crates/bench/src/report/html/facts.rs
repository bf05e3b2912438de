//! What the figures depend on: machine, programs, servers, data, settings, noise.

use super::{
    table::{Table, pairs},
    titled,
};
use crate::report::{
    Report,
    figure::{Figure, bound, count, percent},
    svg::escape,
};

type Pairs = Vec<(String, String)>;

pub(super) fn section(report: &Report) -> String {
    let mut tables = vec![
        pairs("Machine", &machine(report)),
        pairs("Programs", &programs(report)),
        pairs("Noise", &noise(report)),
        pairs("Method", &method(report)),
    ];
    for server in &report.servers {
        let mut rows = vec![pair("version", &server.version)];
        rows.extend(server.settings.iter().map(|(k, v)| pair(k, v)));
        tables.push(pairs(&server.name, &rows));
    }
    let mut rows: Pairs = report
        .scale
        .rows
        .iter()
        .map(|(table, rows)| pair(table, &count(*rows)))
        .collect();
    if !rows.is_empty() {
        rows.insert(0, pair("scale", &report.scale_words()));
        tables.push(pairs("Data", &rows));
    }
    let body = format!("<div class=\"tables\">{}</div>", tables.concat());
    titled("facts", "What the figures depend on", "", &body)
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn machine(report: &Report) -> Pairs {
    let host = &report.host;
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        pair("processor", &host.cpu),
        pair("cores", &host.cores.to_string()),
        pair("kernel", &host.kernel),
        pair("virtual", &host.virt.clone().unwrap_or_else(unknown)),
        pair("governor", &host.governor.clone().unwrap_or_else(unknown)),
        pair("memory", &format!("{} MiB", count(host.memory_mb))),
        pair("fingerprint", &host.fingerprint),
    ];
    rows.extend(host.cgroup.iter().map(|(k, v)| pair(k, v)));
    rows
}

fn programs(report: &Report) -> Pairs {
    let (git, built) = (&report.git, &report.toolchain);
    let mut rows = vec![
        pair("revision", &git.revision),
        pair("changes", if git.dirty { "yes" } else { "none" }),
        pair("rustc", &built.rustc),
        pair("profile", &built.profile),
        pair("LTO", &built.lto),
        pair("target CPU", &built.target_cpu),
        pair("allocator", &built.allocator),
    ];
    if let Some(against) = &git.against {
        rows.push(pair("against", against));
    }
    rows
}

fn noise(report: &Report) -> Pairs {
    let (noise, own) = (&report.noise, &report.self_check);
    let mut rows = Pairs::new();
    if !report.results.is_empty() {
        rows.extend([
            pair("s of a block", &percent(noise.aa_s)),
            pair("floor", &percent(noise.aa_floor)),
            pair("sees 10 %", if noise.mde_10pct_ok { "yes" } else { "no" }),
        ]);
    }
    rows.extend([
        pair("steal", &percent(noise.steal_pct / 100.0)),
        pair("throttled", &count(noise.throttled)),
        pair("load at the beginning", &format!("{:.2}", noise.load1)),
    ]);
    if let Some(psi) = noise.psi_cpu_some {
        rows.push(pair("waiting for a processor", &percent(psi / 100.0)));
    }
    if let Some(ns) = own.null_case_ns {
        rows.push(pair(
            "an operation of nothing",
            &Figure::plain("us", ns / 1e3),
        ));
    }
    if let Some(rate) = own.client_ceiling_rps {
        rows.push(pair(
            "load client alone",
            &Figure::plain("ops/s", rate.round()),
        ));
    }
    if let Some(worst) = own.littles_law_worst {
        rows.push(pair("Little's law, worst", &percent(worst)));
    }
    rows
}

fn method(report: &Report) -> Pairs {
    let settings = &report.settings;
    let mut rows = vec![
        pair("run", &report.id.to_string()),
        pair("seed", &settings.seed.to_string()),
        pair("slice", &format!("{} s", bound(settings.slice_s))),
        pair("blocks", &settings.blocks.to_string()),
        pair("order", &settings.order),
        pair("threads", &settings.runtime_threads.to_string()),
    ];
    if let Some(concurrency) = settings.concurrency {
        rows.push(pair("concurrency", &concurrency.to_string()));
    }
    if let Some(iterations) = settings.iterations {
        rows.push(pair("iterations", &count(iterations)));
    }
    rows
}

/// Instructions of hot paths, counted and not timed.
pub(super) fn instructions(report: &Report) -> String {
    if report.instructions.is_empty() {
        return String::new();
    }
    let mut table = Table::new("narrow", "", &["Hot path", ">Instructions per operation"]);
    for it in &report.instructions {
        table.row(&[escape(&it.name), Figure::plain("count", it.per_op.round())]);
    }
    let lead = "Counted, not timed: the same on a busy machine.";
    titled("instructions", "Instructions", lead, &table.end())
}
