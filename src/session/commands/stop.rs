//! `/stop`: ends the dialog's turn and drops what waits.

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::session::stop::StopReport;
use crate::session::wording::count;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Stop;

impl SlashCommand for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn usage(&self) -> &'static str {
        "/stop [request_id]"
    }

    fn description(&self) -> &'static str {
        "Stop the running turn and drop waiting messages, or one of them"
    }

    /// The control lane stops the dialog itself, outside a transaction; this is reached by no other way.
    fn run(
        &self,
        _apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<Reply, StorageError> {
        Ok(Reply::Now(
            dialog.session.clone(),
            stop_text(&StopReport::default()),
        ))
    }
}

/// Tells what a stop found.
pub(in crate::session) fn stop_text(report: &StopReport) -> String {
    let mut lines = Vec::new();
    if report.turn {
        lines.push("Stopped the running turn.".to_owned());
    }
    match report.dropped.len() {
        _ if report.not_stored => lines.push(
            "Waiting messages cannot be dropped now: the database cannot be written. Try again when the disk has space."
                .to_owned(),
        ),
        0 if report.joined => lines.push(
            "That message has joined the running turn; /stop without an id stops the turn."
                .to_owned(),
        ),
        0 if !report.turn => lines.push("Nothing is running or waiting here.".to_owned()),
        0 => {}
        n => lines.push(format!("Dropped {}:", count(n as u64, "waiting message"))),
    }
    lines.extend(report.dropped.iter().map(|text| format!("- {text}")));
    lines.join("\n")
}
