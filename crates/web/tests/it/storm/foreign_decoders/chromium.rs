//! Chromium, which offers brotli and zstd where a page is secure, as one of the machine itself is.

use std::{fs, path::Path, process::Command};

use ruleiq_compression::Coding;

use super::{Checked, Missing, Site, find, read_verdict};

const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

pub(super) fn check(site: &Site) -> Result<Checked, Missing> {
    let found = find(&PROGRAMS, &["--version"]);
    let (program, _) = found.ok_or(Missing {
        what: "Chromium",
        package: "chromium",
    })?;
    // Nothing of an earlier run, and nothing of the user's.
    let name = format!("chromium-{}", std::process::id());
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args([
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--disable-sync", "--no-proxy-server", "--timeout=240000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("--dump-dom")
        .arg(format!("http://{}/page", site.address))
        .output()
        .unwrap();
    drop(fs::remove_dir_all(&profile));

    let dom = String::from_utf8_lossy(&output.stdout);
    let verdict = dom
        .split_once("<pre>")
        .and_then(|(_, it)| it.split_once("</pre>"));
    let printed = verdict.map_or(&*dom, |(it, _)| it);
    let bad = read_verdict(printed, site.items.len(), &output);
    let codings = Coding::ALL.to_vec();
    Ok(Checked { codings, bad })
}
