//! Turns classes of failure into sentences for people: what happened, and what to do.

use std::time::Duration;

use crate::bus::ErrorCode;
use crate::providers::ProviderError;
use crate::storage::StorageError;

/// Ends what is said of a failure that may be over soon.
const CONTINUE: &str = " Your message is kept; write 'continue' to try again.";

/// Describes a failed model call of a compression, of which nobody waits for an answer.
pub(super) fn summary_failure(error: &ProviderError, name: &str) -> String {
    let (_, text) = provider_failure(error, name);
    text.strip_suffix(CONTINUE).unwrap_or(&text).to_owned()
}

/// Describes a failed model call; `name` is the provider's configured name.
pub(super) fn provider_failure(error: &ProviderError, name: &str) -> (ErrorCode, String) {
    match error {
        ProviderError::Cancelled => (ErrorCode::Stopped, STOPPED.to_owned()),
        ProviderError::Auth(detail) => (
            ErrorCode::Auth,
            format!(
                "The model service {name} refused the key or the account: {detail}. Check providers.{name}.api_key and the account's balance."
            ),
        ),
        ProviderError::RateLimited {
            retry_after,
            detail,
        } => (
            ErrorCode::Provider,
            format!(
                "The model service {name} takes no more requests now ({detail}). {}",
                again(*retry_after)
            ),
        ),
        ProviderError::ContextTooLong(_) => (
            ErrorCode::Provider,
            "This dialog has grown too long for the model. Start a new one with /new.".to_owned(),
        ),
        ProviderError::ImageRefused(detail) => (
            ErrorCode::Provider,
            format!("The model service {name} refused an image: {detail}"),
        ),
        ProviderError::Overloaded(detail) => (
            ErrorCode::Provider,
            format!("The model service {name} is overloaded or failing ({detail}).{CONTINUE}"),
        ),
        ProviderError::Filtered(detail) => (
            ErrorCode::Provider,
            format!(
                "The content filter of the model service {name} minds something in this: {detail}. None of it is sent to the model again; if it refuses still, /new starts another dialog."
            ),
        ),
        ProviderError::BadRequest(detail) => (
            ErrorCode::Provider,
            format!("The model service {name} refused the request: {detail}"),
        ),
        ProviderError::NotFound(detail) => (
            ErrorCode::Provider,
            format!(
                "The model service {name} does not know this model or address: {detail}. Check providers.{name}.base_url and the model_id."
            ),
        ),
        ProviderError::Network(detail) => (
            ErrorCode::Provider,
            format!("The model service {name} cannot be reached: {detail}.{CONTINUE}"),
        ),
        ProviderError::Timeout(limit) => (
            ErrorCode::Timeout,
            format!(
                "The model service did not answer in {} s ({name}).{CONTINUE}",
                limit.as_secs_f32().ceil()
            ),
        ),
        ProviderError::Undecodable(detail) => (
            ErrorCode::Provider,
            format!(
                "The model service {name} gave an answer that cannot be understood: {detail}.{CONTINUE}"
            ),
        ),
    }
}

fn again(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!("Try again in {} s.", wait.as_secs().max(1)),
        None => CONTINUE.trim_start().to_owned(),
    }
}

/// Describes a message that was not stored.
pub(super) fn not_stored(error: &StorageError) -> String {
    match error {
        StorageError::Full => {
            "Message not saved: the disk is full. Free space and send again.".to_owned()
        }
        StorageError::Busy => {
            "Message not saved: another program keeps the database busy. Send it again in a moment."
                .to_owned()
        }
        StorageError::Damaged { .. } => {
            "Message not saved: the database is damaged. Stop PicoBot and restore a backup."
                .to_owned()
        }
        _ => "Message not saved: the database cannot be written. See the log, then send again."
            .to_owned(),
    }
}

/// For a turn that waits until what it has can be stored.
pub(super) fn waits_for_disk(error: &StorageError) -> &'static str {
    match error {
        StorageError::Full => {
            "The disk is full: this cannot be saved yet. It goes on by itself when there is space again; do not send the \
             message again. /stop gives it up."
        }
        _ => {
            "The database cannot be written: this cannot be saved yet. It goes on by itself when the disk works again; do \
             not send the message again. /stop gives it up."
        }
    }
}

/// Counts things: `1 message`, `3 messages`.
pub(super) fn count(n: u64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// Writes a number shortly: `950`, `39.6k`, `1.2M`.
pub(super) fn short_number(n: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = (n * 10 + unit / 2) / unit;
        match tenths % 10 {
            0 => (tenths / 10).to_string(),
            rest => format!("{}.{rest}", tenths / 10),
        }
    };
    match n {
        0..=999 => n.to_string(),
        1_000..=999_949 => format!("{}k", tenths(1_000)),
        _ => format!("{}M", tenths(1_000_000)),
    }
}

/// For a turn stopped by a person.
pub(super) const STOPPED: &str = "Stopped.";
/// For a turn that a newer input took the place of.
pub(super) const REPLACED: &str = "Stopped: a newer message took its place.";
/// For an input dropped before its turn began.
pub(super) const DROPPED: &str = "Stopped before it began.";
/// For an input that was taken back before its turn began.
pub(super) const TAKEN_BACK: &str = "Taken back before it began.";
/// For a turn that could not be begun or ended because the database cannot be written.
pub(super) const KEPT: &str = "The answer could not be saved: the database cannot be written. Your message is kept and is \
                               worked on again after the next start; see the log, and do not send it again.";
/// For a turn that ended three processes.
pub(super) const CRASHED: &str = "PicoBot stopped three times while working on this message, so it was given up. Try it in other words.";
/// For a turn that was cut off and overtaken by later messages.
pub(super) const OVERTAKEN: &str = "PicoBot was stopped while working on this, and later messages were answered since. Send it again if you still need it.";
/// For an input that was accepted and is not answered before the gateway ends.
pub(super) const ENDING: &str = "PicoBot is stopping. Your message is kept and is answered after the next start; do not send it again.";
/// For everything that comes while the gateway ends.
pub(super) const CLOSED: &str =
    "PicoBot is stopping and takes nothing more. Send it again in a moment.";
/// For a read that finds its queue full.
pub(super) const BUSY: &str = "Too many requests wait. Try again in a moment.";
/// For an answer to a question that is not open.
pub(super) const NO_APPROVAL: &str = "No approval is waiting under this id.";
/// For what concerns a dialog that is gone.
pub(super) const DELETED: &str = "The dialog was deleted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_summary_asks_for_no_message() {
        let error = ProviderError::Overloaded("HTTP 500".to_owned());
        let (_, turn) = provider_failure(&error, "m");
        assert!(turn.ends_with("Your message is kept; write 'continue' to try again."));
        assert_eq!(
            summary_failure(&error, "m"),
            "The model service m is overloaded or failing (HTTP 500)."
        );
        let error = ProviderError::BadRequest("HTTP 400".to_owned());
        assert_eq!(
            summary_failure(&error, "m"),
            provider_failure(&error, "m").1
        );
    }

    #[test]
    fn numbers() {
        for (n, text) in [
            (7, "7"),
            (128_000, "128k"),
            (39_640, "39.6k"),
            (999_950, "1M"),
            (1_240_000, "1.2M"),
        ] {
            assert_eq!(short_number(n), text);
        }
        assert_eq!(count(1, "message"), "1 message");
        assert_eq!(count(0, "message"), "0 messages");
    }
}
