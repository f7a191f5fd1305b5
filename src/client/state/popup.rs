//! The popup over the draft: commands after `/`, paths after `@`. Pure; the names of files come in as events.

use std::ops::Range;

use super::lists::step;
use super::send::LOCAL_COMMANDS;
use super::types::{Effect, State};
use crate::client::keys::{Action, Key, Place};

/// Paths kept of one folder.
const MAX_PATHS: usize = 500;

/// What a popup completes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) enum PopupKind {
    Command,
    Path,
}

/// A line of the popup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct PopupItem {
    /// What is put into the draft.
    pub(super) insert: String,
    pub(in crate::client) label: String,
    pub(in crate::client) note: String,
    /// Whether this client carries it out itself.
    pub(in crate::client) is_local: bool,
}

/// The popup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Popup {
    pub(in crate::client) kind: PopupKind,
    pub(in crate::client) items: Vec<PopupItem>,
    pub(in crate::client) chosen: usize,
    /// What is completed: byte places in the draft.
    range: Range<usize>,
}

impl State {
    /// Opens, fills or closes the popup after the draft has changed.
    pub(super) fn refresh_popup(&mut self) {
        let Some((kind, range)) = self.completed_range() else {
            self.popup = None;
            self.popup_closed_for = None;
            return;
        };
        let token = self.composer.text()[range.clone()].to_owned();
        if self
            .popup_closed_for
            .as_ref()
            .is_some_and(|closed| token.starts_with(closed.as_str()))
        {
            self.popup = None;
            return;
        }
        self.popup_closed_for = None;
        match kind {
            PopupKind::Command => {
                let items = self.command_items(&token);
                self.show_popup(kind, items, range);
            }
            PopupKind::Path => {
                let asked = token[1..].trim_start_matches('"').to_owned();
                self.out.push(Effect::ListPaths(asked));
            }
        }
    }

    /// Finds what stands before the caret and can be completed.
    fn completed_range(&self) -> Option<(PopupKind, Range<usize>)> {
        let text = self.composer.text();
        let before = &text[..self.composer.caret()];
        if before.starts_with('/') && !before.contains(char::is_whitespace) {
            return Some((PopupKind::Command, 0..before.len()));
        }
        let start = before.rfind(char::is_whitespace).map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        before[start..]
            .starts_with('@')
            .then_some((PopupKind::Path, start..before.len()))
    }

    fn command_items(&self, prefix: &str) -> Vec<PopupItem> {
        let prefix = prefix.to_lowercase();
        let remote = self.commands.iter().map(|(name, usage, help)| PopupItem {
            insert: name.clone(),
            label: usage.clone(),
            note: help.clone(),
            is_local: false,
        });
        let local = LOCAL_COMMANDS.iter().map(|(name, help)| PopupItem {
            insert: (*name).to_owned(),
            label: (*name).to_owned(),
            note: (*help).to_owned(),
            is_local: true,
        });
        let mut items: Vec<PopupItem> = remote
            .chain(local)
            .filter(|item| item.insert.starts_with(&prefix))
            .collect();
        items.sort_by_cached_key(|item| std::cmp::Reverse(self.history.n_uses(&item.insert)));
        items
    }

    fn show_popup(&mut self, kind: PopupKind, items: Vec<PopupItem>, range: Range<usize>) {
        let chosen = match &self.popup {
            Some(popup) if popup.kind == kind && popup.items == items => popup.chosen,
            _ => 0,
        };
        self.popup = (!items.is_empty()).then_some(Popup {
            kind,
            items,
            chosen,
            range,
        });
    }

    /// Takes in the names below a path, if that is still what is asked for.
    pub(super) fn take_paths(&mut self, asked: &str, found: Vec<(String, bool)>) {
        let Some((PopupKind::Path, range)) = self.completed_range() else {
            return;
        };
        let now = self.composer.text()[range.clone()].to_owned();
        if now[1..].trim_start_matches('"') != asked {
            return;
        }
        let (folder, name) = asked
            .rfind('/')
            .map_or(("", asked), |at| asked.split_at(at + 1));
        let lower = name.to_lowercase();
        let fits = |candidate: &str| {
            let hidden = candidate.starts_with('.') && !name.starts_with('.');
            candidate.to_lowercase().starts_with(&lower) && !hidden
        };
        let items = found
            .into_iter()
            .filter(|(candidate, _)| fits(candidate))
            .take(MAX_PATHS);
        let items = items
            .map(|(candidate, is_folder)| {
                let path = format!("{folder}{candidate}{}", if is_folder { "/" } else { "" });
                let quoted = path.contains(char::is_whitespace);
                PopupItem {
                    insert: if quoted && !is_folder {
                        format!("@\"{path}\"")
                    } else {
                        format!("@{path}")
                    },
                    label: path,
                    note: String::new(),
                    is_local: false,
                }
            })
            .collect();
        self.show_popup(PopupKind::Path, items, range);
    }

    /// Offers a key to the popup; true if it was taken.
    pub(super) fn popup_key(&mut self, key: Key) -> bool {
        let Some(popup) = &mut self.popup else {
            return false;
        };
        match self.settings.keys.action(Place::List, key) {
            Some(Action::ListUp) => popup.chosen = step(popup.chosen, -1, popup.items.len()),
            Some(Action::ListDown) => popup.chosen = step(popup.chosen, 1, popup.items.len()),
            Some(Action::ListBack) => {
                self.popup_closed_for = Some(self.composer.text()[popup.range.clone()].to_owned());
                self.popup = None;
                // Esc closes the popup; Ctrl+C means more than that.
                return self.settings.keys.action(Place::Compose, key) == Some(Action::Escape);
            }
            Some(Action::ListAccept) => return self.accept_popup(key),
            _ => return false,
        }
        true
    }

    /// Completes; a command that stands there in full is sent by the key that sends.
    fn accept_popup(&mut self, key: Key) -> bool {
        let Some(popup) = self.popup.take() else {
            return false;
        };
        let Some(item) = popup.items.into_iter().nth(popup.chosen) else {
            return false;
        };
        let written = self.composer.text()[popup.range.clone()].to_owned();
        let sends = self.settings.keys.action(Place::Compose, key) == Some(Action::Send);
        if sends && written == item.insert {
            return false;
        }
        let goes_on = item.insert.ends_with('/');
        let insert = if goes_on {
            item.insert
        } else {
            format!("{} ", item.insert)
        };
        self.composer.replace(popup.range, &insert);
        self.edited();
        true
    }
}
