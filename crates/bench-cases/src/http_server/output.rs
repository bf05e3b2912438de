//! What a server writes to its log: where it listens, and why it ended.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::ChildStderr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use ruleiq_bench::Fault;
use serde_json::Value;

/// Lines that are kept for whoever asks why.
const KEPT: usize = 20;
/// Longer lines are read in pieces.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// A log that is read to its end, so that the server never waits for its reader.
#[derive(Debug)]
pub(super) struct Output(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    address: Option<SocketAddr>,
    tail: VecDeque<String>,
}

impl Output {
    pub(super) fn read(stderr: ChildStderr) -> Result<Output, Fault> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let output = Output(Arc::clone(&seen));
        let read = move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while let Ok(1..) = lines
                .by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)
            {
                let text = String::from_utf8_lossy(&line);
                lock(&seen).take(text.trim_end());
                line.clear();
            }
        };
        let reader = thread::Builder::new().name("server-log".to_owned());
        reader.spawn(read).map_err(Fault::failed)?;
        Ok(output)
    }

    /// Where it listens, once it does.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        lock(&self.0).address
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let seen = lock(&self.0);
        let lines: Vec<&str> = seen.tail.iter().map(String::as_str).collect();
        lines.join(" | ")
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn take(&mut self, line: &str) {
        if self.address.is_none()
            && let Ok(entry) = serde_json::from_str::<Value>(line)
            && entry["message"] == "listening"
        {
            self.address = entry["address"].as_str().and_then(|it| it.parse().ok());
        }
        if self.tail.len() == KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_and_the_end_is_kept() {
        let mut seen = Seen::default();
        seen.take("not JSON");
        seen.take(r#"{"message":"starting","address":"127.0.0.1:1"}"#);
        assert_eq!(seen.address, None);
        seen.take(r#"{"message":"listening","address":"127.0.0.1:4711"}"#);
        assert_eq!(seen.address, Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
        for n in 0..100 {
            seen.take(&n.to_string());
        }
        assert_eq!(seen.tail.len(), KEPT);
        assert_eq!(seen.tail.back().map(String::as_str), Some("99"));
    }
}
