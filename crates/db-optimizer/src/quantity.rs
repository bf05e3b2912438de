//! Quantities as people read them.

use std::fmt;

/// Bytes, in the largest unit of which there is at least one.
pub(crate) struct Bytes(pub(crate) f64);

/// A part of a whole, 0 to 1, in per cent.
pub(crate) struct Share(pub(crate) f64);

/// Seconds, in the largest unit of which there are at least two.
pub(crate) struct Seconds(pub(crate) f64);

/// A count, with a comma between each three digits.
pub(crate) struct Count(pub(crate) f64);

/// Milliseconds, with as many digits as matter.
pub(crate) struct Milliseconds(pub(crate) f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        let (mut value, mut unit) = (self.0, "bytes");
        for next in UNITS {
            if value.abs() < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, next);
        }
        match unit {
            "bytes" => write!(f, "{value:.0} {unit}"),
            _ => write!(f, "{value:.1} {unit}"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0 * 100.0)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(f64, &str); 3] = [(86_400.0, "days"), (3_600.0, "h"), (60.0, "min")];
        let unit = UNITS.iter().find(|(size, _)| self.0 >= 2.0 * size);
        match unit {
            Some((size, name)) => write!(f, "{:.0} {name}", self.0 / size),
            None => write!(f, "{:.0} s", self.0),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:.0}", self.0);
        for (at, digit) in digits.char_indices() {
            let left = digits.len() - at;
            if at > 0 && left % 3 == 0 && !digits[..at].ends_with('-') {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            it if it < 10.0 => write!(f, "{it:.2} ms"),
            it if it < 10_000.0 => write!(f, "{it:.0} ms"),
            it => write!(f, "{:.0} s", it / 1e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_the_unit_that_suits_them() {
        let check = |shown: String, expected: &str| assert_eq!(shown, expected);
        check(Bytes(0.0).to_string(), "0 bytes");
        check(Bytes(1023.0).to_string(), "1023 bytes");
        check(Bytes(1536.0).to_string(), "1.5 KiB");
        check(Bytes(5e15).to_string(), "4547.5 TiB");
        check(Share(0.955).to_string(), "95.5 %");
        check(Seconds(90.0).to_string(), "90 s");
        check(Seconds(120.0).to_string(), "2 min");
        check(Seconds(7_200.0).to_string(), "2 h");
        check(Seconds(200_000.0).to_string(), "2 days");
        check(Count(0.0).to_string(), "0");
        check(Count(999.0).to_string(), "999");
        check(Count(1_234_567.0).to_string(), "1,234,567");
        check(Count(-123_456.0).to_string(), "-123,456");
        check(Milliseconds(0.123).to_string(), "0.12 ms");
        check(Milliseconds(1_234.0).to_string(), "1234 ms");
        check(Milliseconds(12_340.0).to_string(), "12 s");
    }
}
