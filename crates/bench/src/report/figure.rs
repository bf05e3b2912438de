//! Figures as people read them: no more digits than their interval carries.

use std::fmt;

/// A figure in a unit that suits it, with half the width of its interval.
pub(super) struct Figure {
    pub(super) value: String,
    /// Absent where the figure is exact.
    pub(super) half: Option<String>,
    pub(super) unit: String,
}

impl Figure {
    /// `value` in `unit`, as the report names it; `interval` is in the same unit.
    pub(super) fn new(unit: &str, value: f64, interval: Option<(f64, f64)>) -> Figure {
        let (factor, unit) = scaled(unit, value);
        let half = interval.map(|(low, high)| (high - low) / 2.0 * factor);
        let half = half.filter(|it| *it > 0.0);
        let value = value * factor;
        let decimals = half.map_or_else(|| exact_decimals(value), decimals_of);
        Figure {
            value: fixed(value, decimals),
            half: half.map(|it| fixed(it, decimals)),
            unit,
        }
    }

    /// In the unit, without an interval.
    pub(super) fn plain(unit: &str, value: f64) -> String {
        Figure::new(unit, value, None).to_string()
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.value)?;
        if let Some(half) = &self.half {
            write!(out, " ± {half}")?;
        }
        match self.unit.is_empty() {
            true => Ok(()),
            false => write!(out, " {}", self.unit),
        }
    }
}

/// What to multiply by, and the unit's sign then.
fn scaled(unit: &str, value: f64) -> (f64, String) {
    let size = value.abs();
    let steps: &[(f64, f64, &str)] = match unit {
        "us" => &[
            (0.9995, 1e3, "ns"),
            (999.5, 1.0, "µs"),
            (999_500.0, 1e-3, "ms"),
            (f64::INFINITY, 1e-6, "s"),
        ],
        "bytes" => &[
            (9_999.5, 1.0, "B"),
            (999_500.0, 1e-3, "kB"),
            (999.5e6, 1e-6, "MB"),
            (f64::INFINITY, 1e-9, "GB"),
        ],
        "ops/s" => &[(f64::INFINITY, 1.0, "/s")],
        "share" => &[(f64::INFINITY, 100.0, "%")],
        "count" => &[(f64::INFINITY, 1.0, "")],
        other => return (1.0, other.to_owned()),
    };
    let fits = steps.iter().find(|it| size < it.0).or(steps.last());
    fits.map_or((1.0, String::new()), |it| (it.1, it.2.to_owned()))
}

/// Two digits of an interval that begins with 1, one of any other.
fn decimals_of(half: f64) -> usize {
    let magnitude = half.log10().floor();
    let leading = half / 10_f64.powf(magnitude);
    let digits = if leading < 1.95 { 1.0 } else { 0.0 };
    places(digits - magnitude)
}

/// Three digits, or all of a whole number.
fn exact_decimals(value: f64) -> usize {
    if value.fract() == 0.0 {
        return 0;
    }
    places(2.0 - value.abs().log10().floor())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 to 6"
)]
fn places(wanted: f64) -> usize {
    wanted.clamp(0.0, 6.0) as usize
}

/// With so many digits after the point, and commas between thousands.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    format!("{sign}{}{rest}", grouped(digits))
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// With commas between thousands.
pub(super) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// A ratio and its interval, with the same digits.
pub(super) fn ratio(value: f64, interval: Option<(f64, f64)>) -> (String, Option<String>) {
    let half = interval.map_or(0.0, |(low, high)| (high - low) / 2.0);
    let decimals = if half > 0.0 { decimals_of(half) } else { 3 };
    let decimals = decimals.clamp(2, 4);
    let between = interval
        .filter(|(low, high)| high > low)
        .map(|(low, high)| format!("[{}, {}]", fixed(low, decimals), fixed(high, decimals)));
    (fixed(value, decimals), between)
}

/// A bound, with the digits it was written with.
pub(super) fn bound(value: f64) -> String {
    let text = format!("{value}");
    match text.split_once('.') {
        Some((whole, rest)) => format!("{}.{rest}", grouped(whole)),
        None => grouped(&text),
    }
}

/// `2.7 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = usize::from(percent.abs() < 9.95);
    format!("{} %", fixed(percent, decimals))
}

/// `30 min 43 s`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round();
    let (hours, minutes) = ((seconds / 3_600.0).floor(), (seconds / 60.0).floor() % 60.0);
    let rest = seconds % 60.0;
    match (hours > 0.0, minutes > 0.0) {
        (true, _) => format!("{hours} h {minutes} min"),
        (false, true) => format!("{minutes} min {rest} s"),
        (false, false) => format!("{rest} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_cut_to_the_interval() {
        let check = |unit: &str, value: f64, half: f64, expect: &str| {
            let figure = Figure::new(unit, value, Some((value - half, value + half)));
            assert_eq!(figure.to_string(), expect);
        };
        check("us", 25.9432, 0.5312, "25.9 ± 0.5 µs");
        check("us", 25.9432, 0.1312, "25.94 ± 0.13 µs");
        check("us", 0.084, 0.002, "84 ± 2 ns");
        check("us", 18_200.0, 740.0, "18.2 ± 0.7 ms");
        check("us", 2_400_000.0, 100.0, "2.40000 ± 0.00010 s");
        check("ops/s", 12_345.6, 410.0, "12,346 ± 410 /s");
        check("bytes", 1_813.0, 0.0, "1,813 B");
        check("count", 3.0, 0.0, "3");
        check("share", 0.613, 0.02, "61 ± 2 %");
        check("furlongs", 1.25, 0.0, "1.25 furlongs");
    }

    #[test]
    fn ratios_have_the_digits_of_their_interval() {
        let check = |value, low, high, expect: &str| {
            let (value, between) = ratio(value, Some((low, high)));
            assert_eq!(format!("{value} {}", between.unwrap_or_default()), expect);
        };
        check(1.03612, 1.0177, 1.0549, "1.036 [1.018, 1.055]");
        check(3.1, 2.98, 3.23, "3.10 [2.98, 3.23]");
        check(1.0, 1.0, 1.0, "1.000 ");
    }

    #[test]
    fn times_and_counts_are_short() {
        let times = [0.44, 43.2, 1_843.2, 7_322.0].map(duration);
        assert_eq!(times, ["0.4 s", "43 s", "30 min 43 s", "2 h 2 min"]);
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(fixed(-1_234.5, 1), "-1,234.5");
        assert_eq!([percent(0.027), percent(0.31)], ["2.7 %", "31 %"]);
        assert_eq!([bound(0.6), bound(5_000.0)], ["0.6", "5,000"]);
    }
}
