//! The one function that changes the state.

use super::types::{Effect, Event, Moment, Overlay, State};
use crate::client::keys::{Action, Key, Place};

/// Rows that one notch of the wheel scrolls.
const WHEEL_ROWS: isize = 3;

/// Changes the state by what happened; returns what is to be done, in order.
pub(in crate::client) fn update(state: &mut State, now: Moment, event: Event) -> Vec<Effect> {
    state.now = now;
    let is_tick = matches!(event, Event::Tick);
    state.handle(event);
    state.expire(is_tick);
    if !is_tick {
        state.is_dirty = true;
    }
    std::mem::take(&mut state.out)
}

impl State {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Key { key, text, quick } => {
                self.key(key, text, quick);
                self.last_key_ms = self.now.ms;
            }
            Event::Paste(text) => {
                self.paste(&text);
                self.last_key_ms = self.now.ms;
            }
            Event::Resize(columns, rows) => {
                self.columns = columns;
                self.rows = rows;
            }
            Event::Wheel(by) => self.scroll(isize::from(by) * WHEEL_ROWS),
            Event::Click { row } => self.click(row),
            Event::Net(event) => self.on_net(event),
            Event::Tick => {}
            Event::Paths { asked, found } => self.take_paths(&asked, found),
            Event::Edited(Ok(text)) => {
                self.history.leave();
                self.composer.set(text.trim_end_matches('\n'));
                self.edited();
            }
            Event::Edited(Err(why)) => self.say(why),
            Event::Started(result) => match result {
                Ok(said) => {
                    self.say(said);
                    self.out.push(Effect::RetryNow);
                }
                Err(why) => {
                    self.is_starting = false;
                    self.say(why);
                }
            },
            Event::Note(text) => self.say(text),
            Event::End => self.out.push(Effect::Quit),
        }
    }

    fn key(&mut self, key: Key, text: Option<char>, quick: bool) {
        let leaves = self.settings.keys.action(Place::Compose, key) == Some(Action::Suspend);
        if leaves {
            self.act(Action::Suspend);
            return;
        }
        match self.overlay {
            Overlay::Help { .. } => self.help_key(key),
            Overlay::Menu(_) | Overlay::History(_) => self.chooser_key(key, text),
            Overlay::Dialogs(_) => self.dialogs_key(key, text),
            Overlay::None => {
                if self.approval_key(key) || self.popup_key(key) {
                    return;
                }
                if self.browse.is_some() && self.browse_key(key, text) {
                    return;
                }
                self.compose_key(key, text, quick);
            }
        }
    }

    fn help_key(&mut self, key: Key) {
        let keys = &self.settings.keys;
        let (on_list, common) = (
            keys.action(Place::List, key),
            keys.action(Place::Compose, key),
        );
        let page = usize::from(self.rows.saturating_sub(4)).max(1);
        let Overlay::Help { top } = &mut self.overlay else {
            return;
        };
        match (on_list, common) {
            (_, Some(Action::PageDown)) => *top += page,
            (_, Some(Action::PageUp)) => *top = top.saturating_sub(page),
            (Some(Action::ListUp), _) => *top = top.saturating_sub(1),
            (Some(Action::ListDown), _) => *top += 1,
            (_, Some(Action::Top | Action::LineStart)) => *top = 0,
            _ => self.overlay = Overlay::None,
        }
    }

    fn paste(&mut self, text: &str) {
        let line = text.lines().next().unwrap_or_default();
        match &mut self.overlay {
            Overlay::Menu(chooser) | Overlay::History(chooser) => chooser.filter.insert(line),
            Overlay::Dialogs(list) => match &mut list.mode {
                super::DialogMode::Rename(_, title) => title.insert(line),
                super::DialogMode::ConfirmDelete(_) => {}
                super::DialogMode::Choose => {
                    list.filter.insert(line);
                    list.chosen = 0;
                }
            },
            Overlay::Help { .. } => {}
            Overlay::None => {
                self.browse = None;
                self.composer.paste(text);
                self.history.leave();
                self.edited();
            }
        }
    }

    /// A click on a call or on reasoning opens or folds it.
    fn click(&mut self, row: u16) {
        if !matches!(self.overlay, Overlay::None) {
            return;
        }
        let Some(uid) = crate::client::view::entry_at(self, row) else {
            return;
        };
        let index = self.transcript.index_of(uid);
        let tools_open = self.tools_open;
        let shows_reasoning = self.shows_reasoning;
        self.transcript.change(index, |entry| {
            use super::transcript::{Body, CallState, Fold};
            let is_open = match (&entry.body, entry.fold) {
                (Body::Call(_) | Body::Reasoning { .. }, Fold::Open) => true,
                (Body::Call(_) | Body::Reasoning { .. }, Fold::Folded) => false,
                (Body::Call(call), Fold::Auto) => {
                    tools_open.unwrap_or(call.state == CallState::Failed)
                }
                (Body::Reasoning { .. }, Fold::Auto) => shows_reasoning,
                _ => return,
            };
            entry.fold = if is_open { Fold::Folded } else { Fold::Open };
        });
    }

    /// Lets go what has had its time. Notes what changes on screen by time alone.
    fn expire(&mut self, is_tick: bool) {
        if self
            .note
            .as_ref()
            .is_some_and(|(_, until)| *until <= self.now.ms)
        {
            self.note = None;
            self.is_dirty = true;
        }
        if self.draft_due.is_some_and(|due| due <= self.now.ms) {
            self.save_draft();
        }
        if is_tick && (self.is_busy() || !self.approvals.is_empty()) {
            self.is_dirty = true;
        }
    }
}
