//! Lays out one entry of the transcript. Pure.

use super::clock::Clock;
use super::state::{Body, Call, CallState, Delivery, Entry, Fold, Tone};
use super::text::{Look, Memo, Role, Row, Rows, Styled, Widths, clean, clean_line, markdown};

/// Lines of a running call's output.
const LIVE_LINES: usize = 5;
/// Lines of an open call's output; the whole is copied, not scrolled.
const OPEN_LINES: usize = 400;
/// Characters of one output line.
const MAX_LINE_CHARS: usize = 2_000;

/// What the layout of an entry depends on besides the entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Context {
    pub(super) width: usize,
    pub(super) widths: Widths,
    /// Whether all tool output is open or folded; else each as it suggests.
    pub(super) tools_open: Option<bool>,
    pub(super) shows_reasoning: bool,
    pub(super) clock: Clock,
    /// How the person is called.
    pub(super) you: &'static str,
    /// Keys for hints.
    pub(super) reasoning_key: String,
}

/// Signs, or plain letters where signs of ambiguous width would be two columns wide.
struct Signs {
    bar: &'static str,
    pipe: &'static str,
    folded: &'static str,
    open: &'static str,
    done: &'static str,
    failed: &'static str,
    running: &'static str,
    stopped: &'static str,
    dot: &'static str,
}

fn signs(widths: Widths) -> &'static Signs {
    if widths.ambiguous_is_wide {
        &Signs {
            bar: "| ",
            pipe: "| ",
            folded: "+",
            open: "-",
            done: "ok",
            failed: "!!",
            running: "..",
            stopped: "##",
            dot: "-",
        }
    } else {
        &Signs {
            bar: "▌ ",
            pipe: "│ ",
            folded: "▸",
            open: "▾",
            done: "✓",
            failed: "✗",
            running: "…",
            stopped: "■",
            dot: "·",
        }
    }
}

/// Returns the rows of an entry; none if it is not shown.
pub(super) fn entry_rows(entry: &Entry, cx: &Context) -> Rows {
    match &entry.body {
        Body::User { text, delivery } => user(entry, text, *delivery, cx),
        Body::Answer { text, is_open } => answer_rows(text, *is_open, cx, None),
        Body::Reasoning { text, is_open } => reasoning(entry, text, *is_open, cx),
        Body::Call(call) => tool(entry, call, cx),
        Body::Remark { text, tone } => remark(text, *tone, cx),
    }
}

fn user(entry: &Entry, text: &str, delivery: Delivery, cx: &Context) -> Rows {
    let signs = signs(cx.widths);
    let look = Look::of(Role::User);
    let bar = Row::of(signs.bar, look);
    let mut head = bar.clone();
    head.push(cx.you, look.bold());
    if let Some(time) = entry.at_ms.map(|at| cx.clock.hour_minute(at)) {
        head.push(format!(" {} {time}", signs.dot), Look::of(Role::Dim));
    }
    let (word, role) = match delivery {
        Delivery::Sending => ("sending", Role::Dim),
        Delivery::Failed => ("failed", Role::Bad),
        Delivery::Stopped => ("stopped", Role::Warn),
        Delivery::Running | Delivery::Done => ("", Role::Dim),
    };
    if !word.is_empty() {
        head.push(format!(" {} {word}", signs.dot), Look::of(role));
    }
    let mut rows = vec![head];
    let mut line = Styled::default();
    line.push(&clean(text), Look::default());
    rows.extend(line.rows(cx.width, &bar, &bar, cx.widths));
    rows
}

/// Returns the rows of a piece of an answer; a memo spares lines that it holds.
pub(super) fn answer_rows(
    text: &str,
    is_open: bool,
    cx: &Context,
    memo: Option<&mut Memo>,
) -> Rows {
    let lead = indent(cx);
    let text = clean(text);
    // Blank lines at the end come and go while an answer streams; nothing should jump for them.
    let text = if is_open { text.trim_end() } else { &*text };
    markdown(text, cx.width, &lead, cx.widths, memo)
}

/// Returns the blank row between two blocks of an answer.
pub(super) fn answer_lead(cx: &Context) -> Row {
    indent(cx)
}

fn indent(cx: &Context) -> Row {
    if cx.width >= 20 {
        Row::of("  ", Look::default())
    } else {
        Row::default()
    }
}

