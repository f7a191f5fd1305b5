//! Waiting for file descriptors and for nothing, on the caller's thread.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Waits until one is ready, the time is over or a signal came; the answers are in the descriptors.
pub(super) fn poll_for(fds: &mut [PollFd<'_>], limit: Duration) -> std::io::Result<()> {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until there is something to read or the time is over.
pub(super) fn for_input(fd: &impl AsFd, limit: Duration) {
    let _ = poll_for(&mut [PollFd::new(fd, PollFlags::IN)], limit);
}

/// Waits.
pub(super) fn pause(limit: Duration) {
    let _ = poll_for(&mut [], limit);
}
