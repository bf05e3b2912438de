//! curl, which has the decoders that it was built with.

use std::process::Command;

use ruleiq_compression::Coding;

use super::{Checked, Missing, Site, find};

const PACKAGE: &str = "curl";

pub(super) fn check(site: &Site) -> Result<Checked, Missing> {
    let found = find(&["curl"], &["--version"]);
    let (program, version) = found.ok_or(Missing {
        what: "curl",
        package: PACKAGE,
    })?;
    let has = |feature: &str| version.split_whitespace().any(|it| it == feature);
    let codings = Coding::ALL.into_iter().filter(|coding| match coding {
        Coding::Brotli => has("brotli"),
        Coding::Zstd => has("zstd"),
        Coding::Gzip => has("libz"),
    });
    let codings: Vec<Coding> = codings.collect();
    let mut bad = Vec::new();
    for item in site.items.iter().filter(|it| codings.contains(&it.coding)) {
        let output = Command::new(program)
            .args(["--silent", "--show-error", "--fail", "--compressed"])
            .args(["--noproxy", "*", "--max-time", "60"])
            .arg("--header")
            .arg(format!("Accept-Encoding: {}", item.coding))
            .arg(format!("http://{}{}", site.address, item.path()))
            .output()
            .unwrap();
        if !output.status.success() || output.stdout != item.body.bytes {
            let said = String::from_utf8_lossy(&output.stderr);
            bad.push(format!(
                "{} as {}: {} bytes; {said}",
                item.path(),
                item.coding,
                output.stdout.len(),
            ));
        }
    }
    Ok(Checked { codings, bad })
}
