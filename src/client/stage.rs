//! The client without a terminal and a gateway, for measurements: frames of the gateway and keys go in, drawing is timed.
//!
//! Draws into memory; what a real terminal costs on top is writing the changed cells.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::clock::Clock;
use super::keys::{Key, Keys};
use super::net::NetEvent;
use super::state::{Event, Moment, Settings, Start, State, update};
use super::text::Widths;
use super::theme::Theme;
use super::view::view;
use crate::wire::ServerMessage;

/// The client on a stage.
pub struct Stage {
    state: State,
    terminal: Terminal<TestBackend>,
    ms: u64,
}

impl Stage {
    /// Makes a connected client on a screen of this size.
    pub fn new(columns: u16, rows: u16) -> Self {
        let settings = Settings {
            keys: Keys::default(),
            widths: Widths::default(),
            clock: Clock::default(),
            address: String::new(),
            start_command: None,
            may_start: false,
            is_chinese: true,
            id_prefix: "stage".to_owned(),
        };
        let state = State::new(settings, Theme::Auto, Start::Current, None);
        let backend = TestBackend::new(columns, rows);
        let mut stage = Self {
            state,
            terminal: Terminal::new(backend).expect("a screen in memory cannot fail"),
            ms: 0,
        };
        stage.event(Event::Resize(columns, rows));
        stage.event(Event::Net(NetEvent::Up("ws://127.0.0.1/ws".to_owned())));
        stage
    }

    fn event(&mut self, event: Event) {
        self.ms += 10;
        let now = Moment {
            ms: self.ms,
            unix_ms: 1_772_373_720_000,
        };
        update(&mut self.state, now, event);
    }

    /// Takes in a frame of the gateway; one that cannot be read is dropped.
    pub fn frame(&mut self, json: &str) {
        if let Ok(message) = ServerMessage::parse(json) {
            self.event(Event::Net(NetEvent::Frame(Box::new(message))));
        }
    }

    /// Presses the key that scrolls a page up.
    pub fn page_up(&mut self) {
        let event = KeyEvent::new(KeyCode::PageUp, KeyModifiers::NONE);
        self.event(Event::Key {
            key: Key::of(&event),
            text: None,
            quick: false,
        });
    }

    /// Turns the wheel by a notch, upwards if negative.
    pub fn wheel(&mut self, by: i16) {
        self.event(Event::Wheel(by));
    }

    /// Changes the size of the screen.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.terminal.backend_mut().resize(columns, rows);
        self.event(Event::Resize(columns, rows));
    }

    /// Draws.
    pub fn draw(&mut self) {
        let state = &mut self.state;
        self.terminal
            .draw(|frame| view(state, frame))
            .expect("a screen in memory cannot fail");
    }

    /// Returns what is on screen, a line each; behind a wide character stands a blank.
    pub fn screen(&self) -> String {
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width.max(1));
        let rows = buffer.content().chunks(width);
        let lines = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
        lines.collect::<Vec<_>>().join("\n")
    }
}
