//! The terminal's modes: taken on entering, given back on every way out, a panic included. Runs on `main`; the panic hook on
//! whichever thread panics.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, KeyboardEnhancementFlags,
    PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::state::State;
use super::view::view;

/// Whether this process has the terminal in its own modes.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Button presses and the wheel, told in the form that has no upper column (xterm control sequences, "Mouse Tracking").
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
/// The same and every movement with a button held.
const MOUSE_ALL: &[u8] = b"\x1b[?1000h\x1b[?1002h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1002l\x1b[?1000l";
/// Longest text that is copied: terminals drop longer ones.
const MAX_COPY_BYTES: usize = 100_000;

/// What the mouse is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mouse {
    /// Wheel and clicks; text is selected with shift held.
    #[default]
    Wheel,
    /// Nothing: the terminal keeps the mouse.
    Off,
    /// Drags are taken too.
    All,
}

impl Mouse {
    /// Finds a setting by its name.
    pub fn by_name(name: &str) -> Option<Self> {
        [
            ("wheel", Self::Wheel),
            ("off", Self::Off),
            ("all", Self::All),
        ]
        .into_iter()
        .find_map(|(known, mouse)| (known == name).then_some(mouse))
    }
}

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// The terminal while the client has it.
pub(super) struct Screen {
    terminal: Terminal<Backend>,
    mouse: Mouse,
}

impl Screen {
    /// Takes the terminal. From here on a panic gives it back before it is reported.
    pub(super) fn take(mouse: Mouse) -> io::Result<Self> {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            previous(info);
        }));
        enter(mouse)?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, io::stdout()));
        let terminal = match Terminal::new(backend) {
            Ok(terminal) => terminal,
            Err(error) => {
                give_back();
                return Err(error);
            }
        };
        Ok(Self { terminal, mouse })
    }

    /// Draws the state, in one piece for terminals that know how.
    pub(super) fn draw(&mut self, state: &mut State) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| view(state, frame))?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }

    /// Makes the next drawing write every cell.
    pub(super) fn redraw(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask the terminal where its cursor is, and the thread that reads the keys could take the answer.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Gives the terminal away for a while, and takes it again; tells whether that worked.
    pub(super) fn lend<T>(&mut self, to: impl FnOnce() -> T) -> (T, io::Result<()>) {
        give_back();
        let result = to();
        (result, enter(self.mouse).and_then(|()| self.redraw()))
    }

    /// Puts a text into the clipboard by OSC 52; false if it is too long for that.
    pub(super) fn copy(&mut self, text: &str) -> io::Result<bool> {
        if text.len() > MAX_COPY_BYTES {
            return Ok(false);
        }
        let out = self.terminal.backend_mut();
        write!(out, "\x1b]52;c;{}\x07", STANDARD.encode(text))?;
        out.flush()?;
        Ok(true)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter(mouse: Mouse) -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    queue!(out, EnterAlternateScreen, EnableBracketedPaste)?;
    // Terminals that do not know these flags ignore them; the others tell shift+enter from enter.
    queue!(
        out,
        PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES)
    )?;
    match mouse {
        Mouse::Wheel => out.write_all(MOUSE_ON)?,
        Mouse::All => out.write_all(MOUSE_ALL)?,
        Mouse::Off => {}
    }
    out.flush()
}

/// Restores the terminal's modes; does nothing if they are not changed. A closed terminal is no reason to fail.
pub(super) fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = out.write_all(MOUSE_OFF);
    let _ = queue!(
        out,
        PopKeyboardEnhancementFlags,
        DisableBracketedPaste,
        EndSynchronizedUpdate,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = out.flush();
    let _ = disable_raw_mode();
}
