//! Reports as a page.

use std::path::Path;

use ruleiq_bench::report::{Report, file, html::page};
use serde_json::Value;

use crate::sample;

/// Start tags of a page, without its text and its embedded data.
fn tags(page: &str) -> Vec<String> {
    let (markup, _) = page.split_once("<script").unwrap();
    let mut tags = Vec::new();
    for part in markup.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a tag ends");
        tags.push(tag.to_owned());
    }
    tags
}

fn embedded(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"report\">").unwrap();
    rest.split_once("</script>").unwrap().0
}

#[test]
fn nothing_is_loaded() {
    let page = page(&sample::rich());
    for tag in tags(&page) {
        for loads in [
            "http:", "https:", " src", " href", "url(", "srcset", " on", "@import",
        ] {
            assert!(!tag.contains(loads), "`{loads}` in <{tag}>");
        }
    }
    let (style, _) = page.split_once("</style>").unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script type=\"application/json\" id=\"report\">"));
}

#[test]
fn what_is_embedded_is_the_report() {
    let report = sample::rich();
    let read: Report = serde_json::from_str(embedded(&page(&report))).unwrap();
    assert!(read == report);
}

/// Every text of a report, replaced by one that would be markup.
fn poisoned(value: &mut Value, path: &str) {
    const POISON: &str = "</script><img src=x onerror=alert(1)>\"'&";
    let kept = [
        "schema",
        "id",
        "started",
        "kind",
        "better",
        "role",
        "verdict",
        "mode",
        "of",
        "op",
        "histogram",
        "control_histogram",
        "histogram_service",
    ];
    match value {
        Value::String(text) if !kept.contains(&path) => POISON.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|it| poisoned(it, path)),
        Value::Object(fields) => {
            let is_map = ["variant", "cpu", "errors", "cgroup", "rows", "figures"].contains(&path);
            if is_map && let Some((_, first)) = fields.iter().next() {
                let first = first.clone();
                fields.insert(POISON.to_owned(), first);
            }
            for (name, value) in fields.iter_mut() {
                poisoned(value, name);
            }
        }
        _ => {}
    }
}

#[test]
fn no_text_of_a_report_becomes_markup() {
    let mut value = serde_json::to_value(sample::rich()).unwrap();
    poisoned(&mut value, "");
    let report: Report = serde_json::from_value(value).unwrap();
    let page = page(&report);
    assert!(page.contains("&lt;img"), "the poison is nowhere");
    assert!(!page.contains("<img"));
    assert_eq!(page.matches("</script>").count(), 1);
    for tag in tags(&page) {
        assert!(!tag.contains("onerror"), "<{tag}>");
    }
}

#[test]
fn every_picture_has_a_title_and_elements_are_closed() {
    for report in [sample::minimal(), sample::rich()] {
        let page = page(&report);
        for part in page.split("<svg").skip(1) {
            let hidden = part.split('>').next().unwrap().contains("aria-hidden");
            assert!(hidden || part.split_once('>').unwrap().1.starts_with("<title>"));
        }
        let tags = tags(&page);
        for name in [
            "svg", "table", "tr", "td", "section", "details", "figure", "ul", "div",
        ] {
            let opened = tags
                .iter()
                .filter(|it| it.split([' ', '/']).next() == Some(name));
            let closed = tags.iter().filter(|it| **it == format!("/{name}"));
            assert_eq!(opened.count(), closed.count(), "<{name}>");
        }
    }
}

/// The same page from a stored report as from the run itself.
#[test]
fn a_stored_report_is_rendered_alike() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (path, html) = (folder.join("sample.json"), folder.join("sample.html"));
    let report = sample::rich();
    file::write(&path, &report).unwrap();
    let again = page(&file::read(&path).unwrap());
    file::write_text(&html, &again).unwrap();
    assert!(again == page(&report));
}
