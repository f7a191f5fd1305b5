//! The gateway: builds, starts and stops everything one process runs.
//!
//! `door` owns the port. What messages mean is decided elsewhere.

pub mod door;
