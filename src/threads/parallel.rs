//! Runs a handful of jobs side by side and waits for all. Threads live only for the call.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs every job, at most `width` at a time, the calling thread included; results come back in job order.
///
/// A job that panics ends the call with that panic after the others have finished.
pub fn run_parallel<T: Send>(
    name: &str,
    stack_bytes: usize,
    width: usize,
    jobs: Vec<Box<dyn FnOnce() -> T + Send + '_>>,
) -> Vec<T> {
    let n_jobs = jobs.len();
    if n_jobs <= 1 {
        return jobs.into_iter().map(|job| job()).collect();
    }
    let jobs: Vec<_> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
    let results: Vec<_> = (0..n_jobs).map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(job) = job {
                let result = job();
                *results[index]
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for helper in 1..width.min(n_jobs) {
            #[allow(clippy::disallowed_methods)] // The one place that starts scoped threads.
            let started = std::thread::Builder::new()
                .name(format!("{name}-{helper}"))
                .stack_size(stack_bytes)
                .spawn_scoped(scope, work);
            if let Err(error) = started {
                log::warn!("running with fewer threads: {error}");
                break;
            }
        }
        work();
    });
    results
        .into_iter()
        .map(|result| {
            result
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                .expect("every job ran, or its panic ended the scope")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order() {
        let jobs: Vec<Box<dyn FnOnce() -> usize + Send>> = (0..20_usize)
            .map(|n| Box::new(move || n * n) as Box<dyn FnOnce() -> usize + Send>)
            .collect();
        let squares: Vec<_> = (0..20_usize).map(|n| n * n).collect();
        assert_eq!(run_parallel("par", 128 * 1024, 4, jobs), squares);
    }
}
