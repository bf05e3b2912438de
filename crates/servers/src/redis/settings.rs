//! The files of settings, one kind for servers and one for sentinels.

use std::{fmt::Write as _, path::Path};

use crate::{DataDir, RedisSpec};

/// The name by which sentinels know their primary.
pub(crate) const MASTER_NAME: &str = "ruleiq";

/// The settings of a server. Those of its part, `more`, stand before those of the spec, which win.
pub(super) fn server(
    spec: &RedisSpec,
    data: &Path,
    port: u16,
    password: &str,
    more: &str,
) -> String {
    let keeps = spec.durable || matches!(spec.data, DataDir::Kept(_));
    let mut text = listener(data, port, password);
    text.push_str("save \"\"\n");
    text.push_str(match (keeps, spec.durable) {
        (false, _) => "appendonly no\n",
        (true, false) => "appendonly yes\nappendfsync everysec\n",
        (true, true) => "appendonly yes\nappendfsync always\n",
    });
    // Every primary may become a replica one day, and the other way round.
    text.push_str(&format!(
        "masterauth {password}\nrepl-diskless-sync-delay 0\n"
    ));
    text.push_str(more);
    for (name, value) in &spec.settings {
        // Writing to a string cannot fail.
        writeln!(text, "{name} {value}").ok();
    }
    text
}

/// The settings that make a server a replica.
pub(super) fn replica(primary: u16) -> String {
    format!("replicaof 127.0.0.1 {primary}\n")
}

/// The settings that make a server a node of a cluster. By default it would listen to other nodes
/// on a port higher by 10,000, which may be taken.
pub(super) fn cluster_node(bus_port: u16) -> String {
    format!(
        "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 1500\n\
         cluster-port {bus_port}\ncluster-announce-ip 127.0.0.1\n\
         cluster-require-full-coverage no\ncluster-allow-reads-when-down no\n"
    )
}

/// The settings of a sentinel. It rewrites them.
pub(super) fn sentinel(data: &Path, port: u16, password: &str, primary: u16) -> String {
    let mut text = listener(data, port, password);
    text.push_str(&format!(
        "sentinel resolve-hostnames no\n\
         sentinel sentinel-pass {password}\n\
         sentinel monitor {MASTER_NAME} 127.0.0.1 {primary} 2\n\
         sentinel auth-pass {MASTER_NAME} {password}\n\
         sentinel down-after-milliseconds {MASTER_NAME} 1000\n\
         sentinel failover-timeout {MASTER_NAME} 3000\n"
    ));
    text
}

fn listener(data: &Path, port: u16, password: &str) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndaemonize no\ndir {}\n",
        quoted(data)
    )
}

fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_spec() {
        let text = |spec: &RedisSpec| server(spec, Path::new("/a b/\"c\""), 15001, "secret", "");
        let temporary = text(&RedisSpec::default());
        assert!(temporary.contains("dir \"/a b/\\\"c\\\"\"\n"));
        assert!(temporary.contains("requirepass secret\n"));
        assert!(temporary.contains("appendonly no\n"));
        assert!(text(&RedisSpec::kept("/data")).contains("appendfsync everysec\n"));
        assert!(text(&RedisSpec::default().durable()).contains("appendfsync always\n"));
    }

    #[test]
    fn the_settings_of_the_spec_stand_last_and_win() {
        let spec = RedisSpec {
            settings: vec![("replicaof".to_owned(), "no one".to_owned())],
            ..RedisSpec::default()
        };
        let text = server(&spec, Path::new("/data"), 15001, "secret", &replica(15000));
        assert!(text.ends_with("replicaof 127.0.0.1 15000\nreplicaof no one\n"));
    }

    #[test]
    fn a_sentinel_knows_all_passwords() {
        let text = sentinel(Path::new("/data"), 15003, "secret", 15001);
        for line in [
            "requirepass secret\n",
            "sentinel sentinel-pass secret\n",
            "sentinel auth-pass ruleiq secret\n",
            "sentinel monitor ruleiq 127.0.0.1 15001 2\n",
        ] {
            assert!(text.contains(line), "{line}");
        }
        assert!(!text.contains("appendonly"));
    }
}
