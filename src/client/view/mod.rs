//! Draws the state: a pure function from the state to a frame. The layout's cache inside the state is all it changes.

mod areas;
mod composer;
mod info;
mod overlay;
mod panel;
mod put;
mod status;

use ratatui::Frame;
use ratatui::layout::Position;

use super::entry_rows::Context;
use super::keys::Action;
use super::state::{Overlay, State};
use super::text::{Look, Role};

use areas::Areas;
use put::Pen;

pub(super) use areas::{composer_columns, transcript_rows};
pub(super) use info::SPIN_MS;

/// Draws everything and puts the hardware cursor at the caret: input methods draw their candidates there.
pub(super) fn view(state: &mut State, frame: &mut Frame<'_>) {
    let areas = Areas::of(state);
    let caret = {
        let mut pen = Pen::new(frame.buffer_mut(), state.theme, state.settings.widths);
        if areas.is_tiny {
            status::tiny(state, &mut pen)
        } else {
            draw(state, &areas, &mut pen)
        }
    };
    if let Some((x, y)) = caret {
        frame.set_cursor_position(Position::new(x, y));
    }
}

fn draw(state: &mut State, areas: &Areas, pen: &mut Pen<'_>) -> Option<(u16, u16)> {
    status::header(state, areas, pen);
    transcript(state, areas, pen);
    info::draw(state, areas, pen);
    panel::draw(state, areas, pen);
    composer::queue(state, areas, pen);
    let mut caret = composer::draw(state, areas, pen);
    status::line(state, areas, pen);
    composer::popup(state, areas, pen);
    if !matches!(state.overlay, Overlay::None) {
        caret = overlay::draw(state, areas, pen);
    } else if let Some(found) = info::find_caret(state, areas) {
        caret = Some(found);
    }
    caret
}

fn transcript(state: &mut State, areas: &Areas, pen: &mut Pen<'_>) {
    state
        .layout
        .set(transcript_context(state), areas.transcript.height.into());
    let rows = state.layout.visible(&state.transcript);
    let chosen = state.browse.as_ref().map(|browse| browse.uid);
    // A dialog that does not fill the screen begins at its top.
    for (y, visible) in (areas.transcript.y..).zip(&rows) {
        let is_chosen = chosen == Some(visible.uid);
        if is_chosen {
            pen.text(0, y, ">", Look::of(Role::Accent).bold());
        }
        pen.row(1, y, visible.row());
    }
    if rows.is_empty() {
        welcome(state, areas, pen);
    }
}

fn welcome(state: &State, areas: &Areas, pen: &mut Pen<'_>) {
    let hint = |action| state.settings.keys.hint(action);
    let lines = [
        "Say something, or:".to_owned(),
        format!("{:<8} dialogs", hint(Action::Dialogs)),
        format!("{:<8} command menu", hint(Action::Menu)),
        "/        commands".to_owned(),
        format!("{:<8} all keys", hint(Action::Help)),
    ];
    for (y, line) in (areas.transcript.y..areas.transcript.bottom()).zip(lines) {
        pen.text(2, y, &line, Look::of(Role::Dim));
    }
}

/// Returns what the layout of the transcript depends on.
pub(super) fn transcript_context(state: &State) -> Context {
    Context {
        // One column for the mark of browse mode, one free at the right.
        width: usize::from(state.columns).saturating_sub(2).max(1),
        widths: state.settings.widths,
        tools_open: state.tools_open,
        shows_reasoning: state.shows_reasoning,
        clock: state.settings.clock.clone(),
        you: if state.settings.is_chinese {
            "你"
        } else {
            "you"
        },
        reasoning_key: state.settings.keys.hint(Action::ToggleReasoning),
    }
}

/// Returns the entry on a screen row.
pub(super) fn entry_at(state: &mut State, row: u16) -> Option<u64> {
    let areas = Areas::of(state);
    if areas.is_tiny || !(areas.transcript.y..areas.transcript.bottom()).contains(&row) {
        return None;
    }
    state
        .layout
        .set(transcript_context(state), areas.transcript.height.into());
    let rows = state.layout.visible(&state.transcript);
    rows.get(usize::from(row - areas.transcript.y))
        .map(|visible| visible.uid)
}
