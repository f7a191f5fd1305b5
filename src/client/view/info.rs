//! Draws the line of what goes on: the turn at work, the search line, how much is new below, a short word. Pure.

use super::areas::Areas;
use super::put::Pen;
use crate::client::keys::Action;
use crate::client::state::{Link, State};
use crate::client::text::{Look, Role};

const SPINNER: [&str; 8] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"];
const PLAIN_SPINNER: [&str; 4] = ["|", "/", "-", "\\"];
/// How long each sign of the spinner stays, in milliseconds.
pub(in crate::client) const SPIN_MS: u64 = 250;

/// Draws the line, if there is one.
pub(super) fn draw(state: &mut State, areas: &Areas, pen: &mut Pen<'_>) {
    if areas.info.height == 0 {
        return;
    }
    let y = areas.info.y;
    let end = areas.columns.saturating_sub(1);
    let right = right(state);
    let x = if right.is_empty() {
        end
    } else {
        pen.right(
            end,
            y,
            &pen.widths.fit(&right, usize::from(end) / 2 * 2 - 2),
            Look::of(Role::Accent),
        )
    };
    let room = usize::from(x.saturating_sub(3));
    let (text, role) = left(state);
    let shown = pen.widths.fit(&text, room);
    pen.text(2, y, &shown, Look::of(role));
}

fn right(state: &mut State) -> String {
    if let Some((note, _)) = &state.note {
        return note.clone();
    }
    if state.layout.follows() {
        return String::new();
    }
    let key = state.settings.keys.hint(Action::Bottom);
    let arrow = if state.settings.widths.ambiguous_is_wide {
        "v"
    } else {
        "↓"
    };
    match state.layout.n_new_rows(&state.transcript) {
        0 => format!("{arrow} {key}"),
        1 => format!("{arrow} 1 new line · {key}"),
        n => format!("{arrow} {n} new lines · {key}"),
    }
}

fn left(state: &State) -> (String, Role) {
    if let Some(browse) = &state.browse {
        return match &browse.find {
            Some(line) => (format!("/{}", line.text()), Role::Text),
            None => (
                "browsing · j k move · e open · y copy · / search · i back".to_owned(),
                Role::Dim,
            ),
        };
    }
    match &state.link {
        Link::Connecting => ("connecting…".to_owned(), Role::Dim),
        Link::Offline { why, retry_ms, .. } => (offline(state, why, *retry_ms), Role::Warn),
        Link::Online if state.dialog.is_none() => {
            ("the gateway has not answered yet".to_owned(), Role::Dim)
        }
        Link::Online if !state.approvals.is_empty() => {
            ("waiting for your answer".to_owned(), Role::Warn)
        }
        Link::Online if state.is_busy() => working(state),
        Link::Online => (String::new(), Role::Dim),
    }
}

/// Says why there is no connection, and when it is tried again if there is room for both.
fn offline(state: &State, why: &str, retry_ms: u64) -> String {
    let (secs, tenths) = (retry_ms / 1_000, retry_ms % 1_000 / 100);
    let whole = format!("offline, next try in {secs}.{tenths} s: {why}");
    let room = usize::from(state.columns).saturating_sub(4);
    if state.columns >= 60 && state.settings.widths.text(&whole) <= room {
        whole
    } else {
        format!("offline: {why}")
    }
}

fn working(state: &State) -> (String, Role) {
    let signs: &[&str] = if state.settings.widths.ambiguous_is_wide {
        &PLAIN_SPINNER
    } else {
        &SPINNER
    };
    let at = usize::try_from(state.now.ms / SPIN_MS).unwrap_or(0) % signs.len();
    let key = state.settings.keys.hint(Action::Escape);
    match &state.turn {
        Some(turn) if turn.is_stopping => (format!("{} stopping", signs[at]), Role::Warn),
        Some(turn) => {
            let secs = state.now.ms.saturating_sub(turn.began_ms) / 1_000;
            (
                format!("{} {} · {secs} s · {key} stops", signs[at], turn.doing),
                Role::Accent,
            )
        }
        None => (format!("{} sending", signs[at]), Role::Dim),
    }
}

/// Returns where the caret is while a search is written.
pub(super) fn find_caret(state: &State, areas: &Areas) -> Option<(u16, u16)> {
    let line = state.browse.as_ref()?.find.as_ref()?;
    if areas.info.height == 0 {
        return None;
    }
    let before = state.settings.widths.text(&line.text()[..line.caret()]);
    let x = 3 + u16::try_from(before).unwrap_or(u16::MAX);
    Some((x.min(areas.columns.saturating_sub(1)), areas.info.y))
}
