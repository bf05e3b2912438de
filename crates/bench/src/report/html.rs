//! A report as one page that needs nothing else: no script, no network, no font. What a picture
//! shows stands in a table beside it. Everything that comes from the report is escaped.

mod cases;
mod cpu;
mod facts;
mod load;
mod summary;
mod table;
mod verdicts;

use super::{Report, svg::escape};

const CSS: &str = include_str!("html/page.css");

/// The page of a report.
pub fn page(report: &Report) -> String {
    let title = format!("Benchmarks, {}", report.started_words());
    let sections = [
        summary::section(report),
        summary::earlier(report),
        verdicts::section(report),
        summary::targets(report),
        cpu::section(report),
        load::percentiles(report),
        load::curves(report),
        load::growths(report),
        cases::section(report),
        facts::section(report),
        facts::instructions(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n<main>\n{}</main>\n\
         <script type=\"application/json\" id=\"report\">\n{}\n</script>\n</body>\n</html>\n",
        escape(&title),
        sections.concat(),
        embedded(report)
    )
}

/// JSON that cannot end the element it stands in, nor begin another.
fn embedded(report: &Report) -> String {
    let json = serde_json::to_string(report).unwrap_or_else(|_| "null".to_owned());
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// A section; nothing where `body` is empty.
fn titled(id: &str, title: &str, lead: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let lead = match lead.is_empty() {
        true => String::new(),
        false => format!("<p class=\"lead\">{}</p>\n", escape(lead)),
    };
    format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{lead}{body}\n</section>\n")
}
