//! Asks one server, again and again, what it is and how far it has come.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::{Cluster, view::Report};
use crate::postgres::{
    connect::{Connector, Opened},
    run::Driver,
};

/// How long a server may take to let us in and to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// The longest pause after failures, each of which doubles it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What only a primary or only a standby can say is asked of no other. A role without `pg_monitor` does
/// not see the timeline that is received.
const QUESTION: &str = "\
    SELECT s.is_standby, \
        (SELECT system_identifier FROM pg_control_system()), \
        CASE WHEN NOT s.is_standby THEN pg_walfile_name(pg_current_wal_insert_lsn()) END, \
        CASE WHEN NOT s.is_standby THEN pg_current_wal_insert_lsn() END, \
        pg_last_wal_replay_lsn(), \
        (SELECT received_tli FROM pg_stat_wal_receiver), \
        (SELECT timeline_id FROM pg_control_checkpoint()), \
        (SELECT min_recovery_end_timeline FROM pg_control_recovery()) \
    FROM (SELECT pg_is_in_recovery() AS is_standby) s";

/// Looks after one server until the cluster is gone.
pub(super) async fn watch(
    cluster: Weak<Cluster>,
    member: usize,
    connector: Arc<Connector>,
    every: Duration,
) {
    let mut connection: Option<Watched> = None;
    let mut failures = 0_u32;
    loop {
        let asked = time::timeout(LIMIT, async {
            let watched = match connection.take() {
                Some(watched) => watched,
                None => Watched::new(connector.connect().await.map_err(|error| chain(&error))?),
            };
            watched.ask().await
        });
        let asked = asked.await;
        let asked = asked.unwrap_or_else(|_| Err("does not answer in time".to_owned()));
        let (answer, fault) = match asked {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (None, Some(fault)),
        };
        failures = match answer {
            Some(_) => 0,
            None => failures.saturating_add(1),
        };
        let report = answer.map(|(watched, report)| {
            connection = Some(watched);
            report
        });
        let woken = {
            let Some(cluster) = cluster.upgrade() else {
                return;
            };
            if cluster.is_closed() {
                return;
            }
            cluster.note_fault(member, fault);
            cluster.note(member, report, Instant::now());
            cluster.woken(member)
        };
        time::timeout(pause(every, failures), woken.notified())
            .await
            .ok();
    }
}

fn pause(every: Duration, failures: u32) -> Duration {
    let doubled = every.saturating_mul(1 << failures.min(16));
    let pause = doubled.min(LONGEST_PAUSE.max(every));
    // So that instances do not ask together.
    pause.mul_f64(1.0 - 0.1 * fastrand::f64())
}

/// A connection for nothing but this.
struct Watched {
    opened: Opened,
    was_standby: bool,
}

impl Watched {
    fn new(opened: Opened) -> Watched {
        Watched {
            opened,
            was_standby: false,
        }
    }

    /// Gives the connection back with the answer; without one it is closed.
    async fn ask(mut self) -> Result<(Watched, Report), String> {
        let report = ask(&self.opened.client).await;
        let report = report.map_err(|error| chain(&error))?;
        let mut report = report.ok_or("does not say what it is")?;
        report.was_standby = self.was_standby;
        self.was_standby |= report.is_standby;
        Ok((self, report))
    }
}

/// What a server says of itself, if it can be understood.
pub(super) async fn ask(client: &Client) -> Driver<Option<Report>> {
    Ok(read(&client.simple_query(QUESTION).await?))
}

/// An error and what lies under it. The driver's quote no password.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn read(messages: &[SimpleQueryMessage]) -> Option<Report> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let is_standby = text(row, 0)? == "t";
    let written = text(row, 2).and_then(timeline_of_segment);
    let number = |at| text(row, at).and_then(|it| it.parse().ok());
    let received_timeline = number(5);
    let timeline = match is_standby {
        false => written?,
        // Each is a timeline that it has reached.
        true => [received_timeline, number(6), number(7)]
            .into_iter()
            .flatten()
            .max()?,
    };
    Some(Report {
        // SQL has no unsigned type for it.
        system: text(row, 1)?.parse::<i64>().ok()?.cast_unsigned(),
        is_standby,
        timeline,
        inserted: text(row, 3).and_then(position),
        replayed: text(row, 4).and_then(position),
        received_timeline,
        was_standby: false,
    })
}

fn text(row: &SimpleQueryRow, at: usize) -> Option<&str> {
    row.try_get(at).ok().flatten()
}

/// The name of a segment of the log begins with the timeline, in eight hexadecimal digits.
fn timeline_of_segment(name: &str) -> Option<u32> {
    u32::from_str_radix(name.get(..8)?, 16).ok()
}

/// A `pg_lsn` as it is written: its two halves in hexadecimal digits (PostgreSQL's manual, 8.20).
fn position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |text| u32::from_str_radix(text, 16).ok();
    Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
}

/// How a watcher is told to ask at once.
pub(super) type Bell = Arc<Notify>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_timelines_are_read() {
        assert_eq!(position("0/0"), Some(0));
        assert_eq!(position("16/B374D848"), Some(0x16_B374_D848));
        assert_eq!(position("FFFFFFFF/FFFFFFFF"), Some(u64::MAX));
        for nonsense in ["", "1", "1/", "/1", "100000000/1", "x/y"] {
            assert_eq!(position(nonsense), None, "{nonsense}");
        }
        assert_eq!(timeline_of_segment("0000000A0000000000000003"), Some(10));
        assert_eq!(timeline_of_segment("0000"), None);
    }

    #[test]
    fn pauses_grow_and_end_somewhere() {
        let every = Duration::from_millis(100);
        for (failures, longest) in [(0, 100), (1, 200), (3, 800), (9, 5_000), (u32::MAX, 5_000)] {
            let pause = pause(every, failures);
            let longest = Duration::from_millis(longest);
            assert!(
                pause <= longest && pause >= longest.mul_f64(0.89),
                "{pause:?}"
            );
        }
    }
}
