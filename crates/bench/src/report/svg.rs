//! Pictures as inline SVG: small pure functions from figures to text. Colours, fonts and widths of
//! lines come from the page's style sheet, by class.

mod axis;
mod bars;
mod forest;
mod lines;
mod strip;

pub(super) use self::{
    axis::Axis,
    bars::stacked,
    forest::{Forest, ratio_axis},
    lines::{Chart, Label, Line},
    strip::strip,
};

/// `text` where markup is expected, within quotes or without.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            it if it.is_control() && it != '\n' => out.push('\u{fffd}'),
            it => out.push(it),
        }
    }
    out
}

/// A coordinate, in tenths.
fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(
            escape("<a href=\"x\">'&\u{1b}"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\u{fffd}"
        );
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([at(3.0), at(3.12), at(-0.5)], ["3", "3.1", "-0.5"]);
    }
}
