//! The gateway as last resort: orphans of a supervisor that died fall to it and are killed.
//!
//! Which children a process started on purpose is a fact of the whole process, so the list is the one global of this
//! module. Nothing is ever reaped by "any child": that would steal the exit status of a child somebody waits for.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    DumpableBehavior, Signal, WaitOptions, getpid, kill_process, set_child_subreaper,
    set_dumpable_behavior, waitpid,
};

use super::{processes, wait};

/// How long killing orphans may take.
const BUDGET: Duration = Duration::from_secs(5);

/// How long to wait for deaths before the next look.
const PAUSE: Duration = Duration::from_millis(2);

static KNOWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
static IS_SUBREAPER: AtomicBool = AtomicBool::new(false);

/// A child that was started on purpose. Keep it until the child has been waited for.
#[must_use = "an unknown child may be killed as an orphan"]
#[derive(Debug)]
pub struct KnownChild(u32);

impl Drop for KnownChild {
    fn drop(&mut self) {
        known().remove(&self.0);
    }
}

/// Makes this process the parent of orphans among its descendants, and closes its memory and environment to them.
///
/// For a gateway, before its first child. From then on every child must be started through [`start_known`].
pub fn init_gateway() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_child_subreaper(Some(getpid()))?;
    IS_SUBREAPER.store(true, Ordering::Release);
    Ok(())
}

/// Starts a child that [`reap_orphans`] is to leave alone; `id` tells its process number.
pub fn start_known<C>(
    start: impl FnOnce() -> io::Result<C>,
    id: impl FnOnce(&C) -> u32,
) -> io::Result<(C, KnownChild)> {
    // Held while the child starts, so that nobody looks for orphans before it is listed.
    let mut known = known();
    let child = start()?;
    let id = id(&child);
    known.insert(id);
    Ok((child, KnownChild(id)))
}

/// Kills and reaps every child of this process that was not started through [`start_known`], and the children that
/// fall to it by that. Returns how many. Does nothing without [`init_gateway`]. Blocks for 5 s at most.
pub fn reap_orphans() -> usize {
    if !IS_SUBREAPER.load(Ordering::Acquire) {
        return 0;
    }
    let end = Instant::now() + BUDGET;
    let mut gone = 0;
    loop {
        let orphans = {
            let known = known();
            let mut children = processes::own_children();
            children.retain(|pid| !known.contains(&pid.as_raw_pid().cast_unsigned()));
            children
        };
        if orphans.is_empty() || Instant::now() >= end {
            return gone;
        }
        for &orphan in &orphans {
            let _ = kill_process(orphan, Signal::KILL);
        }
        for orphan in orphans {
            let reaped = waitpid(Some(orphan), WaitOptions::NOHANG);
            gone += usize::from(matches!(reaped, Ok(Some(_))));
        }
        wait::pause(PAUSE);
    }
}

fn known() -> MutexGuard<'static, BTreeSet<u32>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
