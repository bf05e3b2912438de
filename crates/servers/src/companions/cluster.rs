//! Makes single nodes one Redis Cluster, as its specification describes:
//! <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

use std::io;

use super::wait;
use crate::{Error, redis::Connection, server::Server};

/// The slots of each master, first and last.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

/// A node that nobody has joined yet.
struct Node {
    connection: Connection,
    id: String,
    port: u16,
    bus_port: u16,
}

impl Node {
    fn find(server: &Server) -> io::Result<Node> {
        let mut connection = server.connect()?;
        let nodes = connection.ask("CLUSTER NODES")?;
        let (id, bus_port) = parse_self(&nodes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Node {
            id,
            port: server.port(),
            bus_port,
            connection,
        })
    }

    /// Whether the node knows all nodes as what they are, and its master if it has one.
    fn agrees(&mut self) -> io::Result<bool> {
        let info = self.connection.ask("CLUSTER INFO")?;
        let nodes = self.connection.ask("CLUSTER NODES")?;
        let replication = self.connection.ask("INFO replication")?;
        Ok(info.contains("cluster_state:ok")
            && is_whole(&nodes)
            && (replication.contains("role:master")
                || replication.contains("master_link_status:up")))
    }
}

/// Gives the slots to the first nodes and a replica to each of these, and waits until every node
/// says that this is so.
pub(super) fn join(servers: &[Server]) -> Result<(), Error> {
    let failed = |source| Error::Io {
        step: "join the nodes of the Redis Cluster".to_owned(),
        source,
    };
    let nodes: io::Result<Vec<Node>> = servers.iter().map(Node::find).collect();
    let mut nodes = nodes.map_err(failed)?;
    introduce(&mut nodes).map_err(failed)?;
    let (masters, replicas) = nodes.split_at_mut(SLOTS.len());
    for (master, replica) in masters.iter().zip(replicas.iter_mut()) {
        let command = format!("CLUSTER REPLICATE {}", master.id);
        // It is refused until the replica has heard of the master.
        wait("waiting for the nodes of the cluster to meet", || {
            replica.connection.ask(&command).is_ok()
        })?;
    }
    wait("waiting for the cluster to agree", || {
        nodes.iter_mut().all(|it| it.agrees().unwrap_or(false))
    })
}

/// Says which slots are whose and lets each pair of nodes meet: by hearsay alone, it would take
/// seconds.
fn introduce(nodes: &mut [Node]) -> io::Result<()> {
    for (node, epoch) in nodes.iter_mut().zip(1..) {
        // Masters with the same one would have to settle who is right.
        let command = format!("CLUSTER SET-CONFIG-EPOCH {epoch}");
        node.connection.ask(&command)?;
    }
    for (node, (first, last)) in nodes.iter_mut().zip(SLOTS) {
        let command = format!("CLUSTER ADDSLOTSRANGE {first} {last}");
        node.connection.ask(&command)?;
    }
    let mut rest = nodes;
    while let Some((node, others)) = rest.split_first_mut() {
        for Node { port, bus_port, .. } in &*others {
            let command = format!("CLUSTER MEET 127.0.0.1 {port} {bus_port}");
            node.connection.ask(&command)?;
        }
        rest = others;
    }
    Ok(())
}

/// The id and the port for other nodes, of the answer of a node that knows only itself:
/// `ID ADDRESS:PORT@BUSPORT[,HOSTNAME] myself,master …`.
fn parse_self(nodes: &str) -> Option<(String, u16)> {
    let (id, rest) = nodes.split_once(' ')?;
    let (address, _) = rest.split_once(' ')?;
    let (_, bus_port) = address.split(',').next()?.rsplit_once('@')?;
    Some((id.to_owned(), bus_port.parse().ok()?))
}

/// Whether there are as many masters as replicas, none of them doubtful, and every slot is
/// somebody's.
fn is_whole(nodes: &str) -> bool {
    let count = |role: &str| {
        let is_sound = |line: &&str| {
            let mut fields = line.split(' ');
            let flags = fields.nth(2).unwrap_or_default();
            flags.trim_start_matches("myself,") == role && fields.nth(4) == Some("connected")
        };
        nodes.lines().filter(is_sound).count()
    };
    count("master") == SLOTS.len()
        && count("slave") == SLOTS.len()
        && nodes.lines().count() == 2 * SLOTS.len()
        && SLOTS
            .iter()
            .all(|(first, last)| nodes.contains(&format!(" connected {first}-{last}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_tells_its_id_and_its_second_port() {
        let check = |line: &str, expect: Option<u16>| {
            let found = parse_self(line);
            assert_eq!(found, expect.map(|it| ("07c3".to_owned(), it)), "{line}");
        };
        let rest = "myself,master - 0 0 0 connected";
        check(&format!("07c3 127.0.0.1:15000@15001 {rest}\n"), Some(15001));
        check(
            &format!("07c3 127.0.0.1:15000@15001,,shard-id=1 {rest}\n"),
            Some(15001),
        );
        check("07c3 127.0.0.1:15000 myself,master", None);
        check("", None);
    }

    #[test]
    fn a_cluster_is_whole_when_all_are_sound_and_all_slots_given() {
        let whole = "\
            a 127.0.0.1:1@7 myself,master - 0 0 1 connected 0-5460\n\
            b 127.0.0.1:2@8 master - 0 17 2 connected 5461-10922\n\
            c 127.0.0.1:3@9 master - 0 17 3 connected 10923-16383\n\
            d 127.0.0.1:4@10 slave a 0 17 1 connected\n\
            e 127.0.0.1:5@11 slave b 0 17 2 connected\n\
            f 127.0.0.1:6@12 slave c 0 17 3 connected\n";
        let check = |from: &str, to: &str, expect: bool| {
            assert_eq!(is_whole(&whole.replace(from, to)), expect, "{from} {to}");
        };
        check("", "", true);
        check("slave c", "slave,fail? c", false);
        check("slave c", "master -", false);
        check("17 2 connected\n", "17 2 disconnected\n", false);
        check(" 5461-10922", "", false);
        assert!(!is_whole(&format!(
            "{whole}g :0@0 handshake - 1 0 0 disconnected\n"
        )));
    }
}
