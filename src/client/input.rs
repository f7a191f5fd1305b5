//! The `tui-input` thread: reads the terminal. It reads on only after `main` has dealt with what came: so an external editor has
//! the terminal for itself.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use crossterm::event::{
    self, Event, KeyCode, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::keys::Key;
use super::state;
use crate::threads::{Thread, spawn};

/// Keys closer than this were not typed.
const QUICK: Duration = Duration::from_millis(8);
/// Events handed over at once.
const MAX_BATCH: usize = 1_024;
const STACK_BYTES: usize = 256 * 1024;

/// Terminal events that were there together.
pub(super) struct Batch {
    /// Whether the first one waited already while nobody read: it came right behind the last one of the batch before.
    waited: bool,
    /// With the times at which they were read.
    events: Vec<(Instant, Event)>,
}

/// The thread from outside.
pub(super) struct Input {
    go: Sender<()>,
    thread: Thread,
    /// What comes from it; ends if the terminal cannot be read.
    pub(super) batches: Receiver<Batch>,
}

impl Input {
    /// Starts reading.
    pub(super) fn start() -> std::io::Result<Self> {
        let (send, batches) = bounded(1);
        let (go, wait) = bounded(1);
        let thread = spawn("tui-input", STACK_BYTES, move || {
            while let Some(batch) = read() {
                if send.send(batch).is_err() || wait.recv().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            go,
            thread,
            batches,
        })
    }

    /// Lets the thread read on.
    pub(super) fn go_on(&self) {
        let _ = self.go.try_send(());
    }

    /// Ends the thread: a change of size, real or not, is what it wakes for.
    pub(super) fn stop(self, limit: Duration) {
        drop((self.go, self.batches));
        let _ = kill_process(getpid(), Signal::WINCH);
        let _ = self.thread.join_within(limit);
    }
}

/// Waits for an event and takes those that are there already.
fn read() -> Option<Batch> {
    let is_known = event::poll(Duration::ZERO).unwrap_or(false);
    let is_left = !is_known && is_readable();
    if is_left {
        make_known();
    }
    let waited = is_known || is_left;
    let first = event::read().ok()?;
    let mut events = vec![(Instant::now(), first)];
    while events.len() < MAX_BATCH && event::poll(Duration::ZERO).unwrap_or(false) {
        events.push((Instant::now(), event::read().ok()?));
    }
    Some(Batch { waited, events })
}

/// Tells whether the terminal holds something.
fn is_readable() -> bool {
    let input = std::io::stdin();
    let mut fds = [PollFd::new(&input, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
}

/// Lets crossterm 0.29 see what it left in the kernel: it waits for edges (epoll), but stops reading at the first event of
/// a burst. Setting the modes anew, without a change, wakes those who wait for the terminal (`n_tty_set_termios` of Linux).
fn make_known() {
    let input = std::io::stdin();
    let set = tcgetattr(&input).and_then(|modes| tcsetattr(&input, OptionalActions::Now, &modes));
    if let Err(error) = set {
        log::debug!("the rest of a burst comes with the next key: {error}");
    }
}

/// Turns terminal events into the state's.
#[derive(Default)]
pub(super) struct Translator {
    last_key: Option<Instant>,
}

impl Translator {
    /// Returns what a batch means, without what means nothing here.
    pub(super) fn events(&mut self, batch: Batch) -> impl Iterator<Item = state::Event> {
        let mut waited = batch.waited;
        batch
            .events
            .into_iter()
            .filter_map(move |(at, event)| self.event(at, event, std::mem::take(&mut waited)))
    }

    /// `waited`: how long before `at` the event came is not known.
    fn event(&mut self, at: Instant, event: Event, waited: bool) -> Option<state::Event> {
        Some(match event {
            Event::Key(key) if key.kind == KeyEventKind::Release => return None,
            Event::Key(key) => {
                let quick = self
                    .last_key
                    .is_some_and(|last| waited || at.saturating_duration_since(last) < QUICK);
                self.last_key = Some(at);
                let held = key
                    .modifiers
                    .intersection(KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SUPER);
                let text = match key.code {
                    KeyCode::Char(c) if held.is_empty() => Some(c),
                    _ => None,
                };
                let key = Key::of(&key);
                state::Event::Key { key, text, quick }
            }
            Event::Paste(text) => state::Event::Paste(text),
            Event::Resize(columns, rows) => state::Event::Resize(columns, rows),
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => state::Event::Wheel(-1),
                MouseEventKind::ScrollDown => state::Event::Wheel(1),
                MouseEventKind::Down(MouseButton::Left) => state::Event::Click { row: mouse.row },
                _ => return None,
            },
            Event::FocusGained | Event::FocusLost => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossterm::event::KeyEvent;

    /// Which keys of two batches count as quick, the second read half a second after the first.
    fn quick(waited: bool) -> Vec<bool> {
        let key = |at| {
            let key = KeyEvent::new(KeyCode::Char('a'), KeyModifiers::NONE);
            (at, Event::Key(key))
        };
        let first = Instant::now();
        let later = first + Duration::from_millis(500);
        let mut translator = Translator::default();
        let mut out = Vec::new();
        for (waited, at) in [(false, first), (waited, later)] {
            let events = vec![key(at), key(at + Duration::from_millis(1))];
            out.extend(
                translator
                    .events(Batch { waited, events })
                    .map(|event| matches!(event, state::Event::Key { quick: true, .. })),
            );
        }
        out
    }

    #[test]
    fn a_paste_that_is_read_in_pieces_stays_one() {
        assert_eq!(quick(true), [false, true, true, true]);
        assert_eq!(quick(false), [false, true, false, true]);
    }
}
