//! The words of reports for people.

use super::{
    Kind, Report, Row, TargetVerdict, Verdict,
    figure::{Figure, bound, count},
};
use crate::{TargetOf, verdict::Outcome};

/// How a verdict sounds; colours follow it, and never stand alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    Good,
    Bad,
    Unsure,
    Plain,
}

impl Verdict {
    /// All, the gravest first.
    pub(super) const ALL: [Verdict; 10] = [
        Verdict::Invalid,
        Verdict::Critical,
        Verdict::Regressed,
        Verdict::Missed,
        Verdict::NoControl,
        Verdict::Inconclusive,
        Verdict::Improved,
        Verdict::Met,
        Verdict::Same,
        Verdict::Measured,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Measured => "measured",
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::Critical => "missed, critical",
            Verdict::Improved => "improved",
            Verdict::Same => "same",
            Verdict::Regressed => "regressed",
            Verdict::Inconclusive => "undecided",
            Verdict::Invalid => "invalid",
            Verdict::NoControl => "no control",
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Verdict::Measured => "·",
            Verdict::Met | Verdict::Improved => "✓",
            Verdict::Missed | Verdict::Critical | Verdict::Regressed => "✗",
            Verdict::Same => "=",
            Verdict::Inconclusive => "~",
            Verdict::Invalid => "!",
            Verdict::NoControl => "?",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Verdict::Met | Verdict::Improved => Tone::Good,
            Verdict::Missed | Verdict::Critical | Verdict::Regressed | Verdict::Invalid => {
                Tone::Bad
            }
            Verdict::Inconclusive | Verdict::NoControl => Tone::Unsure,
            Verdict::Measured | Verdict::Same => Tone::Plain,
        }
    }
}

impl TargetVerdict {
    /// As the guide's table of targets says it.
    pub(super) fn word(self) -> &'static str {
        match self {
            TargetVerdict::Met => "pass",
            TargetVerdict::Missed => "over target",
            TargetVerdict::Critical => "critical",
            TargetVerdict::Undecided => "~ undecided",
            TargetVerdict::NoControl => "no control",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            TargetVerdict::Met => Tone::Good,
            TargetVerdict::Missed | TargetVerdict::Critical => Tone::Bad,
            TargetVerdict::Undecided | TargetVerdict::NoControl => Tone::Unsure,
        }
    }
}

impl Outcome {
    /// What it means for whoever waits for the exit code.
    pub(super) fn words(self) -> &'static str {
        match self {
            Outcome::Fine => "nothing regressed, and no critical target is missed",
            Outcome::Undecided => {
                "undecided: a comparison, a critical target, or a bar without its control"
            }
            Outcome::Failed => "something regressed, or a critical target is missed",
            Outcome::Invalid => "something must not be read, or nothing was measured",
        }
    }
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Measure => "measured against controls",
            Kind::Compare => "compared with an earlier state",
            Kind::SelfTest => "the harness against itself",
        }
    }
}

impl Row {
    /// `pools/point_select`, with its variant.
    pub(super) fn name(&self) -> String {
        let pairs: Vec<String> = self
            .variant
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        match pairs.is_empty() {
            true => format!("{}/{}", self.component, self.case),
            false => format!("{}/{} {}", self.component, self.case, pairs.join(" ")),
        }
    }

    /// `CPU/op`.
    pub(super) fn metric_word(&self) -> String {
        match self.metric.as_str() {
            "cpu_per_op" => "CPU/op".to_owned(),
            "latency_p50" => "P50".to_owned(),
            "latency_p95" => "P95".to_owned(),
            "latency_p99" => "P99".to_owned(),
            "latency_mean" => "mean".to_owned(),
            other => other.replace("_per_op", "/op").replace('_', " "),
        }
    }

    pub(super) fn figure(&self) -> Option<Figure> {
        let value = self.value?;
        Some(Figure::new(
            &self.unit,
            value,
            self.ci_low.zip(self.ci_high),
        ))
    }

    /// `≤ 1.05`, or `≤ 5 ms`.
    pub(super) fn target_word(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        let sign = match target.op.as_str() {
            "<=" => "≤",
            ">=" => "≥",
            other => other,
        };
        let bound = match target.of {
            TargetOf::Ratio => bound(target.value),
            TargetOf::Value => Figure::plain(&self.unit, target.value),
        };
        Some(format!("{sign} {bound}"))
    }

