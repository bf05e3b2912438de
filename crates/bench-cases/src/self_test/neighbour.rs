//! A neighbour that keeps one processor busy.

use std::{
    hint::black_box,
    io::Read,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A process that burns one processor until this is dropped.
#[derive(Debug)]
pub(crate) struct Neighbour(Child);

impl Neighbour {
    /// Starts it: this program, in another process.
    pub(crate) fn start() -> std::io::Result<Neighbour> {
        let child = Command::new(std::env::current_exe()?)
            .arg("burn")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Neighbour(child))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and is waited for all the same.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Burns one processor until the standard input closes: whoever started it is gone then, however
/// it ended.
pub(crate) fn burn_until_told() {
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    thread::spawn(move || {
        drop(std::io::stdin().lock().read_to_end(&mut Vec::new()));
        told.store(true, Ordering::Relaxed);
    });
    let mut spun = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        spun = black_box(spun.wrapping_add(1));
    }
}
