//! The main loop: one `select!` over the terminal, the gateway, signals and the next due time. Runs on `main`.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, at, bounded, never, select};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::{Handle, Signals};

use super::clock::Clock;
use super::editor;
use super::files::Files;
use super::input::{Batch, Input, Translator};
use super::keys::Keys;
use super::net::{Net, NetEvent};
use super::options::{ClientError, Ended, Opening, Options, StartGateway};
use super::outside;
use super::state::{Effect, Event, Moment, NOWHERE, Settings, Start, State, short_address, update};
use super::suspend;
use super::terminal::{Screen, give_back};
use super::text::{Widths, clean_line};
use super::view::SPIN_MS;
use crate::observability::panic_point;
use crate::threads::{Thread, spawn};
use crate::wire::ClientMessage;

/// Shortest time between two frames, and over a network terminal.
const FRAME: Duration = Duration::from_millis(16);
const FRAME_OVER_SSH: Duration = Duration::from_millis(33);
/// Longest pause after a frame: a terminal that was held for minutes must not hold the next frame.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Signs of work turn more slowly over a network terminal.
const SPIN_OVER_SSH_MS: u64 = 1_000;
/// Signals take no longer than this from the kernel to the loop.
const LATE_SIGNAL: Duration = Duration::from_secs(1);
/// How long the threads are waited for at the end.
const END_LIMIT: Duration = Duration::from_millis(300);
/// Messages of the gateway taken in a row before anything else has its turn.
const MAX_ROW: usize = 256;
const STACK_BYTES: usize = 128 * 1024;

/// Runs the client until the person leaves, a signal ends it or it fails. The terminal is as before in each case.
pub fn run(options: Options) -> Result<Ended, ClientError> {
    let (keys, key_faults) = Keys::new(&options.keys);
    let is_ssh = options.env.contains_key("SSH_CONNECTION");
    let files = Files::new(&options.state_dir);
    let settings = Settings {
        keys,
        widths: Widths {
            ambiguous_is_wide: options.ambiguous_is_wide,
        },
        clock: Clock::local(),
        address: short_address(&(options.endpoint.url)()),
        start_command: options.start_command.clone(),
        may_start: options.start_gateway.is_some(),
        is_chinese: is_chinese(&options),
        id_prefix: uuid::Uuid::now_v7().to_string(),
    };
    let start = match &options.opening {
        Opening::Current => Start::Current,
        Opening::Newest => Start::Newest,
        Opening::New => Start::New,
        Opening::Named(name) => Start::Pick(name.clone()),
    };
    let mut state = State::new(settings, options.theme, start, options.prompt.clone())
        .with_memory(files.load_history(), files.load_drafts());
    (state.columns, state.rows) = crossterm::terminal::size()?;
    let signals = SignalThread::start()?;
    let mut screen = Screen::take(options.mouse)?;
    // The first frame comes before the network.
    screen.draw(&mut state)?;
    state.is_dirty = false;
    let client = Client {
        began: Instant::now(),
        screen,
        files,
        input: Input::start()?,
        net: Net::start(options.endpoint)?,
        start_gateway: options.start_gateway,
        root: options.root,
        database: options.database,
        state_dir: options.state_dir,
        env: options.env,
        translator: Translator::default(),
        frame: if is_ssh { FRAME_OVER_SSH } else { FRAME },
        spin_ms: if is_ssh { SPIN_OVER_SSH_MS } else { SPIN_MS },
        caught: signals.caught.clone(),
        lent: None,
        signal: None,
    };
    let result = client.run(&mut state);
    signals.stop();
    let signal = result?;
    Ok(Ended {
        session: state.session().map(clean_line),
        n_unsent: state.unsent().len(),
        is_busy: state.goes_on(),
        signal,
        key_faults,
    })
}

/// Whether the fixed words are Chinese, after the locale variables in the order of their precedence.
fn is_chinese(options: &Options) -> bool {
    ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| options.env.get(*name).filter(|value| !value.is_empty()))
        .is_some_and(|locale| locale.starts_with("zh"))
}

struct Client {
    began: Instant,
    screen: Screen,
    files: Files,
    input: Input,
    net: Net,
    start_gateway: Option<StartGateway>,
    root: std::path::PathBuf,
    database: std::path::PathBuf,
    state_dir: std::path::PathBuf,
    env: std::collections::BTreeMap<String, String>,
    translator: Translator,
    frame: Duration,
    spin_ms: u64,
    /// Signals sent to this process.
    caught: Receiver<i32>,
    /// When an editor last gave the terminal back.
    lent: Option<Instant>,
    /// The signal that ends it.
    signal: Option<i32>,
}

