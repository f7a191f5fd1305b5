//! Cuts the screen into areas. Pure.

use ratatui::layout::Rect;

use super::panel;
use crate::client::state::{Link, State};

/// Below this there is one line.
const MIN_COLUMNS: u16 = 20;
const MIN_ROWS: u16 = 6;
/// Queued messages shown at once.
const MAX_QUEUE_ROWS: u16 = 3;

/// Where everything is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Areas {
    pub(super) is_tiny: bool,
    pub(super) columns: u16,
    /// Whether a line parts the header from the rest.
    pub(super) header_rule: bool,
    pub(super) transcript: Rect,
    /// What goes on; no height if nothing does.
    pub(super) info: Rect,
    /// Approval or offer.
    pub(super) panel: Rect,
    /// The line above queue and composer, if there is room.
    pub(super) upper_rule: Option<u16>,
    pub(super) queue: Rect,
    pub(super) composer: Rect,
    pub(super) lower_rule: Option<u16>,
    pub(super) status: u16,
}

impl Areas {
    /// Cuts the screen for a state.
    pub(super) fn of(state: &State) -> Self {
        let (columns, rows) = (state.columns, state.rows);
        if columns < MIN_COLUMNS || rows < MIN_ROWS {
            return Self {
                is_tiny: true,
                columns,
                ..Self::default()
            };
        }
        let header_rule = rows >= 16;
        let upper = u16::from(rows >= 8);
        let lower = u16::from(rows >= 14);
        let fixed = 1 + u16::from(header_rule) + upper + lower + 1;
        let mut left = rows - fixed;
        let mut take = |wish: u16, least_for_rest: u16| {
            let taken = wish.min(left.saturating_sub(least_for_rest));
            left -= taken;
            taken
        };
        let laid = state
            .composer
            .lay_out(composer_columns(state), state.settings.widths);
        let wish = u16::try_from(laid.rows.len()).unwrap_or(u16::MAX);
        let composer = take(wish.min((rows / 3).max(1)), 1).max(1);
        let panel = take(panel::height(state), 1);
        let queue = take(n_queued(state).min(MAX_QUEUE_ROWS), 2);
        let info = take(u16::from(has_info(state)), 1);
        let mut y = 0;
        let mut area = |height: u16| {
            let area = Rect::new(0, y, columns, height);
            y += height;
            area
        };
        area(1 + u16::from(header_rule));
        let transcript = area(left);
        let info = area(info);
        let panel = area(panel);
        let upper_rule = area(upper);
        let queue = area(queue);
        let composer = area(composer);
        let lower_rule = area(lower);
        let status = area(1);
        Self {
            is_tiny: false,
            columns,
            header_rule,
            transcript,
            info,
            panel,
            upper_rule: (upper > 0).then_some(upper_rule.y),
            queue,
            composer,
            lower_rule: (lower > 0).then_some(lower_rule.y),
            status: status.y,
        }
    }
}

/// Returns the columns the composer's text has.
pub(in crate::client) fn composer_columns(state: &State) -> usize {
    usize::from(state.columns).saturating_sub(4).max(2)
}

/// Returns the rows of the transcript.
pub(in crate::client) fn transcript_rows(state: &State) -> usize {
    Areas::of(state).transcript.height.into()
}

/// Counts the messages that wait in the open dialog.
pub(super) fn n_queued(state: &State) -> u16 {
    u16::try_from(queued(state).count()).unwrap_or(u16::MAX)
}

/// Lists the messages that wait in the open dialog.
pub(super) fn queued(state: &State) -> impl Iterator<Item = &str> {
    let session = state.session().unwrap_or_default();
    let own = state.pending.iter().filter(move |pending| {
        pending.uid.is_none()
            && !pending.is_command
            && (pending.session == session || pending.session.is_empty())
    });
    let elsewhere = state.waiting_elsewhere.iter().map(String::as_str);
    elsewhere.chain(own.map(|pending| pending.text.as_str()))
}

fn has_info(state: &State) -> bool {
    state.note.is_some()
        || state.is_busy()
        || state.browse.is_some()
        || !state.layout.follows()
        || state.link != Link::Online
        || state.dialog.is_none()
}
