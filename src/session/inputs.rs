//! Inputs: what somebody says becomes a row of the inbox, a slash command that is done at once, or a repeat of what is known.
//!
//! Runs on the `session` thread inside the transaction of a batch, see `apply`. What becomes of a stored input: `admit`.

use super::active::{Asker, TypedCommand, Waiting, Work};
use super::apply::{Apply, Effect};
use super::commands::{self, Reply};
use super::compress;
use super::replies::{command_reply, reply_body};
use super::title::{auto_title, words_of};
use crate::bus::{Body, Caller, ErrorCode};
use crate::chat::{Attachment, Command, Input, InputMode, SessionId, classify};
use crate::storage::{
    DialogKey, DialogRow, InboxRow, NewInput, Outcome, StorageError, fingerprint,
};

/// Inputs that may wait in one dialog.
const MAX_WAITING: usize = 100;
/// Length of a waiting message's beginning, for people.
const PREVIEW_CHARS: usize = 60;

/// What an input says.
pub(super) struct Said<'a> {
    pub(super) sender: Option<&'a str>,
    pub(super) text: &'a str,
    pub(super) files: &'a [Attachment],
    pub(super) guest: bool,
}

impl Said<'_> {
    /// The text as people see it.
    fn shown(&self) -> String {
        shown_input(
            &words_of(self.text),
            self.files.iter().map(|file| file.name.as_str()),
        )
    }
}

impl Apply<'_, '_> {
    /// Takes in what somebody says in a dialog.
    pub(super) fn input(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        let source = row.session.channel.as_str();
        if let Some(id) = &caller.request_id
            && let Some(known) = self.tx.find_input(source, id)?
        {
            return self.repeat(caller, row, known, said);
        }
        match classify(said.text).0 {
            // It is work of the dialog and waits its turn.
            Input::Command(command) if command.name != compress::NAME => {
                self.command(caller, row, &command, said)
            }
            Input::Command(_) | Input::Prompt => self.prompt(caller, row, said),
        }
    }

    /// Answers an input whose id is known: with the stored answer, or together with the first one.
    fn repeat(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        known: InboxRow,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        if known.fingerprint != fingerprint(said.text, said.files) {
            let message = "This request_id was used for another message. Use a new one.".to_owned();
            let code = ErrorCode::BadRequest;
            self.push(
                caller,
                Some(row.session.clone()),
                Body::Error { code, message },
            );
            return Ok(());
        }
        let dialog = match known.dialog {
            Some(key) => self.tx.dialog(key)?,
            None => None,
        };
        let session = dialog.as_ref().unwrap_or(row).session.clone();
        match (known.reply, dialog) {
            (Some(reply), _) if known.closed => {
                self.push(caller, Some(session), reply_body(&reply));
            }
            (None, Some(dialog)) if !known.closed => {
                self.accepted(caller, &dialog);
                let waiting = Waiting {
                    input: known.id,
                    callers: vec![caller.clone()],
                    preview: preview(&said.shown()),
                    resume: known.turn,
                    joined: Vec::new(),
                };
                self.effects
                    .push(Effect::Join(dialog.key, dialog.session, waiting));
            }
            _ => self.not_found(caller),
        }
        Ok(())
    }

