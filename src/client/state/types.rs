//! The types of the state, its events and effects.

use std::collections::{BTreeMap, VecDeque};

use super::approvals::Approval;
use super::browse::Browse;
use super::composer::Composer;
use super::dialogs::DialogList;
use super::history::History;
use super::lists::Chooser;
use super::popup::Popup;
use super::transcript::Transcript;
use crate::client::clock::Clock;
use crate::client::keys::{Key, Keys};
use crate::client::layout::Layout;
use crate::client::net::NetEvent;
use crate::client::text::Widths;
use crate::client::theme::Theme;
use crate::wire::ClientMessage;

/// The name under which a draft is kept that was written before any dialog was open.
pub(in crate::client) const NOWHERE: &str = "";

/// A point in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::client) struct Moment {
    /// Milliseconds since the program began.
    pub(in crate::client) ms: u64,
    /// Milliseconds since 1970.
    pub(in crate::client) unix_ms: i64,
}

/// What happens.
#[derive(Debug)]
pub(in crate::client) enum Event {
    /// A key was pressed. `quick`: it came so close to others that nobody typed it.
    Key {
        key: Key,
        text: Option<char>,
        quick: bool,
    },
    /// A text was pasted.
    Paste(String),
    /// The terminal has a new size: columns and rows.
    Resize(u16, u16),
    /// The wheel was turned by so many notches, upwards if negative.
    Wheel(i16),
    /// The mouse was pressed at this row.
    Click { row: u16 },
    /// Something came from the gateway's side.
    Net(NetEvent),
    /// Some time has passed.
    Tick,
    /// The names below a path: name, and whether it is a folder.
    Paths {
        asked: String,
        found: Vec<(String, bool)>,
    },
    /// The external editor ended: the new text, or why there is none.
    Edited(Result<String, String>),
    /// A gateway was started, or could not be: a sentence either way.
    Started(Result<String, String>),
    /// A sentence from outside the state, such as "copied".
    Note(String),
    /// The process is asked to end.
    End,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) enum Effect {
    /// Send a message to the gateway.
    Send(ClientMessage),
    /// Keep a prompt in the history file.
    Remember(String),
    /// Keep the draft of a dialog; empty: there is none.
    SaveDraft { session: String, text: String },
    /// List the names below a path.
    ListPaths(String),
    /// Copy to the clipboard.
    Copy(String),
    /// Write in an external editor.
    Edit(String),
    /// Open an address in a browser.
    OpenLink(String),
    /// Start a gateway.
    StartGateway,
    /// Try to connect now.
    RetryNow,
    /// Stop the process until it is continued.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// End.
    Quit,
}

/// Where to begin.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::client) enum Start {
    /// In the chat's current dialog.
    #[default]
    Current,
    /// In the dialog that changed last.
    Newest,
    /// In a new dialog.
    New,
    /// In the dialog of this id or title.
    Pick(String),
}

/// The connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::client) enum Link {
    #[default]
    Connecting,
    Online,
    /// Lost or never made; the reason in a sentence.
    Offline {
        why: String,
        retry_ms: u64,
        is_refused: bool,
    },
}

/// A dialog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Dialog {
    pub(in crate::client) id: String,
    pub(in crate::client) title: String,
}

/// An input that is not answered yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Pending {
    pub(in crate::client) request_id: String,
    /// The dialog it was written in.
    pub(in crate::client) session: String,
    pub(in crate::client) text: String,
    /// Its entry in the transcript; `None` while it waits in the queue.
    pub(in crate::client) uid: Option<u64>,
    /// Whether it was sent at all.
    pub(in crate::client) is_sent: bool,
    /// Whether the gateway said that it has it.
    pub(in crate::client) is_accepted: bool,
    /// Whether it was sent before the connection was lost: the answer may be in the transcript already.
    pub(in crate::client) is_resent: bool,
    /// Whether it is a slash command, which has no entry.
    pub(in crate::client) is_command: bool,
}

/// The turn that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::client) struct Turn {
    pub(in crate::client) began_ms: u64,
    /// What it does, in a word.
    pub(in crate::client) doing: String,
    pub(in crate::client) is_stopping: bool,
}

