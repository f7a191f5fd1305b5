//! `/status`: how the whole process is, and what runs in this dialog.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::observability::Part;
use crate::session::times::duration;
use crate::session::wording::count;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Status;

impl SlashCommand for Status {
    fn name(&self) -> &'static str {
        "status"
    }

    fn usage(&self) -> &'static str {
        "/status"
    }

    fn description(&self) -> &'static str {
        "Show whether PicoBot works, and on what"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<Reply, StorageError> {
        let actor = &*apply.actor;
        let health = &actor.deps.health;
        let mut lines = vec![format!(
            "PicoBot {}, up {}.",
            env!("CARGO_PKG_VERSION"),
            duration(Duration::from_secs(health.uptime_secs()))
        )];
        for part in Part::ALL {
            if health.degraded_since(part).is_some() {
                lines.push(format!(
                    "{} does not work; the log says why.",
                    part.as_str()
                ));
            }
        }
        lines.push(format!(
            "{} running, {} waiting, {} done since the start.",
            count(health.turns_running.load(Ordering::Relaxed), "turn"),
            count(health.queued.load(Ordering::Relaxed), "message"),
            count(health.turns_done.load(Ordering::Relaxed), "turn"),
        ));
        lines.push(format!("Here: {}", actor.doing(dialog.key)));
        Ok(Reply::Now(dialog.session.clone(), lines.join("\n")))
    }
}
