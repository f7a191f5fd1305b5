//! Draws what lies over the transcript: help, command menu, dialogs, search in what was written. Pure.

use ratatui::layout::Rect;

use super::areas::Areas;
use super::put::Pen;
use crate::client::keys::{Action, Place, TABLE};
use crate::client::state::{Composer, DialogMode, Overlay, State};
use crate::client::text::{Look, Role, Widths, clean_line};

/// Characters of a prompt that are looked at for its line in the list.
const MAX_LINE_CHARS: usize = 1_000;

/// Draws the open overlay; returns where the caret is.
pub(super) fn draw(state: &State, areas: &Areas, pen: &mut Pen<'_>) -> Option<(u16, u16)> {
    let bottom = areas.upper_rule.unwrap_or(areas.queue.y);
    let area = Rect::new(
        0,
        areas.transcript.y,
        areas.columns,
        bottom - areas.transcript.y,
    );
    pen.clear(area);
    match &state.overlay {
        Overlay::None => None,
        Overlay::Help { top } => {
            help(state, *top, area, pen);
            None
        }
        Overlay::Menu(chooser) => {
            let items = state.menu_items(&chooser.filter.expanded());
            let lines = items
                .iter()
                .map(|item| (item.label.clone(), item.note.clone()));
            list(
                "Commands",
                &chooser.filter,
                lines.collect(),
                chooser.chosen,
                area,
                pen,
            )
        }
        Overlay::History(chooser) => {
            let filter = chooser.filter.expanded();
            let lines = state
                .history
                .find(&filter)
                .into_iter()
                .map(|prompt| (clean_line(beginning(prompt)), String::new()));
            list(
                "What you wrote",
                &chooser.filter,
                lines.collect(),
                chooser.chosen,
                area,
                pen,
            )
        }
        Overlay::Dialogs(_) => dialogs(state, area, pen),
    }
}

