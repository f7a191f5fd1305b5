//! `/compact` as work of a dialog: it waits in the dialog's queue like an input, runs on a turn's thread and is stopped
//! like a turn.

use super::{Compactor, Outcome, Owner, Why};
use crate::bus::{Body, ErrorCode};
use crate::chat::{Command, Input, classify};
use crate::observability::Part;
use crate::session::outage::persist;
use crate::session::replies::{command_reply, error_reply};
use crate::session::worker::TurnJob;
use crate::session::{Deps, wording};
use crate::storage::Outcome as InputOutcome;

/// The command's name without the slash.
pub(in crate::session) const NAME: &str = "compact";

/// Returns the focus if an input wants its dialog compressed.
pub(in crate::session) fn is_compaction(content: &str) -> Option<String> {
    match classify(content).0 {
        Input::Command(Command { name, argument }) if name == NAME => Some(argument),
        _ => None,
    }
}

/// Compresses a dialog for a person, ends the input and answers.
pub(in crate::session) fn run_command(deps: &Deps, job: &TurnJob, focus: &str) {
    let notice = |text: &str| {
        job.replies.tell(
            |_| true,
            || Body::Notification {
                content: text.to_owned(),
            },
        );
    };
    let compactor = Compactor {
        deps,
        dialog: job.dialog,
        session: &job.session,
        owner: Owner::Command(job.input),
        cancel: &job.control.cancel,
        notice: &notice,
    };
    let outcome = compactor
        .run(Why::Wanted { focus })
        .map(|compacted| compacted.outcome);
    if job.control.is_cut_off() && !matches!(outcome, Ok(Outcome::Done(_))) {
        // The process ends; the next one does it.
        job.replies
            .answer(error_reply(ErrorCode::ShuttingDown, wording::ENDING));
        return;
    }
    let (ended, reply) = match outcome {
        Err(error) => {
            log::error!("a dialog could not be compressed: {error}");
            deps.health.degraded(Part::Storage);
            (
                InputOutcome::Failed,
                error_reply(ErrorCode::Storage, &wording::not_stored(&error)),
            )
        }
        Ok(Outcome::Gone) => return,
        Ok(Outcome::Unchanged) if job.control.cancel.is_cancelled() => (
            InputOutcome::Stopped,
            error_reply(ErrorCode::Stopped, wording::STOPPED),
        ),
        Ok(Outcome::Unchanged) => (InputOutcome::Done, command_reply(NAME, NOTHING)),
        Ok(Outcome::Failed(reason)) => (
            InputOutcome::Failed,
            command_reply(NAME, &format!("Nothing was compressed. {reason}")),
        ),
        Ok(Outcome::Done(said)) => (InputOutcome::Done, command_reply(NAME, &said)),
    };
    let stored = persist(deps, job, || {
        deps.db.write(|tx| tx.close_input(job.input, ended, &reply))
    });
    if let Err(error) = stored {
        log::error!("the end of a compression could not be stored: {error}");
    }
    job.replies.answer(reply);
}

const NOTHING: &str = "There is nothing to compress yet: the last exchange always stays as it is.";
