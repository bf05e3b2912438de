//! A timer that wakes at the microsecond.
//!
//! The runtime's own is rounded up to the millisecond, which would send requests in bunches and
//! make every latency up to a millisecond too long.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub(super) struct Alarm(AsyncFd<Timer>);

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// To be called on a runtime.
    #[expect(
        deprecated,
        reason = "what is named in its place is unsafe: the descriptor must stay open and the same; \
                  `Timer` owns it and gives out no other"
    )]
    pub(super) fn new() -> io::Result<Alarm> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Alarm(AsyncFd::new(Timer(timer))?))
    }

    /// Returns after `wait`.
    pub(super) async fn after(&self, wait: Duration) -> io::Result<()> {
        let timer = &self.0.get_ref().0;
        // Zero would switch it off.
        let wait = TimeSpec::from_duration(wait.max(Duration::from_nanos(1)));
        timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.0.readable().await?;
            ready.clear_ready();
            match timer.wait() {
                Ok(()) => return Ok(()),
                Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