    fn prompt(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        if self.n_waiting(row.key) >= MAX_WAITING {
            self.push(
                caller,
                Some(row.session.clone()),
                Body::Error {
                    code: ErrorCode::QueueFull,
                    message: format!(
                        "Queue full: {MAX_WAITING} messages are waiting. /stop drops them."
                    ),
                },
            );
            return Ok(());
        }
        let input = self.tx.insert_input(&NewInput {
            source: row.session.channel.as_str(),
            external_id: caller.request_id.as_deref(),
            dialog: Some(row.key),
            sender: said.sender,
            content: said.text,
            files: said.files,
            received_at: self.now,
        })?;
        if said.guest {
            self.tx.mark_guest(input)?;
        }
        let shown = said.shown();
        if row.archived {
            self.tx.unarchive_dialog(row.key)?;
        }
        // Whoever speaks does not know the title that is made of it.
        let mut know = vec![caller.client];
        let is_compaction = compress::is_compaction(said.text).is_some();
        if row.title.is_empty() && !is_compaction {
            // Lists show titles everywhere.
            let title = auto_title(&self.actor.deps.redactor.redact(&shown));
            self.tx.title_if_unnamed(row.key, &title)?;
            know.clear();
        }
        self.changed(row, know);
        self.accepted(caller, row);
        let waiting = Waiting {
            input,
            callers: vec![caller.clone()],
            preview: preview(&shown),
            resume: None,
            joined: Vec::new(),
        };
        let session = row.session.clone();
        // A wish to compress is nothing for the model: it neither joins nor stops what runs. A guest's words join no turn
        // that may do more than a guest's, and stop none.
        let mode = if is_compaction || said.guest {
            InputMode::Queue
        } else {
            row.mode
        };
        let input = Effect::Input(row.key, session, waiting, mode);
        self.effects.push(input);
        Ok(())
    }

    fn accepted(&mut self, caller: &Caller, row: &DialogRow) {
        if caller.wants.accepted {
            self.push(caller, Some(row.session.clone()), Body::Accepted);
        }
    }

    /// Counts what waits in a dialog, this batch included.
    fn n_waiting(&self, key: DialogKey) -> usize {
        let stored = self
            .actor
            .active
            .get(&key)
            .map_or(0, |active| active.n_waiting());
        let new = self
            .effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Input(to, ..) if *to == key))
            .count();
        stored + new
    }

    /// Runs a command of the ordered lane; its answer is kept if a repeat could ask for it. Long reads are not kept: a
    /// repeat reads again.
    fn command(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        command: &Command,
        said: &Said<'_>,
    ) -> Result<(), StorageError> {
        let Some((session, content)) = self.run_command(caller, row, command, said.text)? else {
            return Ok(());
        };
        if let Some(id) = &caller.request_id {
            let input = self.tx.insert_input(&NewInput {
                source: row.session.channel.as_str(),
                external_id: Some(id),
                dialog: None,
                sender: None,
                content: said.text,
                files: said.files,
                received_at: self.now,
            })?;
            let reply = command_reply(&command.name, &content);
            self.tx.close_input(input, Outcome::Done, &reply)?;
        }
        self.push(
            caller,
            Some(session),
            Body::Command {
                command: command.name.clone(),
                content,
            },
        );
        Ok(())
    }

    /// Runs a command; returns the answer and the dialog it is about, unless the answer comes later from elsewhere.
    pub(super) fn run_command(
        &mut self,
        caller: &Caller,
        row: &DialogRow,
        command: &Command,
        text: &str,
    ) -> Result<Option<(SessionId, String)>, StorageError> {
        Ok(match commands::run(self, caller, row, command)? {
            Reply::Now(session, content) => Some((session, content)),
            Reply::Ask(session, ask) => {
                self.ask(caller, Some(session), ask);
                None
            }
            Reply::Op(row, op) => {
                let asker = Asker {
                    caller: caller.clone(),
                    command: Some(TypedCommand {
                        name: command.name.clone(),
                        text: text.to_owned(),
                    }),
                };
                let work = Work::Op(op, asker);
                self.effects.push(Effect::Work(row.key, row.session, work));
                None
            }
        })
    }
}

/// Returns an input's text with a line for each file behind it.
pub(super) fn shown_input<'a>(text: &str, files: impl IntoIterator<Item = &'a str>) -> String {
    let mut shown = text.to_owned();
    for name in files {
        if !shown.is_empty() {
            shown.push_str("\n\n");
        }
        shown.push_str(&format!("[image: {name}]"));
    }
    shown
}

/// Returns the beginning of a text on one line.
pub(super) fn preview(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(PREVIEW_CHARS) {
        words.truncate(end);
        words.push('…');
    }
    words
}