/// Whether the loop goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    GoOn,
    End,
}

impl Client {
    /// Runs the loop; a panic in it keeps the draft like every other end. Returns the signal that ended it.
    fn run(mut self, state: &mut State) -> Result<Option<i32>, ClientError> {
        let looped = catch_unwind(AssertUnwindSafe(|| self.turn(state)));
        give_back();
        let session = state.session().unwrap_or(NOWHERE).to_owned();
        let saved = self.files.save_draft(&session, &state.kept());
        if let Err(error) = saved {
            log::error!("the draft could not be kept: {error}");
        }
        self.net.stop(END_LIMIT);
        self.input.stop(END_LIMIT);
        match looped {
            Ok(ended) => ended.map(|()| self.signal).map_err(ClientError::from),
            Err(_) => Err(ClientError::Panicked),
        }
    }

    fn moment(&self) -> Moment {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Moment {
            ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn turn(&mut self, state: &mut State) -> io::Result<()> {
        let mut next_frame = Instant::now();
        loop {
            let now = Instant::now();
            if state.is_dirty && now >= next_frame {
                state.now = self.moment();
                self.screen.draw(state)?;
                state.is_dirty = false;
                let drawn = Instant::now();
                next_frame = drawn + pause(self.frame, drawn - now);
            }
            let due = state
                .next_due(self.spin_ms)
                .map(|ms| self.began + Duration::from_millis(ms));
            let frame = state.is_dirty.then_some(next_frame);
            let timer = match due.into_iter().chain(frame).min() {
                Some(time) => at(time),
                None => never(),
            };
            let flow = select! {
                recv(self.input.batches) -> batch => match batch {
                    Ok(batch) => self.typed(state, batch)?,
                    Err(_) => Flow::End,
                },
                recv(self.net.events) -> event => match event {
                    Ok(event) => self.heard(state, event)?,
                    Err(_) => return Err(io::Error::other("the connection's thread has ended")),
                },
                recv(self.caught) -> signal => self.signalled(state, signal.unwrap_or(SIGTERM))?,
                recv(timer) -> _ => match due {
                    Some(due) if due <= Instant::now() => self.handle(state, Event::Tick)?,
                    _ => Flow::GoOn,
                },
            };
            if flow == Flow::End {
                return Ok(());
            }
        }
    }

    fn typed(&mut self, state: &mut State, batch: Batch) -> io::Result<Flow> {
        let events: Vec<Event> = self.translator.events(batch).collect();
        for event in events {
            if self.handle(state, event)? == Flow::End {
                return Ok(Flow::End);
            }
        }
        panic_point("chat-keys");
        self.input.go_on();
        Ok(Flow::GoOn)
    }

    fn heard(&mut self, state: &mut State, first: NetEvent) -> io::Result<Flow> {
        let mut next = Some(first);
        for _ in 0..MAX_ROW {
            let Some(event) = next.take() else { break };
            if self.handle(state, Event::Net(event))? == Flow::End {
                return Ok(Flow::End);
            }
            next = self.net.events.try_recv().ok();
        }
        match next {
            Some(event) => self.handle(state, Event::Net(event)),
            None => Ok(Flow::GoOn),
        }
    }

    fn signalled(&mut self, state: &mut State, signal: i32) -> io::Result<Flow> {
        // In the client's own modes the keyboard sends no signals: one that comes late was a key for the editor.
        let is_late = self.lent.is_some_and(|at| at.elapsed() < LATE_SIGNAL);
        match signal {
            SIGINT | SIGTSTP if is_late => return Ok(Flow::GoOn),
            SIGTSTP => return self.suspend(state),
            _ => {}
        }
        self.signal = Some(signal);
        self.handle(state, Event::End)
    }

    /// Lets the state change, and carries out what it asks for.
    fn handle(&mut self, state: &mut State, event: Event) -> io::Result<Flow> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in update(state, self.moment(), event) {
                if self.carry_out(state, effect, &mut events)? == Flow::End {
                    return Ok(Flow::End);
                }
            }
        }
        Ok(Flow::GoOn)
    }

