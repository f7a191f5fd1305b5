//! The text that stands in front of what stays of a dialog: the model's summary, and beside it what was kept by rule. Pure.

use std::fmt::Write as _;

use super::facts::Facts;
use super::shrink::shorten;

/// Opens the block; a context block is never shown to people.
pub const SUMMARY_START: &str = "<summary>";
/// Closes the block.
pub const SUMMARY_END: &str = "</summary>";

/// Shares of the room for each kind of fact, in hundredths; what a kind does not need goes to the others.
const SHARES: [(Kind, usize); 8] = [
    (Kind::Open, 12),
    (Kind::Running, 8),
    (Kind::Decisions, 12),
    (Kind::Requests, 10),
    (Kind::Paths, 14),
    (Kind::Addresses, 10),
    (Kind::Ids, 10),
    (Kind::Steps, 24),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Requests,
    Open,
    Running,
    Decisions,
    Paths,
    Addresses,
    Ids,
    Steps,
}

impl Kind {
    fn entries(self, facts: &Facts) -> &[String] {
        match self {
            Self::Requests => &facts.requests,
            Self::Open => &facts.open,
            Self::Running => &facts.running,
            Self::Decisions => &facts.decisions,
            Self::Paths => &facts.paths,
            Self::Addresses => &facts.addresses,
            Self::Ids => &facts.ids,
            Self::Steps => &facts.steps,
        }
    }
}

/// Characters that separate two entries, at most.
const BETWEEN: usize = 3;

/// Characters that an entry takes.
fn cost(entry: &str) -> usize {
    entry.chars().count() + BETWEEN
}

/// Writes the block. `is_fresh` says that the model's summary in the facts covers all that was cut; `request` is what
/// follows word for word of what was cut and need not be quoted; the facts get about `max_chars` characters, and the last
/// request as many again.
pub fn render(facts: &Facts, is_fresh: bool, request: Option<&str>, max_chars: usize) -> String {
    let follows = |text: &str| request.is_some_and(|request| request.trim().starts_with(text));
    let mut out = format!(
        "{SUMMARY_START}\nThe older part of this conversation was compressed; this stands for it. What follows is word for \
         word. Go on from here: do not repeat steps that are done.\n"
    );
    let prose = harmless(facts.prose.trim());
    if !prose.is_empty() {
        let _ = write!(out, "\n{prose}\n");
    }
    if !is_fresh {
        out.push_str("\nOf the newest part no summary could be written; this was kept by rule:\n");
    }
    if !facts.first.is_empty() && !follows(&facts.first) {
        let _ = write!(
            out,
            "\nFirst request: {}\n",
            harmless(&shorten(&facts.first, max_chars / 4))
        );
    }
    if !facts.last.is_empty() && !facts.first.starts_with(&facts.last) && !follows(&facts.last) {
        let _ = write!(
            out,
            "\nLast request: {}\n",
            harmless(&shorten(&facts.last, max_chars))
        );
    }
    for ((kind, _), room) in SHARES.iter().zip(rooms(facts, max_chars)) {
        let entries = kind.entries(facts);
        match kind {
            Kind::Requests => list(&mut out, "Further requests", entries, room),
            Kind::Open => list(&mut out, "Open items", entries, room),
            Kind::Running => list(&mut out, "Running", entries, room),
            Kind::Decisions => list(&mut out, "Decisions and rules", entries, room),
            Kind::Paths => row(&mut out, "Files", entries, room),
            Kind::Addresses => row(&mut out, "Addresses", entries, room),
            Kind::Ids => row(&mut out, "Ids", entries, room),
            Kind::Steps => list(&mut out, &steps_title(facts), entries, room),
        }
    }
    out.push_str(SUMMARY_END);
    out
}

/// Returns the characters that each kind gets, in the order of [`SHARES`].
fn rooms(facts: &Facts, max_chars: usize) -> [usize; SHARES.len()] {
    let wanted = SHARES.map(|(kind, _)| {
        let entries = kind.entries(facts).iter();
        entries.map(|entry| cost(entry)).sum::<usize>()
    });
    let own = SHARES.map(|(_, share)| max_chars * share / 100);
    let kinds = || wanted.iter().zip(&own);
    let spare: usize = kinds().map(|(want, own)| own.saturating_sub(*want)).sum();
    let lacking: usize = kinds().map(|(want, own)| want.saturating_sub(*own)).sum();
    let mut rooms = own;
    for (room, (want, own)) in rooms.iter_mut().zip(kinds()) {
        let lacks = want.saturating_sub(*own);
        // All that is lacked if there is enough, else a part in proportion.
        *room += lacks * spare.min(lacking) / lacking.max(1);
    }
    rooms
}

fn steps_title(facts: &Facts) -> String {
    match facts.n_older_steps {
        0 => "Steps done".to_owned(),
        n => format!("Steps done (after {n} older ones)"),
    }
}

/// Writes entries one a line, the newest that fit.
fn list(out: &mut String, title: &str, entries: &[String], room: usize) {
    write_entries(out, title, entries, room, "\n- ", "\n- ");
}

/// Writes entries side by side, the newest that fit.
fn row(out: &mut String, title: &str, entries: &[String], room: usize) {
    write_entries(out, title, entries, room, " ", ", ");
}

fn write_entries(
    out: &mut String,
    title: &str,
    entries: &[String],
    room: usize,
    first: &str,
    between: &str,
) {
    let mut left = room;
    let n_fitting = entries
        .iter()
        .rev()
        .take_while(|entry| {
            let cost = cost(entry);
            let fits = cost <= left;
            left = left.saturating_sub(cost);
            fits
        })
        .count();
    let newest = &entries[entries.len() - n_fitting..];
    if newest.is_empty() {
        return;
    }
    let _ = write!(out, "\n{title}:");
    for (index, entry) in newest.iter().enumerate() {
        out.push_str(if index == 0 { first } else { between });
        out.push_str(&harmless(entry));
    }
    out.push('\n');
}

/// Takes look-alikes of the block's ends out of outside text.
fn harmless(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
        .replace(SUMMARY_END, "(summary)")
        .replace(SUMMARY_START, "(summary)")
        .replace("<context>", "(context)")
        .replace("</context>", "(context)")
}