    /// The verdict in words; `~ undecided, needs 14 more blocks`.
    pub(super) fn verdict_words(&self) -> String {
        let word = format!("{} {}", self.verdict.sign(), self.verdict.word());
        match self.blocks_needed() {
            Some(blocks) if self.verdict == Verdict::Inconclusive => {
                format!("{word}, needs {blocks} more blocks")
            }
            _ => word,
        }
    }

    /// How it does against its control or its bar; where it was compared with an earlier state, its
    /// verdict is about that, and stands there.
    pub(super) fn bar_words(&self) -> (String, Tone) {
        match (&self.baseline, &self.target) {
            (Some(_), Some(target)) if self.verdict != Verdict::Invalid => {
                (target.verdict.word().to_owned(), target.verdict.tone())
            }
            (Some(_), None) if self.verdict != Verdict::Invalid => {
                (Verdict::Measured.word().to_owned(), Tone::Plain)
            }
            _ => (self.verdict_words(), self.verdict.tone()),
        }
    }

    /// How many more blocks a reason asks for.
    fn blocks_needed(&self) -> Option<u64> {
        self.reasons.iter().find_map(|reason| {
            let (_, rest) = reason.split_once("needs ")?;
            let (number, rest) = rest.split_once(' ')?;
            let number = number.replace(',', "").parse().ok()?;
            rest.starts_with("more block").then_some(number)
        })
    }
}

impl Report {
    /// `2026-11-25 10:00 UTC`.
    pub(super) fn started_words(&self) -> String {
        let at = self.started.to_offset(time::UtcOffset::UTC);
        let (hour, minute, _) = at.to_hms();
        format!("{} {hour:02}:{minute:02} UTC", at.date())
    }

    /// `AMD EPYC, 2 cores, 8 GB, kvm, Linux 6.18.5`.
    pub(super) fn host_words(&self) -> String {
        let host = &self.host;
        let mut parts = Vec::new();
        if !host.cpu.is_empty() {
            parts.push(host.cpu.clone());
        }
        parts.push(format!("{} cores", host.cores));
        parts.push(Figure::plain("bytes", megabytes(host.memory_mb)));
        parts.extend(host.virt.clone());
        parts.push(format!("Linux {}", host.kernel).trim_end().to_owned());
        parts.join(", ")
    }

    /// `b3348376a1fd with changes, against …; rustc 1.95.0, release`.
    pub(super) fn revision_words(&self) -> String {
        let short = |text: &str| text.chars().take(12).collect::<String>();
        let mut text = match self.git.revision.is_empty() {
            true => "unknown".to_owned(),
            false => short(&self.git.revision),
        };
        if self.git.dirty {
            text += " with changes";
        }
        if let Some(against) = &self.git.against {
            text += &format!(", against {}", short(against));
        }
        if !self.toolchain.rustc.is_empty() {
            let built = &self.toolchain;
            text += &format!("; rustc {}, {}", built.rustc, built.profile);
        }
        text
    }

    /// `postgres 17.2, redis 8.0.1`.
    pub(super) fn server_words(&self) -> String {
        let words = self
            .servers
            .iter()
            .map(|it| format!("{} {}", it.name, it.version));
        words.collect::<Vec<_>>().join(", ")
    }

    /// `demo: 1,200,000 answers, …; 412 MB, more than shared_buffers`.
    pub(super) fn scale_words(&self) -> String {
        let scale = &self.scale;
        let mut rows: Vec<_> = scale.rows.iter().collect();
        rows.sort_by(|a, b| b.1.cmp(a.1));
        let rows = rows
            .iter()
            .take(3)
            .map(|(table, rows)| format!("{} {table}", count(**rows)));
        let rows = rows.collect::<Vec<_>>().join(", ");
        #[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
        let size = Figure::plain("bytes", scale.data_bytes as f64);
        let fits = match scale.fits_in_shared_buffers {
            true => "all in shared_buffers",
            false => "more than shared_buffers",
        };
        format!("{}: {rows}; {size}, {fits}", scale.name)
    }
}

fn megabytes(mb: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
    let bytes = mb as f64 * 1_048_576.0;
    bytes
}
