//! Draws the header and the status line. Pure.

use super::areas::Areas;
use super::put::Pen;
use crate::client::keys::Action;
use crate::client::state::{Link, State};
use crate::client::text::{Look, Role, clean_line};

/// Below this the status line keeps connection, context and cost.
const NARROW: u16 = 60;

/// Draws name, title, model and address.
pub(super) fn header(state: &State, areas: &Areas, pen: &mut Pen<'_>) {
    let title = state
        .dialog
        .as_ref()
        .map(|dialog| clean_line(&dialog.title))
        .unwrap_or_default();
    let x = pen.text(1, 0, "PicoBot", Look::of(Role::Accent).bold());
    let mut right = String::new();
    if areas.columns >= 40 {
        right = state.usage.model.clone();
    }
    if areas.columns >= NARROW {
        if !right.is_empty() {
            right.push_str(" · ");
        }
        right.push_str(&state.settings.address);
    }
    let end = areas.columns.saturating_sub(1);
    let right = pen.widths.fit(&right, usize::from(end) / 2);
    let stop = pen.right(end, 0, &right, Look::of(Role::Dim));
    let room = usize::from(stop.saturating_sub(x + 4));
    let title = pen.widths.fit(&title, room);
    pen.text(x + 2, 0, &title, Look::default().bold());
    if areas.header_rule {
        pen.rule(1);
    }
}

/// Draws connection, context, tokens, cost and where help is.
pub(super) fn line(state: &State, areas: &Areas, pen: &mut Pen<'_>) {
    if let Some(y) = areas.lower_rule {
        pen.rule(y);
    }
    let y = areas.status;
    let is_narrow = areas.columns < NARROW;
    let (sign, word, role) = connection(state);
    let mut x = pen.text(1, y, sign, Look::of(role));
    x = pen.text(x + 1, y, word, Look::default());
    for part in parts(state, is_narrow) {
        x = pen.text(x, y, " · ", Look::of(Role::Dim));
        x = pen.text(x, y, &part, Look::default());
    }
    let hint = |action| state.settings.keys.hint(action);
    let help = if state.composer.is_empty() {
        "?".to_owned()
    } else {
        hint(Action::Help)
    };
    let hints = format!(
        "{help} help · {} menu",
        hint(Action::Menu).replace("ctrl+", "^")
    );
    let room = areas.columns.saturating_sub(x + 2);
    if !is_narrow && pen.widths.text(&hints) <= usize::from(room) {
        pen.right(
            areas.columns.saturating_sub(1),
            y,
            &hints,
            Look::of(Role::Dim),
        );
    }
}

fn connection(state: &State) -> (&'static str, &'static str, Role) {
    match (&state.link, state.settings.widths.ambiguous_is_wide) {
        (Link::Online, false) => ("●", "online", Role::Good),
        (Link::Online, true) => ("*", "online", Role::Good),
        (Link::Connecting, false) => ("○", "connecting", Role::Warn),
        (Link::Connecting, true) => ("o", "connecting", Role::Warn),
        (Link::Offline { .. }, false) => ("✗", "offline", Role::Bad),
        (Link::Offline { .. }, true) => ("x", "offline", Role::Bad),
    }
}

fn parts(state: &State, is_narrow: bool) -> Vec<String> {
    let usage = &state.usage;
    let mut parts = Vec::new();
    match (usage.context, usage.limit) {
        (Some(context), Some(limit)) if limit > 0 => {
            let percent = context.saturating_mul(100) / limit;
            parts.push(if is_narrow {
                format!("ctx {percent}%")
            } else {
                format!("ctx {percent}% ({}/{})", count(context), count(limit))
            });
        }
        (Some(context), _) => parts.push(format!("ctx {}", count(context))),
        _ => {}
    }
    if !is_narrow && usage.input + usage.output > 0 {
        let (up, down) = if state.settings.widths.ambiguous_is_wide {
            ("in ", "out ")
        } else {
            ("↑", "↓")
        };
        parts.push(format!(
            "{up}{} {down}{}",
            count(usage.input),
            count(usage.output)
        ));
    }
    parts.extend(
        usage
            .cost
            .iter()
            .map(|(currency, cost)| match currency.as_str() {
                "USD" => format!("${cost:.4}"),
                "CNY" => format!("¥{cost:.4}"),
                other => format!("{cost:.4} {other}"),
            }),
    );
    parts
}

/// Writes a count of tokens short: `950`, `12.4k`, `1.2M`.
fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => short(n, 1_000, "k"),
        _ => short(n, 1_000_000, "M"),
    }
}

fn short(n: u64, unit: u64, name: &str) -> String {
    match n % unit * 10 / unit {
        0 => format!("{}{name}", n / unit),
        tenth => format!("{}.{tenth}{name}", n / unit),
    }
}

/// Draws the one line of a terminal that is too small for more: the connection and the end of the draft.
pub(super) fn tiny(state: &State, pen: &mut Pen<'_>) -> Option<(u16, u16)> {
    if state.columns == 0 || state.rows == 0 {
        return None;
    }
    let (sign, _, role) = connection(state);
    let x = pen.text(0, 0, sign, Look::of(role)) + 1;
    let room = usize::from(state.columns.saturating_sub(x + 1));
    let laid = state.composer.lay_out(room.max(2), state.settings.widths);
    let (row, column) = laid.caret;
    if let Some(text) = laid.rows.get(row).filter(|_| room >= 2) {
        pen.text(x, 0, text, Look::default());
    }
    let column = x + u16::try_from(column).unwrap_or(0);
    Some((column.min(state.columns - 1), 0))
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_short() {
        for (n, wanted) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (12_449, "12.4k"),
            (39_600, "39.6k"),
            (128_000, "128k"),
            (1_250_000, "1.2M"),
        ] {
            assert_eq!(count(n), wanted);
        }
    }
}