    fn carry_out(
        &mut self,
        state: &mut State,
        effect: Effect,
        events: &mut VecDeque<Event>,
    ) -> io::Result<Flow> {
        match effect {
            Effect::Send(message) => self.net.send(ClientMessage::to_json(&message)),
            Effect::Remember(prompt) => note_failure(
                self.files.remember(&prompt),
                "the prompt could not be kept",
                events,
            ),
            Effect::SaveDraft { session, text } => {
                note_failure(
                    self.files.save_draft(&session, &text),
                    "the draft could not be kept",
                    events,
                );
            }
            Effect::ListPaths(asked) => {
                let home = self
                    .env
                    .get("HOME")
                    .map(std::path::PathBuf::from)
                    .unwrap_or_default();
                let found = outside::list(&self.root, &home, &self.database, &asked);
                events.push_back(Event::Paths { asked, found });
            }
            Effect::Copy(text) => {
                if !self.screen.copy(&text)? {
                    events.push_back(Event::Note(
                        "too long for the clipboard; open it and select".to_owned(),
                    ));
                }
            }
            Effect::Edit(text) => {
                let (state_dir, env, caught) = (&self.state_dir, &self.env, &self.caught);
                let (edited, taken) = self
                    .screen
                    .lend(|| editor::edit(&text, state_dir, env, caught));
                self.lent = Some(Instant::now());
                events.push_back(Event::Edited(edited.text));
                match edited.signal {
                    Some(signal) => {
                        self.signal = Some(signal);
                        events.push_back(Event::End);
                    }
                    None => {
                        taken?;
                        events.push_back(resized()?);
                    }
                }
            }
            Effect::OpenLink(link) => {
                let opened = outside::open_link(&link, &self.env);
                let note = match opened {
                    true => format!("opening {link}"),
                    false if self.screen.copy(&link)? => format!("no desktop here; copied {link}"),
                    false => "that link is too long".to_owned(),
                };
                events.push_back(Event::Note(note));
            }
            Effect::StartGateway => {
                if let Some(start) = &mut self.start_gateway {
                    events.push_back(Event::Started(start()));
                }
            }
            Effect::RetryNow => self.net.retry_now(),
            Effect::Suspend => return self.suspend(state),
            Effect::Redraw => {
                self.screen.redraw()?;
                state.is_dirty = true;
            }
            Effect::Quit => return Ok(Flow::End),
        }
        Ok(Flow::GoOn)
    }

    /// Stops the process as the shell expects it; what follows happens after it was continued.
    fn suspend(&mut self, state: &mut State) -> io::Result<Flow> {
        if !suspend::has_shell() {
            let why = "no shell waits for this to stop".to_owned();
            return self.handle(state, Event::Note(why));
        }
        let (stopped, taken) = self.screen.lend(suspend::stop);
        stopped.and(taken)?;
        self.handle(state, resized()?)
    }
}

/// Tells how large the terminal is now.
fn resized() -> io::Result<Event> {
    crossterm::terminal::size().map(|(columns, rows)| Event::Resize(columns, rows))
}

/// Returns how long nothing is drawn after a frame that took so long: drawing takes at most a fifth of the time.
fn pause(frame: Duration, took: Duration) -> Duration {
    frame.max(took.saturating_mul(4).min(MAX_PAUSE))
}

fn note_failure(result: io::Result<()>, what: &str, events: &mut VecDeque<Event>) {
    if let Err(error) = result {
        events.push_back(Event::Note(format!("{what}: {error}")));
    }
}

/// The `tui-signals` thread: signals become messages.
struct SignalThread {
    handle: Handle,
    thread: Thread,
    caught: Receiver<i32>,
}

impl SignalThread {
    fn start() -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGTSTP])?;
        let handle = signals.handle();
        let (send, caught) = bounded(8);
        let thread = spawn("tui-signals", STACK_BYTES, move || {
            for signal in signals.forever() {
                if send.send(signal).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            handle,
            thread,
            caught,
        })
    }

    fn stop(self) {
        self.handle.close();
        let _ = self.thread.join_within(END_LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_frames_are_followed_by_long_pauses() {
        let ms = Duration::from_millis;
        assert_eq!(pause(FRAME, ms(1)), FRAME);
        assert_eq!(pause(FRAME, ms(50)), ms(200));
        assert_eq!(pause(FRAME, Duration::MAX), MAX_PAUSE);
    }
}
