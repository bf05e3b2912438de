//! How much memory a server has beyond that of the same one without compression.

use ruleiq_bench::{
    Budget,
    load::{Client, Expectation, Limits, PreparedRequest, Target},
};
use ruleiq_compression::Coding;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::server::{Role, Server};
use crate::soak::{is_full, report};

const CONNECTIONS: usize = 64;
const MOST_MIB: u64 = 12;

fn mib(kib: u64) -> u64 {
    kib.div_ceil(1024)
}

fn asked() -> u64 {
    if is_full() { 10_000 } else { 1_000 }
}

/// Lists of 1 to 100 KB in all codings, 64 at once.
async fn ask_for_lists(server: &Server) {
    let requests = [10, 100, 1_000].into_iter().flat_map(|rows| {
        Coding::ALL.map(|coding| {
            let request = PreparedRequest::get(&format!("/list/{rows}")).unwrap();
            request.header("accept-encoding", coding.as_str()).unwrap()
        })
    });
    let target = Target {
        address: server.address,
        requests: requests.collect(),
        expect: Expectation::status(200),
    };
    let client = Client::connect(target, CONNECTIONS, Limits::default()).await;
    let budget = Budget::Operations(asked());
    let tally = client.unwrap().closed_loop(budget).await.unwrap();
    assert_eq!((tally.operations, tally.errors.len()), (asked(), 0));
}

#[tokio::test]
async fn lists_at_once_take_little_memory() {
    let (plain, ours) = (Server::start(Role::Plain), Server::start(Role::Steady));
    let mut peaks = [0; 2];
    for (peak, server) in peaks.iter_mut().zip([&plain, &ours]) {
        ask_for_lists(server).await;
        *peak = server.memory_kib("VmHWM");
    }
    // Of the lists of 1 KB none is large enough.
    let encoded = ours.count("ruleiq_compression_responses_total").await;
    assert!(encoded >= asked() * 3 / 5, "{encoded}");
    let more = mib(peaks[1].saturating_sub(peaks[0]));
    let bar = format!("<={MOST_MIB}");
    report("memory_64_connections", more, "MiB", &bar, more <= MOST_MIB);
    assert!(
        more <= MOST_MIB,
        "{peaks:?} KiB without and with compression"
    );
}

/// Streams that stay open, each after its first piece.
async fn open_streams(server: &Server, coding: Coding) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request =
            format!("GET /events HTTP/1.1\r\nhost: a\r\naccept-encoding: {coding}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut some = [0; 256];
        assert!(stream.read(&mut some).await.unwrap() > 0);
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn streams_at_once_are_bounded_in_memory() {
    for coding in Coding::ALL {
        let mut open = [0; 2];
        for (role, open) in [Role::Plain, Role::Steady].into_iter().zip(&mut open) {
            let server = Server::start(role);
            let _streams = open_streams(&server, coding).await;
            if role == Role::Steady {
                let encoded = server.count("ruleiq_compression_responses_total").await;
                assert_eq!(encoded, CONNECTIONS as u64);
            }
            *open = server.memory_kib("VmRSS");
        }
        let more = mib(open[1].saturating_sub(open[0]));
        let name = format!("memory_64_{coding}_streams");
        report(&name, more, "MiB", "<=64", more <= 64);
        assert!(
            more <= 64,
            "{coding}: {open:?} KiB without and with compression"
        );
    }
}
