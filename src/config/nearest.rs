//! Finding the name someone probably meant. Pure functions; no thread, no state.

/// Names longer than this are not compared: the cost grows with the square.
const MAX_CHARS: usize = 64;

/// Candidates beyond this many are not compared.
const MAX_CANDIDATES: usize = 1_000;

/// Returns the candidate most like `name`, if one is like it at all.
///
/// Case, `_` and `-` do not count, so `baseUrl` finds `base_url`. Otherwise at most a third of the characters may
/// differ; a swap of neighbours counts once.
pub(super) fn nearest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let wanted = folded(name);
    if wanted.is_empty() || wanted.len() > MAX_CHARS {
        return None;
    }
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter_map(|candidate| {
            let letters = folded(candidate);
            let limit = (wanted.len().max(letters.len()) / 3).max(1);
            let fits = !letters.is_empty() && letters.len().abs_diff(wanted.len()) <= limit;
            let distance = fits.then(|| distance(&wanted, &letters))?;
            (distance <= limit && distance < wanted.len()).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .take(MAX_CHARS + 1)
        .collect()
}

/// Counts insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &right) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(left != right))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && left == b[j - 1] && a[i - 1] == right {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let keys = ["workspace_dir", "providers", "api_key", "base_url"];
        for (name, expected) in [
            ("workspce_dir", Some("workspace_dir")),
            ("workspaceDir", Some("workspace_dir")),
            ("provider", Some("providers")),
            ("apikey", Some("api_key")),
            ("api_kye", Some("api_key")),
            ("BASE-URL", Some("base_url")),
            ("colour", None),
            ("", None),
            ("_", None),
        ] {
            assert_eq!(nearest(name, keys), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
        assert_eq!(nearest("模形", ["模型", "默认"]), Some("模型"));
        assert_eq!(nearest("默认模形", ["默认模型", "默认"]), Some("默认模型"));
    }
}
