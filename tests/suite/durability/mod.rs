//! What keeps the database: backups and the way back, the outbox's dead letters, the daily upkeep, and disks that fail.

mod backup;
mod faults;
mod full_disk;
mod outbox;
mod restore;
mod texts;
mod upkeep;

use crate::support::gateway::command;
use crate::support::home::Home;
use crate::support::process::{Finished, run};

/// Runs a command with these arguments in a home.
#[track_caller]
fn picobot(home: &Home, verb: &str, arguments: &[&str]) -> Finished {
    run(command(home, verb).args(arguments))
}
