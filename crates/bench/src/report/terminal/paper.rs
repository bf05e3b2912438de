//! Lines and tables within a width.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Table,
    TableStyle, Width,
};

use super::Style;
use crate::report::wording::Tone;

/// Where text wraps at the narrowest.
const NARROWEST: u16 = 24;
/// The width of the names of fields.
const NAMES: usize = 10;
/// Of a column of words: `~ undecided,` is not broken.
const LEAST: u16 = 14;
/// From here on, the figures of every table fit beside each other.
const ROOMY: u16 = 96;
/// The head of a column of intervals.
pub(super) const INTERVAL: &str = "99 %";
/// A line below the heads of columns, and nothing else.
const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A cell of a table.
pub(super) struct Part {
    text: String,
    tone: Tone,
}

impl Part {
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Part {
        Part {
            text: text.into(),
            tone,
        }
    }
}

impl Part {
    fn width(&self) -> u16 {
        u16::try_from(self.text.chars().count()).unwrap_or(u16::MAX)
    }
}

impl<T: Into<String>> From<T> for Part {
    fn from(text: T) -> Part {
        Part::toned(text, Tone::Plain)
    }
}

/// Text being set.
pub(super) struct Paper {
    style: Style,
    out: String,
}

impl Paper {
    pub(super) fn new(style: Style) -> Paper {
        let width = style.width.max(NARROWEST);
        Paper {
            style: Style { width, ..style },
            out: String::new(),
        }
    }

    pub(super) fn into_text(self) -> String {
        self.out
    }

    pub(super) fn width(&self) -> u16 {
        self.style.width
    }

    pub(super) fn title(&mut self, text: &str) {
        let lines = wrapped(&clean(text), self.width().into(), "");
        self.painted(&lines, "1");
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.out.push('\n');
        self.title(text);
    }

    /// `name` and `text`, which wraps beside it.
    pub(super) fn field(&mut self, name: &str, text: &str) {
        let head = format!("{name:<NAMES$}");
        let lines = wrapped(&clean(text), self.width().into(), &" ".repeat(NAMES));
        self.out.push_str(&head);
        self.out.push_str(lines.trim_start());
        self.out.push('\n');
    }

    pub(super) fn note(&mut self, text: &str) {
        self.item("!", text, Tone::Unsure);
    }

    pub(super) fn line(&mut self, text: &str) {
        let lines = wrapped(&clean(text), self.width().into(), "");
        self.painted(&lines, "");
    }

    /// A line behind a sign, in the colour of `tone`.
    pub(super) fn item(&mut self, sign: &str, text: &str, tone: Tone) {
        let indent = " ".repeat(sign.chars().count() + 1);
        let lines = wrapped(&clean(text), self.width().into(), &indent);
        let lines = format!("{sign} {}", lines.trim_start());
        self.painted(&lines, ansi(tone));
    }

    /// A table: columns whose head begins with `>` stand at the right. Where it has no room, each
    /// row is a paragraph.
    pub(super) fn table(&mut self, heads: &[&str], rows: Vec<Vec<Part>>) {
        if self.width() < ROOMY && natural_width(heads, &rows) > self.width().into() {
            return rows.iter().for_each(|row| self.paragraph(heads, row));
        }
        let mut table = Table::new();
        table
            .load_style(RULED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.width());
        match self.style.color {
            true => table.enforce_styling(),
            false => table.force_no_tty(),
        };
        table.style_text_only();
        let longest = rows.iter().filter_map(|it| it.first());
        let longest = longest.map(Part::width).max();
        let head =
            |text: &&str| Cell::new(text.trim_start_matches('>')).add_attribute(Attribute::Bold);
        table.set_header(heads.iter().map(head));
        for row in rows {
            table.add_row(row.iter().map(cell));
        }
        for (at, text) in heads.iter().enumerate() {
            let Some(column) = table.column_mut(at) else {
                continue;
            };
            column.set_padding((0, 2));
            // A figure that is broken is misread, a name that is broken cannot be searched for.
            let constraint = match at {
                0 => ColumnConstraint::LowerBoundary(Width::Fixed(self.names_width(longest))),
                _ if text.starts_with('>') || *text == INTERVAL => ColumnConstraint::ContentWidth,
                _ => ColumnConstraint::LowerBoundary(Width::Fixed(LEAST)),
            };
            column.set_constraint(constraint);
            if text.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            self.out.push_str(line.trim_end());
            self.out.push('\n');
        }
    }

    /// The row's name, and its figures below.
    fn paragraph(&mut self, heads: &[&str], row: &[Part]) {
        let mut cells = heads.iter().zip(row);
        if let Some((_, name)) = cells.next() {
            self.line(&name.text);
        }
        let named = cells
            .filter(|(_, part)| !part.text.is_empty())
            .map(|(head, part)| {
                // A figure stays with its name and its unit.
                let head = head.trim_start_matches('>');
                clean(&format!("{head} {}", part.text)).replace(' ', "\u{a0}")
            });
        let text = named.collect::<Vec<_>>().join("  ");
        let lines = wrapped(&format!("  {text}"), self.width().into(), "  ");
        self.painted(&lines.replace('\u{a0}', " "), "");
    }

    /// Of the first column: its longest name with its padding, within three tenths of the width.
    fn names_width(&self, longest: Option<u16>) -> u16 {
        let longest = longest.unwrap_or_default().saturating_add(2);
        longest.min(self.width() * 3 / 10).clamp(8, 30)
    }

    fn painted(&mut self, lines: &str, code: &str) {
        if self.style.color && !code.is_empty() {
            self.out.push_str(&format!("\x1b[{code}m{lines}\x1b[0m"));
        } else {
            self.out.push_str(lines);
        }
        self.out.push('\n');
    }
}

/// The width of a table of which nothing wraps.
fn natural_width(heads: &[&str], rows: &[Vec<Part>]) -> usize {
    let column = |(at, head): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let widest = cells.map(|it| usize::from(it.width())).max();
        widest.unwrap_or_default().max(head.chars().count()) + 2
    };
    heads.iter().enumerate().map(column).sum()
}

fn cell(part: &Part) -> Cell {
    let cell = Cell::new(clean(&part.text));
    match part.tone {
        Tone::Good => cell.fg(Color::Green),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Unsure => cell.fg(Color::Yellow),
        Tone::Plain => cell,
    }
}

fn ansi(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "32",
        Tone::Bad => "31",
        Tone::Unsure => "33",
        Tone::Plain => "",
    }
}

/// A stored report may have come from anywhere, and a terminal obeys control characters.
fn clean(text: &str) -> String {
    let plain = |it: char| if it.is_control() { '\u{fffd}' } else { it };
    text.chars().map(plain).collect()
}

/// At spaces; a word that is wider than the width stands alone. All lines but the first are
/// indented.
fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    let mut used = indent.chars().count();
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if at > 0 && used + 1 + length > width {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(indent);
            used = indent.chars().count();
        } else if at > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.truncate(out.trim_end().len());
    out
}
