//! `/queue`: what happens to messages that come while a turn runs, and which wait.

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::chat::InputMode;
use crate::session::active::Active;
use crate::session::wording::count;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Queue;

impl SlashCommand for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn usage(&self) -> &'static str {
        "/queue [queue|steer|interrupt]"
    }

    fn description(&self) -> &'static str {
        "Choose whether messages during a turn wait, join it or replace it"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        argument: &str,
    ) -> Result<Reply, StorageError> {
        let waiting = apply
            .actor
            .active
            .get(&dialog.key)
            .map(Active::previews)
            .unwrap_or_default();
        let content = if argument.is_empty() {
            let mut lines = vec![format!(
                "Mode {}: {}.",
                dialog.mode.as_str(),
                meaning(dialog.mode)
            )];
            match waiting.len() {
                0 => lines.push("Nothing is waiting here.".to_owned()),
                n => lines.push(format!(
                    "{} here:",
                    count(n as u64, "message") + if n == 1 { " waits" } else { " wait" }
                )),
            }
            lines.extend(waiting.iter().map(|text| format!("- {text}")));
            lines.join("\n")
        } else if let Some(mode) = InputMode::from_word(argument) {
            apply.tx.set_input_mode(dialog.key, mode)?;
            format!("From now on here, {}.", meaning(mode))
        } else {
            "Say /queue queue, /queue steer or /queue interrupt.".to_owned()
        };
        Ok(Reply::Now(dialog.session.clone(), content))
    }
}

fn meaning(mode: InputMode) -> &'static str {
    match mode {
        InputMode::Queue => "messages sent during a turn wait for their own turn",
        InputMode::Steer => "messages sent during a turn join it after its current tools",
        InputMode::Interrupt => "a message sent during a turn stops it and is answered instead",
    }
}
