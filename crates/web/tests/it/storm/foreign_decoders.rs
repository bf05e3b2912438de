//! What the middleware sends is what its handler gave, to decoders that others have written.
//!
//! A program that is not there is left out of a small run, which says so, and fails a full one. The decoders that
//! actix-web itself brings are always there.

mod chromium;
mod curl;
mod own;
mod python;
mod site;

use std::process::{Command, Output};

use ruleiq_compression::Coding;

use self::site::{Item, Site};
use crate::soak::{is_full, report_none};

/// What a client has found.
struct Checked {
    /// What it can decode, and was offered.
    codings: Vec<Coding>,
    /// The bodies that were not those of the handler, each with what was wrong.
    bad: Vec<String>,
}

/// A program that is not there, and the package of Debian that has it.
struct Missing {
    what: &'static str,
    package: &'static str,
}

type Client = fn(&Site) -> Result<Checked, Missing>;

#[test]
fn every_body_is_what_its_handler_gave() {
    let clients: [(&str, Client); 4] = [
        ("actix", own::check),
        ("curl", curl::check),
        ("python", python::check),
        ("chromium", chromium::check),
    ];
    let site = Site::start();
    let bad: usize = clients
        .map(|(name, client)| check(&site, name, client))
        .iter()
        .sum();
    report_none("foreign_decoders", bad, "bodies");
}

/// Answers how many bodies were bad.
#[allow(clippy::print_stdout, reason = "it says what was looked at")]
fn check(site: &Site, name: &str, client: Client) -> usize {
    let before = Coding::ALL.map(|it| site.sent(it));
    let checked = match client(site) {
        Ok(checked) => checked,
        Err(Missing { what, package }) if is_full() => {
            panic!("{what} is not there: `apt-get install {package}`")
        }
        Err(Missing { what, package }) => {
            println!("left out: {what} is not there: `apt-get install {package}`");
            return 0;
        }
    };
    for (coding, before) in Coding::ALL.into_iter().zip(before) {
        // Otherwise it would have compared bodies that were not encoded.
        let is_offered = |it: &&Item| it.coding == coding && checked.codings.contains(&coding);
        let expect = site.items.iter().filter(is_offered);
        let expect = expect.filter(|it| it.is_encoded()).count() as u64;
        let sent = site.sent(coding) - before;
        assert_eq!(sent, expect, "{name}: bodies that were sent as {coding}");
        println!("{name}: {sent} bodies as {coding}");
    }
    for bad in &checked.bad {
        println!("{name}: {bad}");
    }
    checked.bad.len()
}

/// The first of these programs that is there, with what it answers.
fn find(programs: &[&'static str], arguments: &[&str]) -> Option<(&'static str, String)> {
    programs.iter().find_map(|program| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some((*program, answer))
    })
}

/// What a client has printed: bad bodies, one a line, and in the last one how many it has looked at.
#[track_caller]
fn read_verdict(printed: &str, items: usize, said: &Output) -> Vec<String> {
    let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap_or_default();
    assert_eq!(
        last,
        format!("{items} bodies"),
        "{}\n{}",
        printed,
        String::from_utf8_lossy(&said.stderr)
    );
    lines
}
