//! Finds where an edit applies: to the letter, else line by line with growing tolerance. Pure; no thread.
//!
//! Each stage takes over only if the one before found nothing. Whatever fits in more than one place is refused with the
//! lines of all candidates: guessing between them is not ours.

use std::collections::HashMap;
use std::ops::Range;

use super::text::split;
use crate::tools::words::head;

/// Average likeness of lines that counts as the same place.
const FUZZY_AVERAGE: f64 = 0.9;
/// Likeness below which a single line rules a place out.
const FUZZY_LINE: f64 = 0.6;
/// How much worse the second best place must be.
const FUZZY_MARGIN: f64 = 0.05;
/// Shorter pieces are too easily like something else: bytes, or lines.
const FUZZY_BYTES: usize = 40;
const FUZZY_LINES: usize = 3;
/// Most comparisons of lines made for a fuzzy search.
const MAX_COMPARISONS: usize = 2_000_000;
/// Lines are compared by at most this many bytes.
const MAX_COMPARED_BYTES: usize = 400;
/// Likeness from which a place is shown as the nearest.
const SHOWN_LIKENESS: f64 = 0.5;
const MAX_SHOWN_LINES: usize = 8;
const MAX_SHOWN_LINE_BYTES: usize = 150;
const MAX_CANDIDATES: usize = 10;

/// Where to put what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Ranges of the text and their replacement, ascending.
    pub(super) places: Vec<(Range<usize>, String)>,
    /// What the model should know if the match was not exact.
    pub(super) note: Option<String>,
}

/// Finds the places of one edit in `text` (line ends `\n`). `loosely` allows more than exact matches.
///
/// An error is a sentence for the model.
pub(super) fn plan(
    text: &str,
    old: &str,
    new: &str,
    all: bool,
    loosely: bool,
) -> Result<Change, String> {
    let (old, _) = split(old);
    let (new, _) = split(new);
    if old.is_empty() {
        return Err(
            "`old` is empty; give the text to replace, or use file_write to set the whole content"
                .into(),
        );
    }
    if old == new {
        return Err("`old` and `new` are the same; nothing would change".into());
    }
    let exact = exact(text, &old, all)?;
    if !exact.is_empty() {
        let places = exact
            .into_iter()
            .map(|range| (range, new.clone()))
            .collect();
        return Ok(Change { places, note: None });
    }
    let lines = Lines::of(text);
    let piece = Piece::of(&old, &new);
    if !piece.lines.is_empty() {
        for (fits, how) in STAGES {
            let starts = lines.matching(&piece.lines, fits);
            if starts.is_empty() {
                continue;
            }
            if !loosely {
                return Err(format!(
                    "the old text stands there only with other {how} (line {}), and you have not read this file; read it with file_read, then edit",
                    starts[0] + 1
                ));
            }
            if starts.len() > 1 && !all {
                return Err(ambiguous(&starts));
            }
            let note = format!("Matched with other {how} at line {}.", line_list(&starts));
            return Ok(lines.change(&piece, &starts, note));
        }
        if loosely
            && !all
            && let Some((start, likeness)) = lines.fuzzy(&piece, &old)?
        {
            let percent = (likeness * 100.0).floor();
            let note = format!(
                "Matched by likeness ({percent} %) at line {}: check the diff.",
                start + 1
            );
            return Ok(lines.change(&piece, &[start], note));
        }
    }
    Err(not_found(text, &lines, &piece, &new))
}

/// How two lines may differ and still match, and the word for the difference.
type Stage = (fn(&str, &str) -> bool, &'static str);

const STAGES: [Stage; 2] = [
    (
        |a, b| a.trim_end() == b.trim_end(),
        "white space at line ends",
    ),
    (|a, b| a.trim() == b.trim(), "indentation"),
];

fn exact(text: &str, old: &str, all: bool) -> Result<Vec<Range<usize>>, String> {
    if all {
        return Ok(text
            .match_indices(old)
            .map(|(at, _)| at..at + old.len())
            .collect());
    }
    // Overlapping places count: "aa" in "aaa" is not unique.
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(old)) {
        let at = from + found;
        places.push(at..at + old.len());
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
        if places.len() > MAX_CANDIDATES {
            break;
        }
    }
    if places.len() > 1 {
        let mut lines: Vec<usize> = places
            .iter()
            .map(|place| line_of(text, place.start))
            .collect();
        lines.dedup();
        return Err(ambiguous(&lines));
    }
    Ok(places)
}

