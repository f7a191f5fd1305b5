//! The list of dialogs: search, open, create, rename, archive, delete. Pure.

use super::composer::Composer;
use super::lists::{edit_line, step};
use super::types::{Effect, Overlay, State};
use crate::client::clock;
use crate::client::keys::{Action, Key, Place};
use crate::wire::{ClientBody, ClientMessage, SessionInfo};

/// A dialog in the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Listed {
    pub(in crate::client) id: String,
    pub(in crate::client) title: String,
    pub(in crate::client) is_archived: bool,
    pub(in crate::client) n_messages: u64,
    pub(in crate::client) updated_ms: Option<i64>,
}

/// What the list is used for.
#[derive(Debug, Default)]
pub(in crate::client) enum DialogMode {
    /// Choosing; the line filters.
    #[default]
    Choose,
    /// The dialog of this id gets a new title. Kept here, since the list may be filled anew meanwhile.
    Rename(String, Composer),
    /// This one is to be deleted: a second thought.
    ConfirmDelete(Listed),
}

/// The list.
#[derive(Debug, Default)]
pub(in crate::client) struct DialogList {
    /// `None` until the gateway has answered.
    pub(in crate::client) all: Option<Vec<Listed>>,
    /// Whether older dialogs exist that one list does not hold.
    pub(in crate::client) has_more: bool,
    pub(in crate::client) filter: Composer,
    pub(in crate::client) chosen: usize,
    pub(in crate::client) shows_archived: bool,
    pub(in crate::client) mode: DialogMode,
}

impl DialogList {
    /// Lists what fits the filter: title or id.
    pub(in crate::client) fn shown(&self) -> Vec<&Listed> {
        let words: Vec<String> = self
            .filter
            .expanded()
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let fits = |listed: &&Listed| {
            let text = format!("{} {}", listed.title.to_lowercase(), listed.id);
            words.iter().all(|word| text.contains(word))
        };
        self.all.iter().flatten().filter(fits).collect()
    }

    fn chosen_one(&self) -> Option<Listed> {
        self.shown()
            .get(self.chosen)
            .map(|listed| (*listed).clone())
    }
}

pub(super) fn listed(info: &SessionInfo<'_>) -> Listed {
    Listed {
        id: info.session_id.to_string(),
        title: info.title.to_string(),
        is_archived: info.archived,
        n_messages: info.message_count,
        updated_ms: clock::parse(&info.updated_at),
    }
}

impl State {
    /// Opens the list and asks for its contents.
    pub(super) fn open_dialogs(&mut self) {
        self.overlay = Overlay::Dialogs(DialogList::default());
        self.ask_for_list();
    }

    /// Asks for the dialogs, archived ones too if they are shown.
    pub(super) fn ask_for_list(&mut self) {
        let include_archived =
            matches!(&self.overlay, Overlay::Dialogs(list) if list.shows_archived);
        self.ask(ClientBody::ListSessions {
            include_archived,
            all_chats: false,
            // Only with an offset the gateway says whether there are more.
            offset: Some(0),
        });
    }

    /// Sends a request whose reply is told by its type.
    pub(super) fn ask(&mut self, body: ClientBody) {
        self.out.push(Effect::Send(ClientMessage {
            body,
            request_id: None,
        }));
    }