/// What the status line counts.
#[derive(Clone, PartialEq, Debug, Default)]
pub(in crate::client) struct Usage {
    pub(in crate::client) model: String,
    pub(in crate::client) context: Option<u64>,
    pub(in crate::client) limit: Option<u64>,
    pub(in crate::client) input: u64,
    pub(in crate::client) output: u64,
    /// What the answers seen here cost, by currency.
    pub(in crate::client) cost: BTreeMap<String, f64>,
}

/// What lies over the transcript.
#[derive(Debug, Default)]
pub(in crate::client) enum Overlay {
    #[default]
    None,
    /// The help, scrolled by rows.
    Help { top: usize },
    /// The command menu.
    Menu(Chooser),
    /// The dialogs.
    Dialogs(DialogList),
    /// What was written before.
    History(Chooser),
}

/// What does not change while the program runs.
pub(in crate::client) struct Settings {
    pub(in crate::client) keys: Keys,
    pub(in crate::client) widths: Widths,
    pub(in crate::client) clock: Clock,
    /// The gateway's address for people.
    pub(in crate::client) address: String,
    /// The command that starts a gateway.
    pub(in crate::client) start_command: Option<String>,
    /// Whether a gateway may be started from here.
    pub(in crate::client) may_start: bool,
    /// Whether the fixed words are Chinese.
    pub(in crate::client) is_chinese: bool,
    /// Where request ids begin; unique for each run.
    pub(in crate::client) id_prefix: String,
}

/// Everything.
pub(in crate::client) struct State {
    pub(in crate::client) settings: Settings,
    pub(in crate::client) theme: Theme,
    pub(in crate::client) columns: u16,
    pub(in crate::client) rows: u16,
    pub(in crate::client) now: Moment,
    /// Whether the screen shows an older state.
    pub(in crate::client) is_dirty: bool,
    pub(super) out: Vec<Effect>,
    pub(super) n_requests: u64,

    pub(in crate::client) link: Link,
    pub(super) start: Start,
    /// What to send once the dialog is open.
    pub(super) first_prompt: Option<String>,
    /// Whether this gateway says of each input that it has it.
    pub(super) tells_accepted: bool,
    /// Whether the drafts that are kept hold messages that were not sent.
    pub(super) has_kept_unsent: bool,
    pub(super) established: Option<Dialog>,
    pub(in crate::client) dialog: Option<Dialog>,
    /// The dialog whose messages were asked for.
    pub(super) loading: Option<String>,
    /// The answer to a command that a dialog is loaded for: loading must not wipe it off.
    pub(super) answer_to_keep: Option<String>,
    /// Cursor of the oldest entry, and whether older ones exist.
    pub(super) oldest: Option<i64>,
    pub(in crate::client) has_older: bool,
    pub(super) is_loading_older: bool,
    /// How many messages the gateway counted last, and whether an input of ours was answered since.
    pub(super) known_count: Option<u64>,
    pub(super) was_answered: bool,
    /// Whether the gateway of this connection repeats request ids; the oldest ones do not know them.
    pub(super) repeats_ids: bool,
    pub(in crate::client) transcript: Transcript,
    pub(in crate::client) layout: Layout,

    pub(in crate::client) turn: Option<Turn>,
    pub(in crate::client) pending: VecDeque<Pending>,
    /// Inputs of others that wait in this dialog.
    pub(in crate::client) waiting_elsewhere: Vec<String>,
    pub(in crate::client) usage: Usage,
    pub(in crate::client) approvals: VecDeque<Approval>,
    pub(super) last_key_ms: u64,

    pub(in crate::client) composer: Composer,
    pub(in crate::client) history: History,
    pub(in crate::client) popup: Option<Popup>,
    pub(super) popup_closed_for: Option<String>,
    pub(in crate::client) overlay: Overlay,
    pub(in crate::client) browse: Option<Browse>,
    /// Names, usages and sentences of the gateway's commands.
    pub(super) commands: Vec<(String, String, String)>,
    pub(in crate::client) tools_open: Option<bool>,
    pub(in crate::client) shows_reasoning: bool,
    /// A short word to the person and when it goes.
    pub(in crate::client) note: Option<(String, u64)>,
    pub(super) interrupt_ms: Option<u64>,
    pub(super) draft_due: Option<u64>,
    pub(super) drafts: BTreeMap<String, String>,
    pub(in crate::client) is_starting: bool,
    /// Keys in a row that came too quickly to be typed.
    pub(super) n_quick: usize,
}

