//! Tables of a page.

use crate::report::{Verdict, svg::escape, wording::Tone};

/// A table being written. Columns whose head begins with `>` hold figures.
pub(super) struct Table {
    out: String,
    are_figures: Vec<bool>,
}

impl Table {
    pub(super) fn new(class: &str, caption: &str, heads: &[&str]) -> Table {
        let caption = match caption.is_empty() {
            true => String::new(),
            false => format!("<caption>{}</caption>", escape(caption)),
        };
        let names: Vec<String> = heads
            .iter()
            .map(|it| escape(it.trim_start_matches('>')))
            .collect();
        let are_figures: Vec<bool> = heads.iter().map(|it| it.starts_with('>')).collect();
        let cells: Vec<String> = names
            .iter()
            .zip(&are_figures)
            .map(|(name, is_figure)| format!("<th scope=\"col\"{}>{name}</th>", figure(*is_figure)))
            .collect();
        Table {
            out: format!(
                "<div class=\"wide\"><table class=\"{class}\">{caption}<thead><tr>{}</tr></thead><tbody>\n",
                cells.concat()
            ),
            are_figures,
        }
    }

    /// A row of cells that are markup; the first one names it.
    pub(super) fn row(&mut self, cells: &[String]) {
        self.out.push_str("<tr>");
        for (at, cell) in cells.iter().enumerate() {
            let is_figure = self.are_figures.get(at).copied().unwrap_or(false);
            let class = figure(is_figure);
            let cell = match at {
                0 => format!("<th scope=\"row\"{class}>{cell}</th>"),
                _ => format!("<td{class}>{cell}</td>"),
            };
            self.out.push_str(&cell);
        }
        self.out.push_str("</tr>\n");
    }

    pub(super) fn end(self) -> String {
        self.out + "</tbody></table></div>\n"
    }
}

fn figure(is_figure: bool) -> &'static str {
    if is_figure { " class=\"n\"" } else { "" }
}

/// Two columns: names and what they stand for.
pub(super) fn pairs(caption: &str, pairs: &[(String, String)]) -> String {
    let mut table = Table::new("pairs", caption, &["", ""]);
    for (name, value) in pairs {
        table.row(&[escape(name), escape(value)]);
    }
    let text = table.end();
    // Heads of nothing would be read aloud.
    let head = "<thead><tr><th scope=\"col\"></th><th scope=\"col\"></th></tr></thead>";
    text.replacen(head, "", 1)
}

pub(super) fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Unsure => "unsure",
        Tone::Plain => "plain",
    }
}

/// A verdict with its sign.
pub(super) fn badge(verdict: Verdict, words: &str) -> String {
    let class = class(verdict.tone());
    format!("<span class=\"badge {class}\">{}</span>", escape(words))
}

/// A case's name, which may break where a reader expects it.
pub(super) fn breakable(name: &str) -> String {
    escape(name).replace('/', "/<wbr>").replace('_', "_<wbr>")
}