/// Returns the line, from 0, of a position.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count()
}

fn line_list(lines: &[usize]) -> String {
    let shown: Vec<String> = lines
        .iter()
        .take(MAX_CANDIDATES)
        .map(|line| (line + 1).to_string())
        .collect();
    let more = if lines.len() > MAX_CANDIDATES {
        ", …"
    } else {
        ""
    };
    format!("{}{more}", shown.join(", "))
}

fn ambiguous(lines: &[usize]) -> String {
    let several = if lines.len() == 1 { "line" } else { "lines" };
    format!(
        "the old text stands in more than one place ({several} {}); add lines around it to make it unique, or set \"all\": true",
        line_list(lines)
    )
}

/// The old and new text of an edit as lines, without blank lines around them.
struct Piece<'a> {
    lines: Vec<&'a str>,
    new: &'a str,
    /// The line end behind the last old line goes too.
    takes_line_end: bool,
}

impl<'a> Piece<'a> {
    fn of(old: &'a str, new: &'a str) -> Self {
        let mut lines: Vec<&str> = old.split('\n').collect();
        let mut new = new;
        while lines.first().is_some_and(|line| line.trim().is_empty()) {
            lines.remove(0);
            new = new.strip_prefix('\n').unwrap_or(new);
        }
        let mut takes_line_end = false;
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
            match new.strip_suffix('\n') {
                Some(rest) => new = rest,
                None => takes_line_end = true,
            }
        }
        Self {
            lines,
            new,
            takes_line_end,
        }
    }
}

/// The lines of a text and where each starts.
struct Lines<'a> {
    text: &'a str,
    lines: Vec<&'a str>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let mut lines = Vec::new();
        let mut starts = Vec::new();
        let mut at = 0;
        for line in text.split('\n') {
            lines.push(line);
            starts.push(at);
            at += line.len() + 1;
        }
        Self {
            text,
            lines,
            starts,
        }
    }

    /// Lists the lines where all of `wanted` fit one after another.
    fn matching(&self, wanted: &[&str], fits: fn(&str, &str) -> bool) -> Vec<usize> {
        self.lines
            .windows(wanted.len())
            .enumerate()
            .filter(|(_, window)| {
                window
                    .iter()
                    .zip(wanted)
                    .all(|(line, wanted)| fits(line, wanted))
            })
            .map(|(start, _)| start)
            .collect()
    }

    fn change(&self, piece: &Piece<'_>, starts: &[usize], note: String) -> Change {
        let count = piece.lines.len();
        let mut places: Vec<(Range<usize>, String)> = Vec::new();
        for start in starts {
            let last = start + count - 1;
            let mut end = self.starts[last] + self.lines[last].len();
            if piece.takes_line_end && end < self.text.len() {
                end += 1;
            }
            let range = self.starts[*start]..end;
            if places
                .last()
                .is_none_or(|(before, _)| before.end <= range.start)
            {
                let new = reindent(piece, &self.lines[*start..=last]);
                places.push((range, new));
            }
        }
        Change {
            places,
            note: Some(note),
        }
    }

    /// Scores every place where the piece could go; `None` for a blank piece or if it would take too long.
    fn scores(&self, piece: &Piece<'_>, least: f64) -> Option<Vec<(usize, f64)>> {
        let count = piece.lines.len();
        if count == 0 || self.lines.len().checked_mul(count)? > MAX_COMPARISONS {
            return None;
        }
        let wanted: Vec<Pairs> = piece.lines.iter().map(|line| Pairs::of(line)).collect();
        let lines: Vec<Pairs> = self.lines.iter().map(|line| Pairs::of(line)).collect();
        let allowed = (1.0 - least) * count as f64;
        let scores = lines
            .windows(count)
            .enumerate()
            .filter_map(|(start, window)| {
                let mut lost = 0.0;
                for (line, wanted) in window.iter().zip(&wanted) {
                    lost += 1.0 - line.likeness(wanted);
                    if lost > allowed {
                        return None;
                    }
                }
                Some((start, 1.0 - lost / count as f64))
            });
        Some(scores.collect())
    }

    fn fuzzy(&self, piece: &Piece<'_>, old: &str) -> Result<Option<(usize, f64)>, String> {
        if piece.lines.len() < FUZZY_LINES && old.trim().len() < FUZZY_BYTES {
            return Ok(None);
        }
        let Some(scores) = self.scores(piece, FUZZY_AVERAGE - FUZZY_MARGIN) else {
            return Ok(None);
        };
        let best = scores
            .iter()
            .copied()
            .filter(|(start, likeness)| {
                *likeness >= FUZZY_AVERAGE && self.every_line_alike(piece, *start)
            })
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((start, likeness)) = best else {
            return Ok(None);
        };
        let rivals: Vec<usize> = scores
            .iter()
            .filter(|(_, other)| *other > likeness - FUZZY_MARGIN)
            .map(|(start, _)| *start)
            .collect();
        if rivals.len() > 1 {
            return Err(format!(
                "the old text is not there to the letter, and several places are like it (lines {}); read the file and copy the text exactly",
                line_list(&rivals)
            ));
        }
        Ok(Some((start, likeness)))
    }

    fn every_line_alike(&self, piece: &Piece<'_>, start: usize) -> bool {
        self.lines[start..]
            .iter()
            .zip(&piece.lines)
            .all(|(line, wanted)| Pairs::of(line).likeness(&Pairs::of(wanted)) >= FUZZY_LINE)
    }
}

