//! Reports on a terminal.

use std::path::Path;

use ruleiq_bench::report::{
    Baseline, BaselineMode, Report, Verdict,
    terminal::{Style, render},
};

use crate::sample;

fn text(report: &Report, width: u16) -> String {
    let files = [
        ("JSON", Path::new("run.json")),
        ("HTML", Path::new("run.html")),
    ];
    let style = Style {
        width,
        color: false,
    };
    render(report, &files, style)
}

#[test]
fn a_full_report_is_readable_at_each_width() {
    let report = sample::rich();
    insta::assert_snapshot!("wide", text(&report, 150));
    insta::assert_snapshot!("medium", text(&report, 100));
    insta::assert_snapshot!("narrow", text(&report, 60));
}

#[test]
fn a_comparison_says_by_how_much() {
    let mut report = sample::rich();
    let mut rows = report.results.iter_mut();
    let row = rows.find(|it| it.metric == "cpu_per_op").unwrap();
    row.baseline = Some(Baseline {
        id: None,
        mode: BaselineMode::Interleaved,
        ratio: 1.25,
        ci_low: 1.2,
        ci_high: 1.3,
        p: 0.001,
        stage: 2,
    });
    row.verdict = Verdict::Regressed;
    for width in [60, 100, 150] {
        let printed = text(&report, width);
        let line = printed.lines().find(|it| it.contains("1.25"));
        let line = line.unwrap_or_else(|| panic!("{printed}"));
        assert!(line.contains("[1.20, 1.30]"), "{line}");
        assert!(printed.contains("✗ regressed"), "{printed}");
    }
}

#[test]
fn a_study_alone_says_nothing_of_noise_that_was_not_measured() {
    let mut study = sample::rich();
    study.results.clear();
    let printed = text(&study, 100);
    assert!(printed.contains("questions grow"), "{printed}");
    assert!(!printed.contains("Nothing was measured"), "{printed}");
    assert!(!printed.contains("noise"), "{printed}");

    let nothing = text(&sample::minimal(), 100);
    assert!(nothing.contains("Nothing was measured"), "{nothing}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in [60, 80, 100, 120, 150, 200] {
        let printed = text(&sample::rich(), width);
        for line in printed.lines() {
            // A word that is wider than the terminal stands alone.
            let fits = line.chars().count() <= usize::from(width);
            let room = usize::from(width) - 4;
            let is_one_word = line.split(' ').any(|it| it.chars().count() > room);
            assert!(fits || is_one_word, "{width}: {line}");
        }
    }
}

#[test]
fn a_report_of_nothing_says_so() {
    insta::assert_snapshot!("nothing", text(&sample::minimal(), 80));
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let report = sample::rich();
    assert!(!text(&report, 100).contains('\x1b'));
    let style = Style {
        width: 100,
        color: true,
    };
    assert!(render(&report, &[], style).contains("\x1b[1m"));
}

/// A stored report may have come from anywhere.
#[test]
fn a_name_cannot_command_the_terminal() {
    let mut report = sample::rich();
    report.results[0].case = "evil\x1b]0;title\x07\r\n".to_owned();
    report.warnings.push("\x1b[2J".to_owned());
    report.host.cpu = "\x1b[31m".to_owned();
    let printed = text(&report, 150);
    assert!(!printed.contains(['\x1b', '\x07', '\r']));
}