fn reasoning(entry: &Entry, text: &str, is_open: bool, cx: &Context) -> Rows {
    let signs = signs(cx.widths);
    let look = Look::of(Role::Dim);
    let mut lead = indent(cx);
    let shown = match entry.fold {
        Fold::Auto => cx.shows_reasoning,
        Fold::Open => true,
        Fold::Folded => false,
    };
    if !shown {
        let verb = if is_open { "reasoning" } else { "reasoned" };
        let n = text.chars().count();
        lead.push(
            format!("{} {verb} {} {n} characters", signs.folded, signs.dot),
            look,
        );
        if !cx.reasoning_key.is_empty() {
            lead.push(format!(" {} {} shows", signs.dot, cx.reasoning_key), look);
        }
        return vec![cut_row(lead, cx)];
    }
    lead.push(signs.pipe, look);
    let mut line = Styled::default();
    line.push(
        clean(text).trim(),
        Look {
            italic: true,
            ..look
        },
    );
    line.rows(cx.width, &lead, &lead, cx.widths)
}

fn remark(text: &str, tone: Tone, cx: &Context) -> Rows {
    let signs = signs(cx.widths);
    let (mark, role) = match tone {
        Tone::Plain => (signs.dot, Role::Text),
        Tone::Notice => (signs.dot, Role::Warn),
        Tone::Failure => (signs.failed, Role::Bad),
    };
    let mut first = Row::of(mark, Look::of(role));
    first.push(" ", Look::default());
    let rest = Row::of(" ".repeat(first.width(cx.widths)), Look::default());
    let mut line = Styled::default();
    line.push(
        clean(text).trim_end(),
        Look::of(if tone == Tone::Plain {
            Role::Text
        } else {
            role
        }),
    );
    line.rows(cx.width, &first, &rest, cx.widths)
}

fn tool(entry: &Entry, call: &Call, cx: &Context) -> Rows {
    let signs = signs(cx.widths);
    let auto = match call.state {
        CallState::Failed => true,
        CallState::Done => exit_code(call).is_some_and(|code| code != 0),
        CallState::Running | CallState::Stopped => false,
    };
    let is_open = match (entry.fold, cx.tools_open) {
        (Fold::Open, _) | (Fold::Auto, Some(true)) => true,
        (Fold::Folded, _) | (Fold::Auto, Some(false)) => false,
        (Fold::Auto, None) => auto,
    };
    let output = clean(&call.output);
    let lines: Vec<&str> = output
        .trim_end()
        .split('\n')
        .filter(|line| !line.trim().is_empty())
        .collect();
    let mut rows = vec![head(call, is_open, &lines, cx)];
    let shown: &[&str] = match (is_open, call.state) {
        (true, _) => &lines[..lines.len().min(OPEN_LINES)],
        (false, CallState::Running) => &lines[lines.len().saturating_sub(LIVE_LINES)..],
        (false, _) => &[],
    };
    let mut lead = indent(cx);
    lead.push("  ", Look::default());
    lead.push(signs.pipe, Look::of(Role::Dim));
    if is_open {
        let mut arguments = Styled::default();
        arguments.push(&clean_line(&call.arguments), Look::of(Role::Dim));
        let argument_rows = arguments.rows(cx.width, &lead, &lead, cx.widths);
        rows.extend(argument_rows.into_iter().take(20));
    }
    let role = if call.state == CallState::Failed {
        Role::Bad
    } else {
        Role::Text
    };
    for line in shown {
        let short: String = line.chars().take(MAX_LINE_CHARS).collect();
        if is_open {
            let mut text = Styled::default();
            text.push(&short, Look::of(role));
            rows.extend(text.rows(cx.width, &lead, &lead, cx.widths));
        } else {
            let mut row = lead.clone();
            row.push(short, Look::of(Role::Dim));
            rows.push(cut_row(row, cx));
        }
    }
    let hidden = lines.len() - shown.len();
    if is_open && hidden > 0 {
        let mut row = lead;
        row.push(
            format!("{} {hidden} more lines (y copies all)", signs.running),
            Look::of(Role::Dim),
        );
        rows.push(cut_row(row, cx));
    }
    rows
}

