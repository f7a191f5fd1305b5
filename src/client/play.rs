//! Plays the client in tests: keys and frames go into `update`, the screen is drawn on a test terminal.

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::CellDiffOption;
use unicode_width::UnicodeWidthStr;

use super::clock::Clock;
use super::keys::{Key, Keys};
use super::net::NetEvent;
use super::state::{Effect, Event, Moment, Settings, Start, State, update};
use super::text::Widths;
use super::theme::Theme;
use super::view::view;
use crate::wire::{ClientBody, ClientMessage, ServerMessage};

/// The dialog most tests are in.
pub(super) const SESSION: &str = "cli_chat:local:3";
/// 2026-03-01T14:02:00Z.
pub(super) const BEGIN_MS: i64 = 1_772_373_720_000;

/// A client without a terminal and a gateway.
pub(super) struct Play {
    pub(super) state: State,
    pub(super) ms: u64,
    /// What was asked for and not yet looked at.
    pub(super) effects: Vec<Effect>,
}

impl Play {
    /// Begins offline on 80×24.
    pub(super) fn new() -> Self {
        Self::with(Start::Current, None, Widths::default())
    }

    pub(super) fn with(start: Start, prompt: Option<&str>, widths: Widths) -> Self {
        let settings = Settings {
            keys: Keys::default(),
            widths,
            clock: Clock::default(),
            address: "ws 127.0.0.1:19876".to_owned(),
            start_command: Some("picobot gateway".to_owned()),
            may_start: true,
            is_chinese: true,
            id_prefix: "t".to_owned(),
        };
        let state = State::new(settings, Theme::Auto, start, prompt.map(str::to_owned));
        Self {
            state: state.with_memory(vec!["早先的问题".to_owned()], BTreeMap::new()),
            ms: 1_000,
            effects: Vec::new(),
        }
    }

    /// Begins in an open, empty dialog.
    pub(super) fn online() -> Self {
        let mut play = Self::new();
        play.connect();
        play.load("");
        play.effects.clear();
        play
    }

    pub(super) fn connect(&mut self) {
        self.event(Event::Net(NetEvent::Up(
            "ws://127.0.0.1:19876/ws".to_owned(),
        )));
        self.frame(&format!(
            r#"{{"type":"session_established","session_id":"{SESSION}","title":"整理下载目录"}}"#
        ));
        self.frame(
            r#"{"type":"slash_commands_list","commands":[{"name":"/new","usage":"/new [title]","description":"Begin a new dialog"},{"name":"/stop","usage":"/stop [id]","description":"Stop the turn"},{"name":"/rename","usage":"/rename <title>","description":"Name the dialog"}]}"#,
        );
    }

    /// Loads the dialog with these messages, JSON objects joined by commas.
    pub(super) fn load(&mut self, messages: &str) {
        self.frame(&format!(
            r#"{{"type":"session_loaded","session_id":"{SESSION}","messages":[{messages}],"has_more":false,"title":"整理下载目录","model":"qwen-plus","token_limit":128000,"context_tokens":39600}}"#
        ));
    }

    pub(super) fn event(&mut self, event: Event) {
        let now = Moment {
            ms: self.ms,
            unix_ms: BEGIN_MS + i64::try_from(self.ms).unwrap(),
        };
        self.effects.extend(update(&mut self.state, now, event));
    }

    pub(super) fn frame(&mut self, json: &str) {
        let message = ServerMessage::parse(json).unwrap_or_else(|_| panic!("{json}"));
        self.event(Event::Net(NetEvent::Frame(Box::new(message))));
    }

    /// A frame of the open dialog with a request id.
    pub(super) fn about(&mut self, id: &str, kind: &str, fields: &str) {
        let comma = if fields.is_empty() { "" } else { "," };
        self.frame(&format!(
            r#"{{"type":"{kind}","session_id":"{SESSION}","request_id":"{id}"{comma}{fields}}}"#
        ));
    }

    /// Presses a key by its name; time passes.
    pub(super) fn key(&mut self, name: &str) {
        self.ms += 400;
        let key = Key::parse(name).unwrap_or_else(|| panic!("{name}"));
        let mut chars = name.chars();
        let text = chars.next().filter(|_| chars.next().is_none());
        self.event(Event::Key {
            key,
            text,
            quick: false,
        });
    }

    /// Types a text.
    pub(super) fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.ms += 50;
            let event = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
            self.event(Event::Key {
                key: Key::of(&event),
                text: Some(c),
                quick: false,
            });
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        self.type_text(text);
        self.key("enter");
    }

    /// Takes the messages that were to be sent.
    pub(super) fn sent(&mut self) -> Vec<ClientMessage> {
        let effects = std::mem::take(&mut self.effects);
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Send(message) => Some(message),
                _ => None,
            })
            .collect()
    }

    /// Takes the inputs that were to be sent: id and text.
    pub(super) fn inputs(&mut self) -> Vec<(Option<String>, String)> {
        let messages = self.sent().into_iter();
        messages
            .filter_map(|message| match message.body {
                ClientBody::UserInput { content, .. } => Some((message.request_id, content)),
                _ => None,
            })
            .collect()
    }

    /// Draws the screen in this size; the caret shows as coordinates below.
    pub(super) fn screen(&mut self, columns: u16, rows: u16) -> String {
        self.event(Event::Resize(columns, rows));
        self.draw(columns, rows)
    }

    /// Draws the screen without telling the state of a new size.
    pub(super) fn draw(&mut self, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| view(&mut self.state, frame)).unwrap();
        let backend = terminal.backend();
        let buffer = backend.buffer();
        let mut out = String::new();
        for y in 0..rows {
            let mut line = String::new();
            let mut skip = 0;
            for x in 0..columns {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let cell = &buffer[(x, y)];
                let width = match cell.diff_option {
                    CellDiffOption::ForcedWidth(width) => width.get(),
                    _ => u16::try_from(cell.symbol().width()).unwrap(),
                };
                assert!(
                    x + width <= columns,
                    "{:?} straddles the edge",
                    cell.symbol()
                );
                skip = width.saturating_sub(1);
                line.push_str(cell.symbol());
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        let caret = backend.cursor_position();
        let seen = if backend.cursor_visible() {
            ""
        } else {
            " (hidden)"
        };
        out.push_str(&format!("caret {},{}{seen}", caret.x, caret.y));
        out
    }
}
