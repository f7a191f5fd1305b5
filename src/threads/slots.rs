//! A pool of numbered job threads: `turn-0`, `turn-1`, …
//!
//! The owner (one thread) hands jobs in and never waits: a job is taken only when a slot is free. A slot's thread
//! starts at its first job; slots beyond the first `resident` ones leave after an idle minute. A job's panic must be
//! caught inside the job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::spawn::{JoinError, Thread, spawn};

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const GONE: u8 = 2;

/// How long a slot beyond the resident ones keeps its thread without work.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Runs one job and returns what to do once the slot is free again.
type Work<J> = Arc<dyn Fn(J) -> Box<dyn FnOnce()> + Send + Sync>;

struct Slot<J> {
    state: Arc<AtomicU8>,
    jobs: Sender<J>,
    thread: Thread,
}

/// Runs jobs on at most `limit` threads.
pub struct SlotPool<J> {
    name: &'static str,
    stack_bytes: usize,
    limit: usize,
    resident: usize,
    work: Work<J>,
    slots: Vec<Option<Slot<J>>>,
}

impl<J: Send + 'static> SlotPool<J> {
    /// Makes a pool without threads. Slot names are `<name>-<number>`.
    ///
    /// `run` does a job; `done` gets its outcome after the slot is free again, so whoever `done` tells can hand in the
    /// next job at once.
    pub fn new<R: 'static>(
        name: &'static str,
        stack_bytes: usize,
        limit: usize,
        resident: usize,
        run: impl Fn(J) -> R + Send + Sync + 'static,
        done: impl Fn(R) + Send + Sync + 'static,
    ) -> Self {
        let done = Arc::new(done);
        Self {
            name,
            stack_bytes,
            limit: limit.max(1),
            resident,
            work: Arc::new(move |job| {
                let outcome = run(job);
                let done = done.clone();
                Box::new(move || done(outcome))
            }),
            slots: Vec::new(),
        }
    }

    /// Starts a job on a free slot, or gives it back if all are busy or no thread can be had.
    pub fn try_run(&mut self, job: J) -> Result<(), J> {
        let mut job = job;
        for index in 0..self.limit {
            if index == self.slots.len() {
                self.slots.push(None);
            }
            match self.offer(index, job) {
                Ok(()) => return Ok(()),
                Err(back) => job = back,
            }
        }
        Err(job)
    }

    fn offer(&mut self, index: usize, job: J) -> Result<(), J> {
        if let Some(slot) = &self.slots[index] {
            match slot
                .state
                .compare_exchange(IDLE, BUSY, Ordering::AcqRel, Ordering::Acquire)
            {
                // The thread waits in `recv` and the queue holds one: this cannot block.
                Ok(_) => return slot.jobs.send(job).map_err(|back| back.0),
                Err(BUSY) => return Err(job),
                Err(_) => {}
            }
        }
        match self.start(index) {
            Ok(slot) => {
                let sent = slot.jobs.send(job).map_err(|back| back.0);
                self.slots[index] = Some(slot);
                sent
            }
            Err(error) => {
                log::error!("cannot start thread {}-{index}: {error}", self.name);
                Err(job)
            }
        }
    }

    fn start(&self, index: usize) -> std::io::Result<Slot<J>> {
        let state = Arc::new(AtomicU8::new(BUSY));
        let (jobs, queue) = bounded(1);
        let run = self.work.clone();
        let leaves = index >= self.resident;
        let thread = spawn(format!("{}-{index}", self.name), self.stack_bytes, {
            let state = state.clone();
            move || serve(&queue, &state, leaves, &run)
        })?;
        Ok(Slot {
            state,
            jobs,
            thread,
        })
    }

    /// Closes the queues and waits for running jobs; returns the threads that did not come.
    pub fn join_until(self, deadline: Instant) -> Vec<JoinError> {
        let mut threads = Vec::new();
        for slot in self.slots.into_iter().flatten() {
            drop(slot.jobs);
            threads.push(slot.thread);
        }
        threads
            .into_iter()
            .filter_map(|thread| thread.join_until(deadline).err())
            .collect()
    }
}

fn serve<J>(queue: &Receiver<J>, state: &AtomicU8, leaves: bool, work: &Work<J>) {
    loop {
        let next = if leaves {
            queue.recv_timeout(IDLE_LIMIT)
        } else {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(job) => {
                let done = work(job);
                state.store(IDLE, Ordering::Release);
                done();
            }
            Err(RecvTimeoutError::Timeout) => {
                // Lost against `offer`: a job is on its way.
                if state
                    .compare_exchange(IDLE, GONE, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
                {
                    return;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_up_to_the_limit_and_reuses_slots() {
        let (done, ended) = bounded(8);
        let (release, gate) = bounded::<()>(0);
        let mut pool = SlotPool::new(
            "pool",
            128 * 1024,
            2,
            1,
            move |n: u32| {
                let _ = gate.recv();
                (n, std::thread::current().name().map(str::to_owned))
            },
            move |outcome| {
                let _ = done.send(outcome);
            },
        );
        assert_eq!(pool.try_run(1), Ok(()));
        assert_eq!(pool.try_run(2), Ok(()));
        assert_eq!(pool.try_run(3), Err(3));
        release.send(()).unwrap();
        ended.recv().unwrap();
        assert_eq!(pool.try_run(3), Ok(()));
        release.send(()).unwrap();
        release.send(()).unwrap();
        let names: Vec<_> = (0..2).map(|_| ended.recv().unwrap().1.unwrap()).collect();
        assert!(names.iter().all(|name| name.starts_with("pool-")));
        let late = pool.join_until(Instant::now() + Duration::from_secs(5));
        assert!(late.is_empty());
    }
}