/// One line: marker, name, the argument that matters; on the right the state as sign and word, and the time.
fn head(call: &Call, is_open: bool, lines: &[&str], cx: &Context) -> Row {
    let signs = signs(cx.widths);
    let code = exit_code(call);
    let (sign, word, role) = match (call.state, code) {
        (CallState::Running, _) => (signs.running, "running".into(), Role::Accent),
        (CallState::Done, None) => (signs.done, "done".into(), Role::Good),
        (CallState::Done, Some(0)) => (signs.done, "exit 0".into(), Role::Good),
        (CallState::Done, Some(code)) => (signs.failed, format!("exit {code}"), Role::Bad),
        (CallState::Failed, _) => (signs.failed, "failed".into(), Role::Bad),
        (CallState::Stopped, _) => (signs.stopped, "stopped".into(), Role::Warn),
    };
    let mut right = Row::of(format!("{sign} {word}"), Look::of(role));
    if call.state != CallState::Running {
        // The line that tells the code is none of the output.
        let n = lines.len().saturating_sub(usize::from(code.is_some()));
        if n > 1 && cx.width >= 60 {
            right.push(format!(" {} {n} lines", signs.dot), Look::of(Role::Dim));
        }
        if let Some(took) = call.took_ms
            && cx.width >= 40
        {
            right.push(format!("  {}", duration(took)), Look::of(Role::Dim));
        }
    }
    let mut left = indent(cx);
    left.push(
        format!("{} ", if is_open { signs.open } else { signs.folded }),
        Look::of(Role::Dim),
    );
    left.push(clean_line(&call.name), Look::default().bold());
    let argument = argument(&call.arguments);
    if !argument.is_empty() {
        left.push("  ", Look::default());
        left.push(argument, Look::of(Role::Code));
    }
    let right_width = right.width(cx.widths);
    let room = cx.width.saturating_sub(right_width + 2);
    let mut row = cut_to(left, room, cx.widths);
    let gap = cx.width.saturating_sub(row.width(cx.widths) + right_width);
    row.push(" ".repeat(gap), Look::default());
    for span in right.spans {
        row.push(span.text, span.look);
    }
    cut_row(row, cx)
}

/// Returns the code with which a finished command ended: `bash` tells it in its last line, `[exit 3]`.
fn exit_code(call: &Call) -> Option<u32> {
    if call.name != "bash" || call.state != CallState::Done {
        return None;
    }
    let last = call.output.trim_end().rsplit('\n').next()?;
    let told = last.strip_prefix("[exit ")?.strip_suffix(']')?;
    let code = told.split(';').next()?;
    code.parse().ok()
}

fn cut_row(row: Row, cx: &Context) -> Row {
    cut_to(row, cx.width, cx.widths)
}

/// Shortens a row to at most so many columns.
fn cut_to(row: Row, columns: usize, widths: Widths) -> Row {
    if row.width(widths) <= columns {
        return row;
    }
    let mut out = Row::default();
    let mut left = columns;
    for span in row.spans {
        let width = widths.text(&span.text);
        if width > left || left == 0 {
            out.push(widths.fit(&span.text, left), span.look);
            break;
        }
        left -= width;
        out.push(span.text, span.look);
    }
    out
}

/// Arguments that say most of a call, in this order.
const TELLING: [&str; 14] = [
    "command",
    "path",
    "pattern",
    "query",
    "url",
    "expression",
    "task",
    "prompt",
    "name",
    "title",
    "chat_id",
    "content",
    "text",
    "id",
];

/// Picks the argument that matters out of JSON text that may be invalid.
fn argument(json: &str) -> String {
    let shown = match serde_json::from_str::<serde_json::Value>(json) {
        Ok(serde_json::Value::Object(map)) => {
            let telling = TELLING.iter().find_map(|key| map.get(*key));
            match telling.or_else(|| map.values().find(|value| value.is_string())) {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None if map.is_empty() => String::new(),
                None => json.to_owned(),
            }
        }
        _ => json.to_owned(),
    };
    let line = clean_line(&shown);
    line.chars().take(MAX_LINE_CHARS).collect()
}

/// Writes a duration as `18 ms`, `2.1 s` or `3 min 4 s`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_that_matters() {
        let check = |json: &str, wanted: &str| assert_eq!(argument(json), wanted);
        check(
            r#"{"timeout":5,"command":"ls -l\nrm \u001b[31mx"}"#,
            "ls -l rm x",
        );
        check(r#"{"pattern":"**/*.pdf"}"#, "**/*.pdf");
        check(r#"{"limit":5}"#, r#"{"limit":5}"#);
        check("{}", "");
        check("{broken", "{broken");
        check("", "");
    }

    #[test]
    fn a_command_tells_its_code() {
        let code = |name: &str, output: &str, state| {
            exit_code(&Call {
                id: "c".to_owned(),
                name: name.to_owned(),
                arguments: "{}".to_owned(),
                output: output.to_owned(),
                state,
                took_ms: None,
            })
        };
        assert_eq!(code("bash", "a\n[exit 3]\n", CallState::Done), Some(3));
        let behind = "[exit 0; stopped in the background: 2]";
        assert_eq!(code("bash", behind, CallState::Done), Some(0));
        assert_eq!(code("bash", "[exit 3]\nmore", CallState::Done), None);
        assert_eq!(code("bash", "[exit soon]", CallState::Done), None);
        assert_eq!(code("bash", "[exit 3]", CallState::Running), None);
        assert_eq!(code("file_read", "[exit 3]", CallState::Done), None);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(18), "18 ms");
        assert_eq!(duration(2_140), "2.1 s");
        assert_eq!(duration(184_000), "3 min 4 s");
    }
}
