//! How alike two words are, for "did you mean" in errors. Pure; no thread.

/// Words are compared by at most this many characters.
const MAX_CHARS: usize = 64;

/// Finds the candidate nearest to `word`, if one is near enough to be what was meant.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter_map(|candidate| distance(word, candidate).map(|distance| (distance, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns how far apart two words are, or `None` if too far to be a slip.
///
/// Equal but for case is 0; up to a third of the characters mistyped counts their number; one word inside the other
/// (`path` in `file_path`) ranks behind those.
pub(crate) fn distance(a: &str, b: &str) -> Option<usize> {
    let a: Vec<char> = a.to_lowercase().chars().take(MAX_CHARS).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(MAX_CHARS).collect();
    let edits = edits(&a, &b);
    let (short, long) = if a.len() < b.len() {
        (&a, &b)
    } else {
        (&b, &a)
    };
    if edits <= (short.len() + 1) / 3 {
        return Some(edits);
    }
    let inside = short.len() >= 3 && long.windows(short.len()).any(|part| part == &short[..]);
    inside.then_some(MAX_CHARS + edits)
}

/// Counts insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["path", "offset", "limit"];
        assert_eq!(closest("pth", names), Some("path"));
        assert_eq!(closest("file_path", names), Some("path"));
        assert_eq!(closest("OFFSET", names), Some("offset"));
        assert_eq!(closest("ofsfet", names), Some("offset"));
        assert_eq!(closest("colour", names), None);
        assert_eq!(closest("", names), None);
    }

    #[test]
    fn works_on_chinese() {
        assert_eq!(
            closest("会议记录.md", ["会议纪录.md", "x"]),
            Some("会议纪录.md")
        );
    }
}