/// Gives the new lines the indentation that the matched lines have in the file.
fn reindent(piece: &Piece<'_>, matched: &[&str]) -> String {
    let mut indents: HashMap<&str, &str> = HashMap::new();
    for (wanted, line) in piece.lines.iter().zip(matched) {
        if !wanted.trim().is_empty() {
            indents.entry(indent(wanted)).or_insert(indent(line));
        }
    }
    if indents.iter().all(|(given, real)| given == real) {
        return piece.new.to_owned();
    }
    let given = indent(piece.lines[0]);
    let real = indent(matched[0]);
    let lines: Vec<String> = piece
        .new
        .split('\n')
        .map(
            |line| match (line.trim().is_empty(), indents.get(indent(line))) {
                (true, _) => line.to_owned(),
                (_, Some(known)) => format!("{known}{}", line.trim_start()),
                _ => match line.strip_prefix(given) {
                    Some(rest) => format!("{real}{rest}"),
                    None => line.to_owned(),
                },
            },
        )
        .collect();
    lines.join("\n")
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

/// The pairs of neighbouring characters of a line, sorted; likeness is the share two lines have in common (Dice).
struct Pairs(Vec<(char, char)>);

impl Pairs {
    fn of(line: &str) -> Self {
        let line = line.trim();
        let chars: Vec<char> = head(line, MAX_COMPARED_BYTES)
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let mut pairs: Vec<(char, char)> =
            chars.windows(2).map(|pair| (pair[0], pair[1])).collect();
        if let [only] = chars.as_slice() {
            pairs.push((*only, ' '));
        }
        pairs.sort_unstable();
        Self(pairs)
    }

    fn likeness(&self, other: &Self) -> f64 {
        let (mut a, mut b, mut common) = (0, 0, 0);
        while a < self.0.len() && b < other.0.len() {
            match self.0[a].cmp(&other.0[b]) {
                std::cmp::Ordering::Less => a += 1,
                std::cmp::Ordering::Greater => b += 1,
                std::cmp::Ordering::Equal => {
                    common += 1;
                    a += 1;
                    b += 1;
                }
            }
        }
        let sum = self.0.len() + other.0.len();
        if sum == 0 {
            1.0
        } else {
            2.0 * common as f64 / sum as f64
        }
    }
}

fn not_found(text: &str, lines: &Lines<'_>, piece: &Piece<'_>, new: &str) -> String {
    if new.trim().len() >= 8 && text.contains(new) {
        return format!(
            "the old text is not in the file, but the new one is already, at line {}; if that is this edit, go on",
            line_of(text, text.find(new).unwrap_or(0)) + 1
        );
    }
    let nearest = lines
        .scores(piece, SHOWN_LIKENESS)
        .and_then(|scores| scores.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)));
    let Some((start, _)) = nearest else {
        return "the old text is not in the file, nor anything like it; read the file with file_read and copy the text exactly".into();
    };
    let mut out = format!(
        "the old text is not in the file. Nearest is line {}; copy it exactly:",
        start + 1
    );
    for line in lines.lines[start..]
        .iter()
        .take(piece.lines.len().min(MAX_SHOWN_LINES))
    {
        let shown = head(line, MAX_SHOWN_LINE_BYTES);
        let more = if shown.len() < line.len() { "…" } else { "" };
        out.push('\n');
        out.push_str(shown);
        out.push_str(more);
    }
    out
}