    /// Fills the open list. The choice stays on its dialog, wherever that one is now.
    pub(super) fn fill_dialogs(&mut self, sessions: &[SessionInfo<'_>], has_more: bool) {
        if let Overlay::Dialogs(list) = &mut self.overlay {
            let chosen = list.chosen_one();
            list.has_more = has_more;
            list.all = Some(sessions.iter().map(listed).collect());
            let shown = list.shown();
            let same = chosen.and_then(|chosen| shown.iter().position(|now| now.id == chosen.id));
            list.chosen = same.unwrap_or_else(|| step(list.chosen, 0, shown.len()));
        }
    }

    /// Handles a key while the list is open.
    pub(super) fn dialogs_key(&mut self, key: Key, text: Option<char>) {
        let keys = &self.settings.keys;
        let (on_list, on_dialogs, edit) = (
            keys.action(Place::List, key),
            keys.action(Place::Dialogs, key),
            keys.action(Place::Compose, key),
        );
        let Overlay::Dialogs(list) = &mut self.overlay else {
            return;
        };
        let chosen = list.chosen_one();
        match &mut list.mode {
            DialogMode::ConfirmDelete(listed) => {
                let yes = text.is_some_and(|c| c.eq_ignore_ascii_case(&'y'));
                let id = std::mem::take(&mut listed.id);
                list.mode = DialogMode::Choose;
                if yes {
                    self.ask(ClientBody::DeleteSession {
                        session_id: Some(id),
                    });
                }
            }
            DialogMode::Rename(id, line) => match on_list {
                Some(Action::ListBack) => list.mode = DialogMode::Choose,
                Some(Action::ListAccept) => {
                    let title = line.expanded().trim().to_owned();
                    let id = std::mem::take(id);
                    list.mode = DialogMode::Choose;
                    if !title.is_empty() {
                        self.ask(ClientBody::RenameSession {
                            session_id: Some(id),
                            title,
                        });
                    }
                }
                _ => {
                    edit_line(line, edit, text);
                }
            },
            DialogMode::Choose => match (on_dialogs, on_list) {
                (Some(action), _) => self.manage(action, chosen),
                (_, Some(Action::ListUp)) => {
                    list.chosen = step(list.chosen, -1, list.shown().len())
                }
                (_, Some(Action::ListDown)) => {
                    list.chosen = step(list.chosen, 1, list.shown().len())
                }
                (_, Some(Action::ListBack)) => self.overlay = Overlay::None,
                (_, Some(Action::ListAccept)) => {
                    if let Some(listed) = chosen {
                        self.overlay = Overlay::None;
                        self.open(&listed.id);
                    }
                }
                _ => {
                    if edit_line(&mut list.filter, edit, text) {
                        list.chosen = 0;
                    }
                }
            },
        }
    }

    fn manage(&mut self, action: Action, chosen: Option<Listed>) {
        let Overlay::Dialogs(list) = &mut self.overlay else {
            return;
        };
        match (action, chosen) {
            (Action::DialogCreate, _) => {
                self.overlay = Overlay::None;
                self.create_dialog();
            }
            (Action::DialogShowArchived, _) => {
                list.shows_archived = !list.shows_archived;
                self.ask_for_list();
            }
            (Action::DialogRename, Some(listed)) => {
                let mut line = Composer::default();
                line.insert(&listed.title);
                list.mode = DialogMode::Rename(listed.id, line);
            }
            (Action::DialogArchive, Some(listed)) => self.ask(ClientBody::ArchiveSession {
                session_id: Some(listed.id),
            }),
            (Action::DialogDelete, Some(listed)) => {
                list.mode = DialogMode::ConfirmDelete(listed);
            }
            _ => {}
        }
    }

    /// Makes a new dialog and opens it.
    pub(super) fn create_dialog(&mut self) {
        self.ask(ClientBody::CreateSession { title: None });
    }

    /// The open dialog is gone. What is being written goes along to the one that takes its place.
    pub(super) fn leave_gone_dialog(&mut self) {
        let Some(gone) = self.dialog.take() else {
            return;
        };
        self.drafts.remove(&gone.id);
        self.save_draft();
        self.out.push(Effect::SaveDraft {
            session: gone.id,
            text: String::new(),
        });
    }

    /// Opens a dialog.
    pub(super) fn open(&mut self, id: &str) {
        self.loading = Some(id.to_owned());
        self.ask(ClientBody::LoadSession {
            session_id: id.to_owned(),
            detail: true,
            before: None,
        });
    }

    /// Asks for older messages of the open dialog, once at a time.
    pub(super) fn load_older(&mut self) {
        let (Some(session), Some(before)) = (self.session(), self.oldest) else {
            return;
        };
        if !self.has_older || self.is_loading_older {
            return;
        }
        let body = ClientBody::LoadSession {
            session_id: session.to_owned(),
            detail: true,
            before: Some(before),
        };
        self.is_loading_older = true;
        self.ask(body);
    }
}
