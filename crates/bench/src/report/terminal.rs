//! A report on a terminal: as wide as it is, in colour only where asked, and as plain text
//! elsewhere. What a colour says, a word says as well.

mod cases;
mod paper;
mod series;

use std::path::Path;

use super::{
    Report,
    digest::{disturbed, median_mde, verdicts, worst},
    figure::{Figure, duration, percent},
    wording::Tone,
};
use crate::verdict::Outcome;
use paper::Paper;

/// How a report is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: u16,
    /// Whether it takes colours: a terminal, and `NO_COLOR` unset.
    pub color: bool,
}

impl Style {
    /// 120 columns without colours, for files and pipes.
    pub fn plain() -> Style {
        Style {
            width: 120,
            color: false,
        }
    }
}

/// The report as text. `files` are what else was written, each with its name: `("HTML", path)`.
///
/// What comes from the report is printed without control characters.
pub fn render(report: &Report, files: &[(&str, &Path)], style: Style) -> String {
    let mut paper = Paper::new(style);
    head(&mut paper, report);
    cases::earlier(&mut paper, report);
    cases::rows(&mut paper, report);
    cases::why(&mut paper, report);
    cases::guide(&mut paper, report);
    cases::summaries(&mut paper, report);
    worst_five(&mut paper, report);
    series::curves(&mut paper, report);
    series::growths(&mut paper, report);
    series::instructions(&mut paper, report);
    verdict(&mut paper, report);
    warnings(&mut paper, report);
    for (name, path) in files {
        paper.field(name, &path.display().to_string());
    }
    paper.into_text()
}

fn head(paper: &mut Paper, report: &Report) {
    let length = if report.quick {
        "quick run"
    } else {
        "full run"
    };
    paper.title(&format!(
        "{} · {length} · {} · {}",
        report.kind.word(),
        report.started_words(),
        duration(report.duration_s)
    ));
    paper.field("host", &report.host_words());
    paper.field("revision", &report.revision_words());
    let servers = report.server_words();
    if !servers.is_empty() {
        paper.field("servers", &servers);
    }
    if !report.scale.name.is_empty() {
        paper.field("scale", &report.scale_words());
    }
    if !report.results.is_empty() {
        paper.field("noise", &noise(report));
    }
    if report.partial {
        paper.note("ended before its end: what is missing was not measured");
    }
    if report.quick {
        paper.note("a quick run claims nothing finer than 15 %");
    }
}

fn noise(report: &Report) -> String {
    let noise = &report.noise;
    let mut text = format!(
        "a control against itself: s {}, floor {}",
        percent(noise.aa_s),
        percent(noise.aa_floor)
    );
    if let Some(mde) = median_mde(report) {
        text += &format!(
            "; 9 of 10 runs see a difference of {} (median)",
            percent(mde)
        );
    }
    if !noise.mde_10pct_ok {
        text += "; too noisy to see 10 %";
    }
    let (cases, disturbed) = disturbed(report);
    if disturbed > 0 {
        text +=
            &format!("; in {disturbed} of {cases} cases half of the blocks or more were disturbed");
    }
    text
}

fn worst_five(paper: &mut Paper, report: &Report) {
    let worst = worst(report);
    if !worst.is_empty() {
        paper.heading("The five worst, by what they are held against");
    }
    for (at, it) in worst.iter().enumerate() {
        let how = match it.beyond > 0.0 {
            true => format!("{} beyond {}", percent(it.beyond), it.what),
            false => format!("{} within {}", percent(it.beyond.abs()), it.what),
        };
        let tone = if it.beyond > 0.0 {
            it.row.verdict.tone()
        } else {
            Tone::Plain
        };
        let name = format!("{} {}", it.row.name(), it.row.metric_word());
        paper.item(&format!("{}.", at + 1), &format!("{name}: {how}"), tone);
    }
}

fn verdict(paper: &mut Paper, report: &Report) {
    let verdicts = verdicts(report);
    if verdicts.is_empty() {
        // What a study found stands above.
        if report.curves.is_empty() && report.scale_study.is_empty() {
            paper.line("Nothing was measured.");
        }
        return;
    }
    paper.heading("Cases by their gravest verdict, targets included");
    let parts = verdicts
        .iter()
        .map(|(verdict, cases)| format!("{} {cases} {}", verdict.sign(), verdict.word()));
    paper.line(&parts.collect::<Vec<_>>().join("   "));
    if !report.partial {
        let outcome = Outcome::of(&report.results);
        paper.line(&format!("Outcome: {}.", outcome.words()));
    }
    if let Some(ns) = report.self_check.null_case_ns {
        let ns = Figure::plain("us", ns / 1e3);
        paper.line(&format!("An operation that does nothing costs {ns}."));
    }
    if let Some(rate) = report.self_check.client_ceiling_rps {
        let rate = Figure::plain("count", rate.round());
        paper.line(&format!(
            "The load client alone reaches {rate} requests per second."
        ));
    }
}

fn warnings(paper: &mut Paper, report: &Report) {
    if !report.warnings.is_empty() {
        paper.heading("Warnings");
    }
    for warning in &report.warnings {
        paper.item("!", warning, Tone::Unsure);
    }
    paper.line("");
}