impl State {
    /// Makes the state before anything happened.
    pub(in crate::client) fn new(
        settings: Settings,
        theme: Theme,
        start: Start,
        first_prompt: Option<String>,
    ) -> Self {
        Self {
            settings,
            theme,
            columns: 80,
            rows: 24,
            now: Moment::default(),
            is_dirty: true,
            out: Vec::new(),
            n_requests: 0,
            link: Link::Connecting,
            start,
            first_prompt,
            tells_accepted: false,
            has_kept_unsent: false,
            established: None,
            dialog: None,
            loading: None,
            answer_to_keep: None,
            oldest: None,
            has_older: false,
            is_loading_older: false,
            known_count: None,
            was_answered: false,
            repeats_ids: false,
            transcript: Transcript::default(),
            layout: Layout::default(),
            turn: None,
            pending: VecDeque::new(),
            waiting_elsewhere: Vec::new(),
            usage: Usage::default(),
            approvals: VecDeque::new(),
            last_key_ms: 0,
            composer: Composer::default(),
            history: History::default(),
            popup: None,
            popup_closed_for: None,
            overlay: Overlay::None,
            browse: None,
            commands: Vec::new(),
            tools_open: None,
            shows_reasoning: false,
            note: None,
            interrupt_ms: None,
            draft_due: None,
            drafts: BTreeMap::new(),
            is_starting: false,
            n_quick: 0,
        }
    }

    /// Gives the prompts and drafts of earlier runs. What was written before any dialog was open is written again.
    pub(in crate::client) fn with_memory(
        mut self,
        history: Vec<String>,
        drafts: BTreeMap<String, String>,
    ) -> Self {
        self.history = History::new(history);
        self.drafts = drafts;
        if let Some(draft) = self.drafts.get(NOWHERE) {
            self.composer.set(draft);
        }
        self
    }

    /// Returns the id of the open dialog.
    pub(in crate::client) fn session(&self) -> Option<&str> {
        self.dialog.as_ref().map(|dialog| dialog.id.as_str())
    }

    /// Returns what is to be kept as the draft: what is written, or what was before earlier prompts were looked at.
    pub(in crate::client) fn draft(&self) -> String {
        match self.history.kept_draft() {
            Some(kept) if !kept.trim().is_empty() => kept.to_owned(),
            _ => self.composer.expanded(),
        }
    }

    /// Returns what is to be kept on the disk: what could not be sent, and the draft.
    pub(in crate::client) fn kept(&self) -> String {
        let draft = self.draft();
        let mut parts = self.unsent();
        if !draft.is_empty() {
            parts.push(&draft);
        }
        parts.join("\n")
    }

    /// Tells whether an answer is awaited.
    pub(in crate::client) fn is_busy(&self) -> bool {
        self.turn.is_some() || self.pending.iter().any(|pending| !pending.is_command)
    }

    /// Tells whether the gateway is at work on something here.
    pub(in crate::client) fn goes_on(&self) -> bool {
        let n_inputs = self.pending.iter().filter(|one| !one.is_command).count();
        self.turn.is_some() || n_inputs > self.unsent().len()
    }

    /// Says something short for a few seconds.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.note = Some((text.into(), self.now.ms + 4_000));
    }

    /// Returns the next time at which something changes by itself; `None` if only events can change anything.
    pub(in crate::client) fn next_due(&self, spin_ms: u64) -> Option<u64> {
        let spin = self.is_busy() && self.link == Link::Online;
        let approval = self
            .approvals
            .front()
            .map(|approval| approval.armed_at(self.last_key_ms));
        let dues = [
            spin.then(|| (self.now.ms / spin_ms + 1) * spin_ms),
            self.note.as_ref().map(|(_, until)| *until),
            self.draft_due,
            approval.filter(|at| *at > self.now.ms),
        ];
        dues.into_iter().flatten().min()
    }

    pub(super) fn next_request_id(&mut self) -> String {
        self.n_requests += 1;
        format!("{}-{}", self.settings.id_prefix, self.n_requests)
    }
}
