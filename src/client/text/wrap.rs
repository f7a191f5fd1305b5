//! Breaks a line into rows. Pure.
//!
//! A row ends between any two Han characters but not inside a Latin word unless the word is longer than the row; it does
//! not begin with closing punctuation nor end with opening punctuation where the neighbour can move along. A cluster is
//! never split, so a wide one never straddles the last column.

use unicode_segmentation::UnicodeSegmentation;

use super::width::Widths;

/// Must not begin a row.
const NO_START: &str = ",.;:!?)]}%，。、；：？！）】」』》〉〕｝”’…·～％ー";
/// Must not end a row.
const NO_END: &str = "([{（【「『《〈〔｛“‘$￥";

/// One row as byte places in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::client) struct Cut {
    /// Where it begins.
    pub(in crate::client) start: usize,
    /// Where the next one begins.
    pub(in crate::client) end: usize,
    /// Where what is shown ends: blanks at the end of a row hang over.
    pub(in crate::client) shown_end: usize,
    /// Columns of what is shown.
    pub(in crate::client) width: usize,
}

#[derive(Clone, Copy)]
struct Cluster {
    at: usize,
    width: usize,
    is_space: bool,
    is_wide: bool,
    no_start: bool,
    no_end: bool,
}

/// Breaks a line without newlines into rows of at most `width` columns, the first of at most `first`. Blanks at the end
/// of a row hang over (`hang`) or count like letters. Gives one row at least; a cluster wider than a row gets its own.
pub(in crate::client) fn wrap(
    line: &str,
    first: usize,
    width: usize,
    widths: Widths,
    hang: bool,
) -> Vec<Cut> {
    let (first, width) = (first.max(1), width.max(1));
    let clusters = clusters(line, widths);
    let mut rows = Vec::new();
    let mut start = 0;
    let mut used = 0;
    let mut last_break = 0;
    let mut at = 0;
    while at < clusters.len() {
        let limit = if rows.is_empty() { first } else { width };
        let cluster = clusters[at];
        if at > start && may_break(clusters[at - 1], cluster, hang) {
            last_break = at;
        }
        let hangs = hang && cluster.is_space;
        if used + cluster.width > limit && at > start && !hangs {
            let end = if last_break > start {
                last_break
            } else {
                forced_break(&clusters, start, at)
            };
            rows.push(cut(line, &clusters, start, end, hang));
            start = end;
            last_break = end;
            used = 0;
            at = end;
            continue;
        }
        used += cluster.width;
        at += 1;
    }
    rows.push(cut(line, &clusters, start, clusters.len(), hang));
    rows
}

fn clusters(line: &str, widths: Widths) -> Vec<Cluster> {
    let make = |at: usize, text: &str| {
        let first = text.chars().next().unwrap_or(' ');
        let width = widths.cluster(text);
        Cluster {
            at,
            width,
            is_space: first == ' ' || first == '\u{3000}',
            is_wide: width >= 2 || ('\u{2e80}'..='\u{9fff}').contains(&first),
            no_start: NO_START.contains(first),
            no_end: NO_END.contains(first),
        }
    };
    if line.is_ascii() {
        return (0..line.len())
            .map(|at| make(at, &line[at..at + 1]))
            .collect();
    }
    line.grapheme_indices(true)
        .map(|(at, text)| make(at, text))
        .collect()
}

fn may_break(before: Cluster, after: Cluster, hang: bool) -> bool {
    if hang && after.is_space {
        return false;
    }
    if before.is_space {
        return true;
    }
    (before.is_wide || after.is_wide) && !after.no_start && !before.no_end
}

/// Finds where to cut a word that is longer than the row: as late as possible, but with punctuation kept to its word.
fn forced_break(clusters: &[Cluster], start: usize, at: usize) -> usize {
    let parts = |end: usize| clusters[end].no_start || clusters[end - 1].no_end;
    (start + 1..=at)
        .rev()
        .find(|end| !parts(*end))
        .unwrap_or(at)
}

fn cut(line: &str, clusters: &[Cluster], start: usize, end: usize, hang: bool) -> Cut {
    let place = |index: usize| clusters.get(index).map_or(line.len(), |cluster| cluster.at);
    let mut shown = end;
    if hang {
        while shown > start && clusters[shown - 1].is_space {
            shown -= 1;
        }
    }
    Cut {
        start: place(start),
        end: place(end),
        shown_end: place(shown),
        width: clusters[start..shown]
            .iter()
            .map(|cluster| cluster.width)
            .sum(),
    }
}
