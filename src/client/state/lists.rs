//! Lists with a line to filter them: the command menu and the search in what was written. Pure.

use super::composer::Composer;
use super::send::LOCAL_COMMANDS;
use super::types::{Overlay, State};
use crate::client::keys::{Action, Key, Place, TABLE};

/// A list with a filter.
#[derive(Debug, Default)]
pub(in crate::client) struct Chooser {
    pub(in crate::client) filter: Composer,
    pub(in crate::client) chosen: usize,
}

impl Chooser {
    /// Moves the choice within `n` lines.
    pub(super) fn step(&mut self, by: isize, n: usize) {
        self.chosen = step(self.chosen, by, n);
    }
}

/// Moves an index within `n` lines; stays at the ends.
pub(super) fn step(at: usize, by: isize, n: usize) -> usize {
    at.saturating_add_signed(by).min(n.saturating_sub(1))
}

/// A line of the command menu.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct MenuItem {
    pub(in crate::client) label: String,
    pub(in crate::client) note: String,
    pub(super) does: MenuDoes,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum MenuDoes {
    Action(Action),
    /// Puts a command into the draft.
    Write(String),
}

/// Actions that make no sense in a menu: they move the caret or need what is being typed.
fn is_offered(action: Action) -> bool {
    use Action::{
        Dialogs, Editor, Help, NewDialog, Redraw, SearchHistory, StartGateway, Suspend, TakeBack,
        ToggleReasoning, ToggleTools, Top,
    };
    let offered = [
        NewDialog,
        Dialogs,
        ToggleTools,
        ToggleReasoning,
        SearchHistory,
        Editor,
        TakeBack,
        Top,
        Redraw,
        StartGateway,
        Suspend,
        Help,
    ];
    offered.contains(&action)
}

impl State {
    /// Lists the lines of the command menu that fit the filter.
    pub(in crate::client) fn menu_items(&self, filter: &str) -> Vec<MenuItem> {
        let keys = &self.settings.keys;
        let actions = TABLE
            .iter()
            .filter(|row| row.place == Place::Compose && is_offered(row.action))
            .map(|row| MenuItem {
                label: row.help.to_owned(),
                note: keys.names(row).first().cloned().unwrap_or_default(),
                does: MenuDoes::Action(row.action),
            });
        let commands = self.commands.iter().map(|(name, usage, help)| MenuItem {
            label: format!("{usage}  {help}"),
            note: String::new(),
            does: MenuDoes::Write(name.clone()),
        });
        let local = LOCAL_COMMANDS.iter().map(|(name, help)| MenuItem {
            label: format!("{name}  {help}"),
            note: "here".to_owned(),
            does: MenuDoes::Write((*name).to_owned()),
        });
        let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
        let fits = |item: &MenuItem| {
            let lower = item.label.to_lowercase();
            words.iter().all(|word| lower.contains(word))
        };
        actions.chain(commands).chain(local).filter(fits).collect()
    }

    /// Handles a key while the menu or the search in the history is open.
    pub(super) fn chooser_key(&mut self, key: Key, text: Option<char>) {
        let is_menu = matches!(self.overlay, Overlay::Menu(_));
        let (Overlay::Menu(chooser) | Overlay::History(chooser)) = &mut self.overlay else {
            return;
        };
        let filter = chooser.filter.expanded();
        let chosen = chooser.chosen;
        let n = if is_menu {
            self.menu_items(&filter).len()
        } else {
            self.history.find(&filter).len()
        };
        let again = self.settings.keys.action(Place::Compose, key) == Some(Action::SearchHistory);
        match self.settings.keys.action(Place::List, key) {
            Some(Action::ListUp) => self.step_chooser(-1, n),
            Some(Action::ListDown) => self.step_chooser(1, n),
            Some(Action::ListBack) => self.overlay = Overlay::None,
            Some(Action::ListAccept) if is_menu => {
                self.overlay = Overlay::None;
                if let Some(item) = self.menu_items(&filter).into_iter().nth(chosen) {
                    self.take_menu_item(item);
                }
            }
            Some(Action::ListAccept) => {
                let prompt = self
                    .history
                    .find(&filter)
                    .get(chosen)
                    .map(|prompt| (*prompt).to_owned());
                self.overlay = Overlay::None;
                if let Some(prompt) = prompt {
                    self.keep_draft_aside();
                    self.composer.set(&prompt);
                    self.edited();
                }
            }
            _ if again && !is_menu => self.step_chooser(1, n),
            _ => {
                let (Overlay::Menu(chooser) | Overlay::History(chooser)) = &mut self.overlay else {
                    return;
                };
                if edit_line(
                    &mut chooser.filter,
                    self.settings.keys.action(Place::Compose, key),
                    text,
                ) {
                    chooser.chosen = 0;
                }
            }
        }
    }

    fn step_chooser(&mut self, by: isize, n: usize) {
        if let Overlay::Menu(chooser) | Overlay::History(chooser) = &mut self.overlay {
            chooser.step(by, n);
        }
    }

    fn take_menu_item(&mut self, item: MenuItem) {
        match item.does {
            MenuDoes::Action(action) => self.act(action),
            MenuDoes::Write(command) => {
                self.keep_draft_aside();
                self.composer.set(&format!("{command} "));
                self.edited();
            }
        }
    }

    /// What is being written goes into the history before something else takes its place.
    pub(super) fn keep_draft_aside(&mut self) {
        let draft = self.composer.expanded();
        if !draft.trim().is_empty() {
            self.history.add(&draft);
        }
    }
}

/// Edits a line with the composer's keys; line breaks stay out. Returns true if the key was one of them.
pub(super) fn edit_line(line: &mut Composer, action: Option<Action>, text: Option<char>) -> bool {
    match action {
        Some(Action::Left) => line.left(),
        Some(Action::Right) => line.right(),
        Some(Action::WordLeft) => line.word_left(),
        Some(Action::WordRight) => line.word_right(),
        Some(Action::LineStart) => line.home(),
        Some(Action::LineEnd) => line.end(),
        Some(Action::Backspace) => line.backspace(),
        Some(Action::Delete) => line.delete(),
        Some(Action::DeleteWord) => line.kill_word(),
        Some(Action::DeleteWordForward) => line.kill_word_forward(),
        Some(Action::KillToEnd) => line.kill_to_end(),
        Some(Action::KillToStart) => line.kill_to_start(),
        Some(Action::Yank) => line.yank(),
        _ => match text.filter(|c| !c.is_control()) {
            Some(c) => line.insert(c.encode_utf8(&mut [0; 4])),
            None => return false,
        },
    }
    true
}
