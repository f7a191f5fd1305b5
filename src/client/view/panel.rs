//! Draws the panel that asks something: an approval, or whether to start a gateway. Pure.

use super::areas::Areas;
use super::put::Pen;
use crate::client::keys::Action;
use crate::client::state::{Approval, State};
use crate::client::text::{Look, Role, Row, Rows, Styled, clean, clean_line};

/// Rows of a command that is asked about; what does not fit is counted.
const MAX_COMMAND_ROWS: usize = 8;

/// Returns how many rows the panel wants.
pub(super) fn height(state: &State) -> u16 {
    u16::try_from(rows(state).len()).unwrap_or(0)
}

/// Draws the panel.
pub(super) fn draw(state: &State, areas: &Areas, pen: &mut Pen<'_>) {
    let rows = rows(state);
    // The last rows say which keys answer: they stay when room is short.
    let skip = rows.len().saturating_sub(areas.panel.height.into());
    for (y, row) in (areas.panel.y..areas.panel.bottom()).zip(rows.iter().skip(skip)) {
        pen.row(1, y, row);
    }
}

fn rows(state: &State) -> Rows {
    match state.approvals.front() {
        Some(approval) => approval_rows(state, approval),
        None if state.lacks_gateway() => no_gateway_rows(state),
        None => Rows::new(),
    }
}

/// How to start a gateway, and the offer to do it from here. Nothing about one on another machine.
fn no_gateway_rows(state: &State) -> Rows {
    let Some(command) = &state.settings.start_command else {
        return Rows::new();
    };
    let widths = state.settings.widths;
    let width = usize::from(state.columns).saturating_sub(2).max(8);
    let mut text = Styled::default();
    text.push("No gateway runs. Start one with: ", Look::of(Role::Warn));
    text.push(command, Look::of(Role::Code));
    if state.settings.may_start {
        let key = state.settings.keys.hint(Action::StartGateway);
        text.push(
            &format!("\nenter on an empty draft, or {key}, starts it in the background"),
            Look::default(),
        );
    }
    text.rows(width, &Row::default(), &Row::default(), widths)
}

fn approval_rows(state: &State, approval: &Approval) -> Rows {
    let widths = state.settings.widths;
    let width = usize::from(state.columns).saturating_sub(2).max(8);
    let warn = Look::of(Role::Warn);
    let bar = Row::of(
        if widths.ambiguous_is_wide {
            "| "
        } else {
            "┃ "
        },
        warn,
    );
    let mut out = Rows::new();
    let add = |text: &str, look: Look, out: &mut Rows| {
        let mut line = Styled::default();
        line.push(text, look);
        out.extend(line.rows(width, &bar, &bar, widths));
    };
    let waiting = match state.approvals.len() {
        1 => String::new(),
        n => format!(" (1 of {n})"),
    };
    add(
        &format!("{} asks for approval{waiting}", clean_line(&approval.name)),
        warn.bold(),
        &mut out,
    );
    let said = [&approval.summary, &approval.reason].map(|text| clean_line(text));
    for text in said
        .iter()
        .filter(|text| !text.is_empty() && **text != approval.exact())
    {
        add(text, Look::default(), &mut out);
    }
    if !approval.in_workspace {
        add("it reaches beyond the workspace", warn, &mut out);
    }
    let mut exact = Rows::new();
    add(&clean(&approval.exact()), Look::of(Role::Code), &mut exact);
    let hidden = exact.len().saturating_sub(MAX_COMMAND_ROWS);
    out.extend(exact.into_iter().take(MAX_COMMAND_ROWS));
    if hidden > 0 {
        add(
            &format!("and {hidden} more rows that are not shown"),
            warn.bold(),
            &mut out,
        );
    }
    let hint = |action| state.settings.keys.hint(action);
    let mut keys = format!("{} allow once", hint(Action::Allow));
    if approval.can_always {
        keys.push_str(&format!(" · {} always", hint(Action::AllowAlways)));
    }
    keys.push_str(&format!(" · {} deny", hint(Action::Deny)));
    if let Some(at) = approval.expires_ms {
        keys.push_str(&format!(" · until {}", state.settings.clock.seconds(at)));
    }
    add(&keys, Look::of(Role::Accent), &mut out);
    out
}
