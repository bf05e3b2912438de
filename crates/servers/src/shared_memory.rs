//! The block of shared memory that a killed PostgreSQL leaves with the system.

use std::{fs, path::Path, process::Command, time::Duration};

use crate::run::run;

/// Frees what a killed server has left. The next start in the same folder would do it; for a folder
/// that goes there is none.
pub(crate) fn free_abandoned(data: &Path) {
    let pid_file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(pid_file) else {
        return;
    };
    let Ok(blocks) = fs::read_to_string("/proc/sysvipc/shm") else {
        return;
    };
    if let Some(id) = abandoned_block(&text, &blocks) {
        let limit = Duration::from_secs(20);
        // Without the program, 56 bytes stay until the machine is restarted.
        drop(run(
            Command::new("ipcrm").args(["-m", id]),
            "freeing shared memory",
            limit,
        ));
    }
}

/// The identifier of the server's block, if it is there under the server's key and nobody uses it.
fn abandoned_block<'a>(pid_file: &'a str, blocks: &str) -> Option<&'a str> {
    let mut own = pid_file.lines().nth(6)?.split_ascii_whitespace();
    let (key, id) = (own.next()?, own.next()?);
    let is_abandoned = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(7).collect();
        matches!(fields[..], [its_key, its_id, .., users] if its_key == key && its_id == id && users == "0")
    };
    blocks.lines().any(is_abandoned).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID_FILE: &str =
        "9255\n/data\n1795611485\n54329\n\n127.0.0.1\n 10010949         4\nready   \n";

    #[test]
    fn only_an_abandoned_block_of_the_same_key_is_freed() {
        let check = |line, expect| assert_eq!(abandoned_block(PID_FILE, line), expect, "{line}");
        check("10010949 4 600 56 9255 15681 0 101 104", Some("4"));
        check("10010949 4 600 56 9255 15681 6 101 104", None);
        check("10010949 5 600 56 9255 15681 0 101 104", None);
        check("77 4 600 56 9255 15681 0 101 104", None);
        check("", None);
    }
}
