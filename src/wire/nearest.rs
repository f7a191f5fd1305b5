//! Finds the known name closest to a mistyped one. Pure; no thread.

/// Longest input compared; every known name is far shorter, so a longer one is no slip of the keys.
const MAX_CHARS: usize = 32;

/// Returns the closest of `names` if at most a third of the typed characters would have to change.
pub(super) fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    let typed: Vec<char> = typed
        .chars()
        .take(MAX_CHARS + 1)
        .map(|c| match c {
            '-' | ' ' => '_',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    if typed.len() > MAX_CHARS {
        return None;
    }
    let (distance, name) = names
        .iter()
        .map(|name| (distance(&typed, name), *name))
        .min()?;
    (distance <= typed.len() / 3).then_some(name)
}

/// Counts the insertions, deletions and replacements between the two (Levenshtein), one table row at a time.
fn distance(typed: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=typed.len()).collect();
    for (i, wanted) in name.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, got) in typed.iter().enumerate() {
            let replaced = diagonal + usize::from(*got != wanted);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[typed.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_near_names() {
        let names = ["ping", "user_input", "list_sessions", "load_session"];
        let check = |typed, expected| assert_eq!(nearest(typed, &names), expected, "{typed:?}");
        check("pong", Some("ping"));
        check("user-input", Some("user_input"));
        check("User_Input", Some("user_input"));
        check("userinput", Some("user_input"));
        check("list_session", Some("list_sessions"));
        check("x", None);
        check("", None);
        check("subscribe", None);
        check(&"ping".repeat(1000), None);
    }

    #[test]
    fn counts_changes() {
        let check = |typed: &str, name, expected| {
            let typed: Vec<char> = typed.chars().collect();
            assert_eq!(distance(&typed, name), expected);
        };
        check("", "abc", 3);
        check("abc", "", 3);
        check("kitten", "sitting", 3);
        check("你好", "你们好", 1);
    }
}
