//! Draws the draft, what waits above it, and the popup. Pure.

use ratatui::layout::Rect;

use super::areas::{Areas, composer_columns, n_queued, queued};
use super::put::Pen;
use crate::client::keys::Action;
use crate::client::state::{PopupKind, State};
use crate::client::text::{Look, Role, clean_line};

/// Rows of the popup.
const MAX_POPUP_ROWS: usize = 8;

/// Draws the draft; returns where the caret is.
pub(super) fn draw(state: &State, areas: &Areas, pen: &mut Pen<'_>) -> Option<(u16, u16)> {
    if let Some(y) = areas.upper_rule {
        pen.rule(y);
    }
    let area = areas.composer;
    let laid = state
        .composer
        .lay_out(composer_columns(state), state.settings.widths);
    let height = usize::from(area.height);
    let (row, column) = laid.caret;
    // The row of the caret is always in sight.
    let first = (row + 1).saturating_sub(height);
    let mark = if pen.widths.ambiguous_is_wide {
        "> "
    } else {
        "❯ "
    };
    for (at, text) in laid.rows.iter().enumerate().skip(first).take(height) {
        let y = area.y + u16::try_from(at - first).unwrap_or(0);
        let lead = if at == 0 { mark } else { "  " };
        pen.text(1, y, lead, Look::of(Role::Accent));
        pen.text(3, y, text, Look::default());
    }
    if state.composer.is_empty() && areas.columns >= 40 {
        let hint = if state.browse.is_some() {
            "i goes back to writing"
        } else {
            ""
        };
        pen.text(3, area.y, hint, Look::of(Role::Dim));
    }
    let x = 3 + u16::try_from(column).unwrap_or(0);
    let y = area.y + u16::try_from(row - first).unwrap_or(0);
    Some((x.min(areas.columns.saturating_sub(1)), y))
}

/// Draws the messages that wait.
pub(super) fn queue(state: &State, areas: &Areas, pen: &mut Pen<'_>) {
    let n = usize::from(n_queued(state));
    let shown = usize::from(areas.queue.height);
    let key = state.settings.keys.hint(Action::TakeBack);
    for (at, (y, text)) in (areas.queue.y..areas.queue.bottom())
        .zip(queued(state).skip(n - shown.min(n)))
        .enumerate()
    {
        let number = n - shown.min(n) + at + 1;
        let right = if number == n && areas.columns >= 50 && !key.is_empty() {
            format!("{key} to edit")
        } else {
            String::new()
        };
        let room = usize::from(areas.columns).saturating_sub(pen.widths.text(&right) + 3);
        let line = pen
            .widths
            .fit(&format!("queued {number}: {}", clean_line(text)), room);
        pen.text(1, y, &line, Look::of(Role::Dim));
        pen.right(
            areas.columns.saturating_sub(1),
            y,
            &right,
            Look::of(Role::Dim),
        );
    }
}

/// Draws the popup above the draft.
pub(super) fn popup(state: &State, areas: &Areas, pen: &mut Pen<'_>) {
    let Some(popup) = &state.popup else { return };
    let bottom = areas.upper_rule.unwrap_or(areas.queue.y);
    let room = usize::from(bottom.saturating_sub(areas.transcript.y));
    let height = popup.items.len().min(MAX_POPUP_ROWS).min(room);
    if height == 0 {
        return;
    }
    let first = (popup.chosen + 1).saturating_sub(height);
    let top = bottom - u16::try_from(height).unwrap_or(0);
    pen.clear(Rect::new(0, top, areas.columns, bottom - top));
    let columns = usize::from(areas.columns);
    let label_width = popup
        .items
        .iter()
        .map(|item| pen.widths.text(&item.label))
        .max()
        .unwrap_or(0);
    let label_width = label_width.min(columns / 2).max(8);
    for (y, (at, item)) in (top..bottom).zip(popup.items.iter().enumerate().skip(first)) {
        let is_chosen = at == popup.chosen;
        let look = Look::of(if is_chosen { Role::Chosen } else { Role::Text });
        let width = if popup.kind == PopupKind::Path {
            columns.saturating_sub(4)
        } else {
            label_width
        };
        let label = pen.widths.fit(&item.label, width);
        pen.text(
            1,
            y,
            if is_chosen { ">" } else { " " },
            Look::of(Role::Accent),
        );
        pen.text(3, y, &label, look);
        let note = if item.is_local {
            format!("{} (here)", item.note)
        } else {
            item.note.clone()
        };
        let x = 5 + label_width;
        let note = pen.widths.fit(&note, columns.saturating_sub(x + 1));
        pen.text(
            u16::try_from(x).unwrap_or(u16::MAX),
            y,
            &note,
            Look::of(Role::Dim),
        );
    }
}
