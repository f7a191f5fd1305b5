//! What keys do while one writes: editing, history, scrolling, stopping, leaving. Pure.

use super::lists::Chooser;
use super::types::{Effect, Link, NOWHERE, Overlay, State};
use crate::client::keys::{Action, Key, Place};
use crate::client::view::{composer_columns, transcript_context, transcript_rows};

/// Two presses of the interrupting key within this time leave.
const TWICE_MS: u64 = 1_500;
/// The draft is kept this long after the last change.
const DRAFT_MS: u64 = 1_000;
/// This many keys that nobody typed make a paste.
const BURST: usize = 3;

impl State {
    /// Handles a key while one writes.
    pub(super) fn compose_key(&mut self, key: Key, text: Option<char>, quick: bool) {
        self.n_quick = if quick { self.n_quick + 1 } else { 0 };
        let action = self.settings.keys.action(Place::Compose, key);
        let asks_help = text == Some('?') && self.composer.is_empty();
        match action {
            // Without bracketed paste a pasted line break comes as the key that sends.
            Some(Action::Send) if self.n_quick >= BURST => self.type_text("\n"),
            Some(action) => self.act(action),
            None if asks_help => self.act(Action::Help),
            None => {
                if let Some(c) = text.filter(|c| !c.is_control()) {
                    self.type_text(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
    }

    fn type_text(&mut self, text: &str) {
        self.composer.insert(text);
        self.history.leave();
        self.edited();
    }

    /// The draft has changed: the popup follows, and it will be kept.
    pub(super) fn edited(&mut self) {
        self.draft_due = Some(self.now.ms + DRAFT_MS);
        self.refresh_popup();
    }

    /// Carries an action out.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Send => {
                if self.composer.take_backslash() {
                    self.type_text("\n");
                } else if self.composer.is_empty() && self.can_start_gateway() {
                    self.start_gateway();
                } else {
                    self.submit();
                }
            }
            Action::Newline => self.type_text("\n"),
            Action::Escape => self.stop_turn(),
            Action::Interrupt => self.interrupt(),
            Action::Quit if self.composer.is_empty() => self.out.push(Effect::Quit),
            Action::Quit => self.edit(|composer| composer.delete()),
            Action::Up => self.vertical(true),
            Action::Down => self.vertical(false),
            Action::Left => self.move_caret(|composer| composer.left()),
            Action::Right => self.move_caret(|composer| composer.right()),
            Action::WordLeft => self.move_caret(|composer| composer.word_left()),
            Action::WordRight => self.move_caret(|composer| composer.word_right()),
            Action::LineStart => self.move_caret(|composer| composer.home()),
            Action::LineEnd => self.move_caret(|composer| composer.end()),
            Action::Backspace => self.edit(|composer| composer.backspace()),
            Action::Delete => self.edit(|composer| composer.delete()),
            Action::DeleteWord => self.edit(|composer| composer.kill_word()),
            Action::DeleteWordForward => self.edit(|composer| composer.kill_word_forward()),
            Action::KillToEnd => self.edit(|composer| composer.kill_to_end()),
            Action::KillToStart => self.edit(|composer| composer.kill_to_start()),
            Action::Yank => self.edit(|composer| composer.yank()),
            Action::TakeBack => self.take_back(),
            Action::SearchHistory => self.overlay = Overlay::History(Chooser::default()),
            Action::Editor => self.out.push(Effect::Edit(self.composer.expanded())),
            Action::Complete if self.composer.is_empty() => self.start_browsing(),
            Action::Complete => {
                self.popup_closed_for = None;
                self.refresh_popup();
            }
            Action::Menu => self.overlay = Overlay::Menu(Chooser::default()),
            Action::Dialogs => self.open_dialogs(),
            Action::NewDialog => self.create_dialog(),
            Action::ToggleTools => {
                self.tools_open = Some(!self.tools_open.unwrap_or(false));
                self.say(if self.tools_open == Some(true) {
                    "tool output open"
                } else {
                    "tool output folded"
                });
            }
            Action::ToggleReasoning => {
                self.shows_reasoning = !self.shows_reasoning;
                self.say(if self.shows_reasoning {
                    "reasoning shown"
                } else {
                    "reasoning hidden"
                });
            }
            Action::PageUp => self.scroll(-self.page()),
            Action::PageDown => self.scroll(self.page()),
            Action::LineUp => self.scroll(-1),
            Action::LineDown => self.scroll(1),
            Action::Top => {
                self.prepare_layout();
                self.layout.show_top(&self.transcript);
                self.load_older();
            }
            Action::Bottom => self.layout.follow(),
            Action::Help => self.overlay = Overlay::Help { top: 0 },
            Action::Redraw => self.out.push(Effect::Redraw),
            Action::Suspend => self.out.push(Effect::Suspend),
            Action::StartGateway => self.start_gateway(),
            _ => {}
        }
    }

    fn edit(&mut self, edit: impl FnOnce(&mut super::Composer)) {
        edit(&mut self.composer);
        self.history.leave();
        self.edited();
    }

    fn move_caret(&mut self, step: impl FnOnce(&mut super::Composer)) {
        step(&mut self.composer);
        self.refresh_popup();
    }

    fn vertical(&mut self, up: bool) {
        let width = composer_columns(self);
        let widths = self.settings.widths;
        let moved = if up {
            self.composer.up(width, widths)
        } else {
            self.composer.down(width, widths)
        };
        if moved {
            return;
        }
        let draft = self.composer.expanded();
        let prompt = if up {
            self.history.earlier(&draft).map(str::to_owned)
        } else {
            self.history.later()
        };
        if let Some(prompt) = prompt {
            self.composer.set(&prompt);
            self.draft_due = Some(self.now.ms + DRAFT_MS);
            self.popup = None;
        }
    }

    fn interrupt(&mut self) {
        let is_second = self
            .interrupt_ms
            .is_some_and(|at| self.now.ms.saturating_sub(at) <= TWICE_MS);
        if is_second {
            self.out.push(Effect::Quit);
            return;
        }
        self.interrupt_ms = Some(self.now.ms);
        let key = self.settings.keys.hint(Action::Interrupt);
        if self.is_busy() {
            self.stop_turn();
            self.say(format!(
                "stopping · {key} again leaves, the gateway goes on"
            ));
        } else if self.composer.is_empty() {
            self.say(format!("{key} again leaves"));
        } else {
            self.keep_draft_aside();
            self.composer.clear();
            self.edited();
            self.say(format!(
                "draft cleared · up brings it back · {key} again leaves"
            ));
        }
    }

    fn page(&self) -> isize {
        isize::try_from(transcript_rows(self))
            .unwrap_or(isize::MAX)
            .saturating_sub(2)
            .max(1)
    }

    /// Scrolls the transcript; at the top older messages are asked for.
    pub(super) fn scroll(&mut self, by: isize) {
        self.prepare_layout();
        if self.layout.scroll(&self.transcript, by) && by < 0 {
            self.load_older();
        }
    }

    /// Tells the layout how the transcript is shown now.
    pub(in crate::client) fn prepare_layout(&mut self) {
        let context = transcript_context(self);
        let rows = transcript_rows(self);
        self.layout.set(context, rows);
    }

    /// Tells whether nobody listens where the gateway should be, and none is being started.
    pub(in crate::client) fn lacks_gateway(&self) -> bool {
        let refused = matches!(
            self.link,
            Link::Offline {
                is_refused: true,
                ..
            }
        );
        refused && !self.is_starting
    }

    /// Tells whether starting a gateway is on offer.
    pub(in crate::client) fn can_start_gateway(&self) -> bool {
        self.settings.may_start && self.lacks_gateway()
    }

    fn start_gateway(&mut self) {
        if self.can_start_gateway() {
            self.is_starting = true;
            self.say("starting a gateway…");
            self.out.push(Effect::StartGateway);
        }
    }

    /// Notes that the draft is to be kept now.
    pub(super) fn save_draft(&mut self) {
        self.draft_due = None;
        let session = self.session().unwrap_or(NOWHERE).to_owned();
        let text = self.draft();
        if text.is_empty() {
            self.drafts.remove(&session);
        } else {
            self.drafts.insert(session.clone(), text);
        }
        self.has_kept_unsent = !self.unsent().is_empty();
        let text = self.kept();
        self.out.push(Effect::SaveDraft { session, text });
    }
}
