//! Python, with the modules for brotli and zstd that most of its programs use.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use ruleiq_compression::Coding;

use super::{Checked, Missing, Site, find, read_verdict};
use crate::soak::is_full;

/// One that was installed beside the system's may lack the modules.
const PROGRAMS: [&str; 2] = ["python3", "/usr/bin/python3"];
const ALL: &str = "import brotli, gzip, zstandard";

pub(super) fn check(site: &Site) -> Result<Checked, Missing> {
    let all = find(&PROGRAMS, &["-c", ALL]).map(|(program, _)| (program, Coding::ALL.to_vec()));
    // Every Python has gzip.
    let gzip = || find(&PROGRAMS, &["-c", "import gzip"]).map(|(it, _)| (it, vec![Coding::Gzip]));
    let found = all.or_else(|| if is_full() { None } else { gzip() });
    let (program, codings) = found.ok_or(Missing {
        what: "a Python with its modules brotli and zstandard",
        package: "python3-brotli python3-zstandard",
    })?;

    let items = site.items.iter().filter(|it| codings.contains(&it.coding));
    let lines: Vec<String> = items
        .map(|it| format!("{} {}\n", it.coding, it.path()))
        .collect();
    let mut child = Command::new(program)
        .args(["-c", include_str!("python.py"), &site.address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It reads all of it before it answers.
    stdin.write_all(lines.concat().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let bad = read_verdict(&printed, lines.len(), &output);
    Ok(Checked { codings, bad })
}
