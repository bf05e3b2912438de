//! Rows before anything is estimated.

use std::collections::BTreeSet;

use super::{
    estimate, invalidate,
    metric::{self, LATENCIES},
    reading::{Reading, SideTotal},
    role_of, rounds, sides_as,
};
use crate::{
    Histogram, Measured, Role, Target, TargetOf,
    report::{Better, Control, Counts, Row, RowRole, RowTarget, TargetVerdict, Verdict},
    stats::{Interval, Merged, merged_intervals},
    verdict::{Rules, gates},
};

/// What all rows of a case are made from.
pub(super) struct Draft<'a> {
    pub(super) measured: &'a Measured,
    pub(super) rules: &'a Rules,
    reading: &'a Reading,
    pub(super) earlier: Option<usize>,
    /// Of the merged latencies, in the order of [`LATENCIES`].
    merged: Vec<Option<Interval>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(measured: &'a Measured, reading: &'a Reading, rules: &'a Rules) -> Draft<'a> {
        let figures = LATENCIES.map(|(_, q)| q.map_or(Merged::Mean, Merged::Quantile));
        // The seed is fixed: a report that is computed again gives the same interval.
        let merged = merged_intervals(&reading.subject_latencies, &figures, rules.confidence, 1);
        Draft {
            measured,
            rules,
            reading,
            earlier: sides_as(measured, &[Role::Baseline]).first().copied(),
            merged,
        }
    }

    /// Why there is nothing to say of the subject.
    pub(super) fn subject_is_missing(&self) -> Option<String> {
        let side = self.measured.sides.first();
        let why = side.and_then(|it| it.missing.clone());
        let has_slices = self.reading.sides.contains_key(&0);
        why.or_else(|| (!has_slices).then(|| "it has no slice: measure it again".to_owned()))
    }

    pub(super) fn without_subject(&self, why: &str) -> Row {
        let mut row = self.blank("cpu_per_op", None);
        invalidate(&mut row, vec![why.to_owned()]);
        row
    }

    /// Everything that slices have beside CPU time, latencies first.
    pub(super) fn further_metrics(&self) -> Vec<String> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for slice in self.reading.blocks.iter().flat_map(|it| &it.slices) {
            if slice.arm == crate::ArmOf::Side(0) {
                seen.extend(slice.figures.keys().map(String::as_str));
            }
        }
        let main = LATENCIES.iter().map(|it| it.0).chain(["throughput"]);
        let mut metrics: Vec<String> = main
            .filter(|it| seen.remove(*it))
            .filter(|it| self.is_supported(it) || self.targets(it).next().is_some())
            .map(str::to_owned)
            .collect();
        seen.remove("cpu_per_op");
        metrics.extend(seen.into_iter().map(str::to_owned));
        metrics
    }

    fn is_supported(&self, name: &str) -> bool {
        let quantile = LATENCIES.iter().find(|it| it.0 == name).and_then(|it| it.1);
        quantile.is_none_or(|q| self.latency().is_some_and(|it| it.supports(q)))
    }

    fn latency(&self) -> Option<&Histogram> {
        self.reading.sides.get(&0)?.latency.as_ref()
    }

    fn targets<'b>(&'b self, metric: &'b str) -> impl Iterator<Item = &'b Target> {
        let targets = self.measured.targets.iter();
        targets.filter(move |it| it.metric == metric)
    }

    /// The row of a metric against the side at `control`; a further one for each target beyond
    /// the first. `is_first` rows carry the targets.
    pub(super) fn rows(&self, metric: &str, control: Option<usize>, is_first: bool) -> Vec<Row> {
        let mut row = self.blank(metric, control);
        let earlier = self.earlier.filter(|_| is_first);
        row.rounds = rounds::of(self.reading, metric, control, earlier);
        row.not_compared = earlier.filter(|_| gates(metric)).and_then(|it| {
            let is_there = row.rounds.iter().any(|it| !it.earlier.is_empty());
            let why = self.measured.sides[it].missing.clone();
            let or_nothing = || "the earlier revision has no slice: measure again".to_owned();
            (!is_there).then(|| why.unwrap_or_else(or_nothing))
        });
        estimate::fill(&mut row, self.rules);
        self.fill_latency(&mut row, metric, control);
        if row.aa_s.is_none() {
            self.borrow_noise(&mut row, metric);
        }
        if metric != "cpu_per_op" {
            row.control.take_if(|it| it.value.is_none());
        }
        if metric == "cpu_per_op" {
            row.reasons.extend(self.unread(control));
            let notes = self.measured.notes.iter().filter(|_| is_first);
            row.reasons.extend(notes.cloned());
        }
        let missing = control.and_then(|it| self.measured.sides[it].missing.as_ref());
        row.reasons.extend(missing.cloned());
        let mut targets = self.targets(metric).filter(|_| is_first);
        let mut rows = vec![self.judged(&row, targets.next())];
        rows.extend(targets.map(|it| self.judged(&row, Some(it))));
        for row in &mut rows {
            invalidate(row, self.faults(control));
        }
        rows
    }

    /// Whose CPU time was not read, in sentences.
    fn unread(&self, control: Option<usize>) -> Vec<String> {
        let sides = [Some(0), control].into_iter().flatten();
        let totals = sides.filter_map(|it| Some((it, self.reading.sides.get(&it)?)));
        let told = totals.flat_map(|(side, total)| {
            let whose = &self.measured.sides[side].name;
            total.unread.iter().map(move |process| {
                format!(
                    "{whose}: the CPU time of `{process}` could not be read, so that its slices \
                     have no cost: measure where it runs"
                )
            })
        });
        told.collect()
    }

    fn judged(&self, row: &Row, target: Option<&Target>) -> Row {
        let mut row = row.clone();
        if let Some(target) = target {
            row.better = direction(target);
            row.target = Some(row_target(target));
        }
        estimate::judge(&mut row, self.rules);
        row
    }

    /// The noise of the run, from the first control against itself, for a row whose own control
    /// has no second arm.
    fn borrow_noise(&self, row: &mut Row, metric: &str) {
        let again = self.reading.blocks.iter().flat_map(|it| &it.slices);
        let again = again.filter_map(|it| match it.arm {
            crate::ArmOf::Again(side) => Some(side),
            crate::ArmOf::Side(_) => None,
        });
        let Some(side) = again.min() else {
            return;
        };
        let mut other = self.blank(metric, Some(side).filter(|it| *it > 0));
        other.rounds = rounds::of(self.reading, metric, Some(side).filter(|it| *it > 0), None);
        estimate::fill(&mut other, self.rules);
        row.aa_s = other.aa_s;
        row.aa_floor = other.aa_floor;
    }

    /// Overall latencies come from the merged histogram. The interval covers both that of the
    /// slices' figures and that of whole blocks drawn anew.
    fn fill_latency(&self, row: &mut Row, metric: &str, control: Option<usize>) {
        let Some(at) = LATENCIES.iter().position(|it| it.0 == metric) else {
            return;
        };
        let quantile = LATENCIES[at].1;
        let of = |side: Option<usize>| {
            let latency = self.reading.sides.get(&side?)?.latency.as_ref()?;
            let seen = quantile.map_or_else(|| latency.mean(), |q| latency.quantile(q));
            seen.map(|it| it.as_secs_f64() * 1e6)
        };
        if let Some(side) = &mut row.control {
            side.value = of(control);
        }
        if !self.is_supported(metric) {
            let n = self.latency().map_or(0, Histogram::len);
            row.reasons.push(format!(
                "{n} latencies are too few for this percentile, which needs {:.0}: lengthen the \
                 slices",
                100.0 / (1.0 - quantile.unwrap_or(0.0))
            ));
            (row.value, row.ci_low, row.ci_high) = (None, None, None);
            return;
        }
        row.value = of(Some(0));
        let merged = self.merged[at];
        row.ci_low = row.ci_low.zip(merged).map(|(it, of)| it.min(of.low / 1e3));
        row.ci_high = row
            .ci_high
            .zip(merged)
            .map(|(it, of)| it.max(of.high / 1e3));
    }

    /// A row with what does not depend on the blocks.
    pub(super) fn blank(&self, metric: &str, control: Option<usize>) -> Row {
        let measured = self.measured;
        let total = |side: usize| self.reading.sides.get(&side);
        let subject = total(0);
        let is_main = metric == "cpu_per_op";
        let encoded = |it: Option<&SideTotal>| {
            let latency = it.and_then(|it| it.latency.as_ref());
            latency.filter(|_| is_main).map(Histogram::encode)
        };
        Row {
            component: measured.name.component.clone(),
            case: measured.name.case.clone(),
            variant: measured.name.variant.clone(),
            about: measured.about.clone(),
            metric: metric.to_owned(),
            unit: metric::unit(metric).to_owned(),
            better: metric::better(metric),
            role: RowRole::Info,
            value: None,
            ci_low: None,
            ci_high: None,
            confidence: self.rules.confidence,
            control: control.map(|it| self.control(it)),
            ratio: None,
            ratio_ci_low: None,
            ratio_ci_high: None,
            aa_s: None,
            aa_floor: None,
            mde: None,
            baseline: None,
            not_compared: None,
            target: None,
            verdict: Verdict::Measured,
            reasons: Vec::new(),
            counts: subject.map_or_else(Counts::default, |it| it.counts.clone()),
            cpu: subject.map_or_else(Default::default, |it| it.cpu.clone()),
            control_cpu: control
                .and_then(total)
                .map_or_else(Default::default, |it| it.cpu.clone()),
            summary: subject
                .filter(|_| is_main || metric.starts_with("latency_"))
                .and_then(SideTotal::summary),
            histogram: encoded(subject),
            control_histogram: encoded(control.and_then(total)),
            figures: subject
                .filter(|_| is_main)
                .map_or_else(Default::default, |it| it.figures.clone()),
            settings: measured.settings.clone(),
            rounds: Vec::new(),
        }
    }

    fn control(&self, side: usize) -> Control {
        let info = &self.measured.sides[side];
        Control {
            name: info.name.clone(),
            version: info.version.clone(),
            role: info.role,
            value: None,
            // A case has one value of settings, from which all its sides are set up.
            settings_equal: true,
        }
    }

    /// What of the subject, the row's control and the earlier revision must not be read.
    pub(super) fn faults(&self, control: Option<usize>) -> Vec<String> {
        let mut faults = self.reading.faults.clone();
        faults.dedup();
        let sides = [Some(0), control, self.earlier];
        for side in sides.into_iter().flatten().collect::<BTreeSet<usize>>() {
            if let Some(total) = self.reading.sides.get(&side) {
                faults.extend(total.faults(&self.measured.sides[side].name));
            }
        }
        faults
    }

    /// Rows for targets whose metric nothing measured: they are not passed by being absent.
    pub(super) fn unmeasured_targets(&self, rows: &[Row], control: Option<usize>) -> Vec<Row> {
        let targets = self.measured.targets.iter();
        targets
            .filter(|target| !rows.iter().any(|it| it.metric == target.metric))
            .map(|target| {
                let mut row = self.blank(&target.metric, control);
                row.rounds.clear();
                row.better = direction(target);
                row.role = role_of(Some(target.is_critical));
                let why = format!("`{}` was not measured in this run", target.metric);
                let no_control = target.of == TargetOf::Ratio && control.is_none();
                let (verdict, word) = if no_control {
                    (TargetVerdict::NoControl, Verdict::NoControl)
                } else {
                    (TargetVerdict::Undecided, Verdict::Inconclusive)
                };
                row.target = Some(RowTarget {
                    verdict,
                    ..row_target(target)
                });
                row.verdict = word;
                row.reasons.push(why);
                row
            })
            .collect()
    }
}

fn direction(target: &Target) -> Better {
    if target.at_least {
        Better::Higher
    } else {
        Better::Lower
    }
}

pub(super) fn row_target(target: &Target) -> RowTarget {
    RowTarget {
        op: if target.at_least { ">=" } else { "<=" }.to_owned(),
        value: target.bound,
        critical_value: target.critical_bound,
        of: target.of,
        critical: target.is_critical,
        finest: 0.0,
        verdict: TargetVerdict::Undecided,
    }
}