/// A heading with a line to write in, and rows of which one is chosen.
fn list(
    title: &str,
    filter: &Composer,
    lines: Vec<(String, String)>,
    chosen: usize,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<(u16, u16)> {
    let caret = field(title, filter, area.y, area.width, pen);
    let height = usize::from(area.height.saturating_sub(1));
    let first = (chosen + 1).saturating_sub(height);
    if lines.is_empty() && height > 0 {
        pen.text(3, area.y + 1, "nothing fits", Look::of(Role::Dim));
    }
    for (y, (at, (label, note))) in
        (area.y + 1..area.bottom()).zip(lines.iter().enumerate().skip(first))
    {
        let is_chosen = at == chosen;
        let columns = usize::from(area.width);
        let note_width = pen.widths.text(note).min(columns / 2);
        let note = pen.widths.fit(note, note_width);
        let label = pen
            .widths
            .fit(label, columns.saturating_sub(note_width + 6));
        pen.text(
            1,
            y,
            if is_chosen { ">" } else { " " },
            Look::of(Role::Accent),
        );
        pen.text(
            3,
            y,
            &label,
            Look::of(if is_chosen { Role::Chosen } else { Role::Text }),
        );
        pen.right(area.width.saturating_sub(1), y, &note, Look::of(Role::Dim));
    }
    Some(caret)
}

/// Draws a title and the line behind it; returns the caret. Of a long line its end is shown.
fn field(title: &str, line: &Composer, y: u16, columns: u16, pen: &mut Pen<'_>) -> (u16, u16) {
    let x = pen.text(1, y, title, Look::of(Role::Accent).bold());
    let x = pen.text(x, y, ": ", Look::of(Role::Accent));
    let room = usize::from(columns.saturating_sub(x + 1));
    let before = tail(&line.text()[..line.caret()], room, pen.widths);
    let caret = pen.text(x, y, before, Look::default());
    let behind = &line.text()[line.caret()..];
    pen.text(caret, y, behind, Look::default());
    (caret.min(columns.saturating_sub(1)), y)
}

/// Returns as much of a text as can be seen of it in a line: a prompt may be a megabyte.
fn beginning(text: &str) -> &str {
    match text.char_indices().nth(MAX_LINE_CHARS) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// Returns the end of a text that fits.
fn tail(text: &str, room: usize, widths: Widths) -> &str {
    use unicode_segmentation::UnicodeSegmentation;
    let mut used = 0;
    for (at, cluster) in text.grapheme_indices(true).rev() {
        used += widths.cluster(cluster);
        if used > room {
            return &text[at + cluster.len()..];
        }
    }
    text
}

fn dialogs(state: &State, area: Rect, pen: &mut Pen<'_>) -> Option<(u16, u16)> {
    let Overlay::Dialogs(list_state) = &state.overlay else {
        return None;
    };
    let keys = &state.settings.keys;
    let hint = |action| keys.hint(action).replace("ctrl+", "^");
    let foot = format!(
        "{} new · {} rename · {} archive · {} delete · {} archived too",
        hint(Action::DialogCreate),
        hint(Action::DialogRename),
        hint(Action::DialogArchive),
        hint(Action::DialogDelete),
        hint(Action::DialogShowArchived)
    );
    let foot_row = u16::from(area.height >= 4);
    let upper = Rect::new(area.x, area.y, area.width, area.height - foot_row);
    let shown = list_state.shown();
    let lines = shown.iter().map(|listed| {
        let here = if state.session() == Some(&listed.id) {
            "* "
        } else {
            ""
        };
        let archived = if listed.is_archived {
            " (archived)"
        } else {
            ""
        };
        let date = listed
            .updated_ms
            .map(|at| state.settings.clock.date(at))
            .unwrap_or_default();
        let label = format!("{here}{}{archived}", clean_line(&listed.title));
        let note = if area.width >= 60 {
            let n = listed.n_messages;
            let unit = if n == 1 { "message" } else { "messages" };
            format!("{n} {unit} · {date}")
        } else {
            date
        };
        (label, note)
    });
    let lines: Vec<_> = lines.collect();
    let is_waiting = list_state.all.is_none();
    let n = list_state.all.as_ref().map_or(0, Vec::len);
    let title = match list_state.has_more {
        true if area.width >= 70 => {
            format!("Dialogs, the newest {n} (/sessions WORDS finds others)")
        }
        true => format!("Newest {n} dialogs"),
        false => "Dialogs".to_owned(),
    };
    let mut caret = list(
        &title,
        &list_state.filter,
        lines,
        list_state.chosen,
        upper,
        pen,
    );
    if is_waiting && upper.height > 1 {
        pen.clear(Rect::new(0, upper.y + 1, area.width, 1));
        pen.text(3, upper.y + 1, "asking the gateway…", Look::of(Role::Dim));
    }
    let bottom = area.bottom().saturating_sub(1);
    match &list_state.mode {
        DialogMode::Rename(_, line) => {
            pen.clear(Rect::new(0, bottom, area.width, 1));
            caret = Some(field("New title", line, bottom, area.width, pen));
        }
        DialogMode::ConfirmDelete(listed) => {
            pen.clear(Rect::new(0, bottom, area.width, 1));
            let asked = if area.width >= 70 {
                " and its messages? y deletes, other keys do not"
            } else {
                "? y deletes"
            };
            let room = usize::from(area.width).saturating_sub(asked.len() + 11);
            let title = pen.widths.fit(&clean_line(&listed.title), room);
            let text = format!("Delete \"{title}\"{asked}");
            pen.text(1, bottom, &text, Look::of(Role::Bad).bold());
        }
        DialogMode::Choose if foot_row == 1 => {
            let foot = pen
                .widths
                .fit(&foot, usize::from(area.width).saturating_sub(2));
            pen.text(1, bottom, &foot, Look::of(Role::Dim));
        }
        DialogMode::Choose => {}
    }
    caret
}

/// The help is the table of keys.
fn help(state: &State, top: usize, area: Rect, pen: &mut Pen<'_>) {
    let mut lines: Vec<(String, String)> = Vec::new();
    for place in [
        Place::Compose,
        Place::Browse,
        Place::List,
        Place::Dialogs,
        Place::Approval,
    ] {
        if !lines.is_empty() {
            lines.push((String::new(), String::new()));
        }
        lines.push((place.title().to_owned(), String::new()));
        for row in TABLE.iter().filter(|row| row.place == place) {
            let keys = state.settings.keys.names(row);
            let keys = if keys.is_empty() {
                "off".to_owned()
            } else {
                keys.join(", ")
            };
            lines.push((keys, row.help.to_owned()));
        }
    }
    let height = usize::from(area.height.saturating_sub(1));
    let top = top.min(lines.len().saturating_sub(height));
    let left = (usize::from(area.width) * 2 / 5).clamp(10, 30);
    for (y, (keys, help)) in (area.y..).zip(lines.iter().skip(top).take(height)) {
        let is_title = help.is_empty();
        let look = if is_title {
            Look::of(Role::Accent).bold()
        } else {
            Look::of(Role::Code)
        };
        let room = if is_title {
            usize::from(area.width)
        } else {
            left
        };
        let keys = pen.widths.fit(keys, room);
        pen.text(1, y, &keys, look);
        if !is_title {
            let x = u16::try_from(left + 3).unwrap_or(0);
            let help = pen
                .widths
                .fit(help, usize::from(area.width).saturating_sub(left + 4));
            pen.text(x, y, &help, Look::default());
        }
    }
    let more = if top + height < lines.len() {
        "down and pagedown: more · "
    } else {
        ""
    };
    let foot = format!("{more}any other key closes");
    pen.text(
        1,
        area.bottom().saturating_sub(1),
        &foot,
        Look::of(Role::Dim),
    );
}
