//! Titles of dialogs: cleaned when a person gives one, made from the first message when nobody does. Pure.

use unicode_segmentation::UnicodeSegmentation;

/// Longest title, in characters; longer ones are cut.
const MAX_CHARS: usize = 256;
/// Longest title made from a message, in clusters (what people count as characters).
const AUTO_CLUSTERS: usize = 40;
/// A cut title may lose this much of its end to stop between two words.
const AUTO_SLACK: usize = 12;

/// Makes a title one clean line of at most 256 characters; empty if nothing visible is left.
pub fn clean_title(text: &str) -> String {
    let line = one_line(text);
    if line.chars().nth(MAX_CHARS).is_none() {
        return line;
    }
    let mut cut = String::new();
    let mut n_chars = 0;
    for cluster in line.graphemes(true) {
        n_chars += cluster.chars().count();
        if n_chars > MAX_CHARS {
            break;
        }
        cut.push_str(cluster);
    }
    cut.truncate(cut.trim_end().len());
    cut
}

/// Leaves out the lines that say whose words follow and where they end (marks of foreign words, see `tools::untrusted`): people
/// want to see the words. What the sender said without marks comes first.
pub(super) fn words_of(message: &str) -> String {
    let is_mark = |line: &str, word: &str| line.starts_with(&format!("[{word} untrusted "));
    if !message.lines().any(|line| is_mark(line, "begin")) {
        return message.to_owned();
    }
    let mut own = Vec::new();
    let mut foreign = Vec::new();
    let mut is_inside = false;
    for line in message.lines() {
        if is_mark(line, "begin") {
            is_inside = true;
        } else if is_mark(line, "end") {
            is_inside = false;
        } else if is_inside {
            foreign.push(line);
        } else {
            own.push(line);
        }
    }
    own.extend(foreign);
    own.join("\n").trim().to_owned()
}

/// Makes a title from a dialog's first message: its first line with words in it, without the signs of Markdown.
pub(super) fn auto_title(message: &str) -> String {
    let lines = || {
        message
            .lines()
            .filter(|line| !line.trim_start().starts_with("```"))
    };
    let has_words = |line: &&str| line.chars().any(char::is_alphanumeric);
    let line = lines()
        .find(has_words)
        .or_else(|| lines().find(|line| !line.trim().is_empty()))
        .unwrap_or_default();
    let line = one_line(line.trim_start_matches(['#', '>', '-', '•', ' ', '\t']));
    let marks = ['*', '`', '_', ' '];
    let line = match line.trim_start_matches(marks) {
        unmarked if unmarked.len() < line.len() => unmarked.trim_end_matches(marks),
        plain => plain,
    };
    let clusters: Vec<&str> = line.graphemes(true).collect();
    if clusters.len() <= AUTO_CLUSTERS {
        return line.to_owned();
    }
    let kept = &clusters[..AUTO_CLUSTERS];
    let between_words = (AUTO_CLUSTERS - AUTO_SLACK..AUTO_CLUSTERS)
        .rev()
        .find(|at| clusters[*at].trim().is_empty());
    let end = between_words.unwrap_or(AUTO_CLUSTERS);
    let cut = kept[..end].concat();
    format!("{}…", cut.trim_end())
}

/// Joins all words by single spaces and drops what would break a line or turn its direction; empty if nobody would see
/// anything of it.
fn one_line(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_direction(*c))
        .collect();
    let words: Vec<&str> = visible.split(' ').filter(|word| !word.is_empty()).collect();
    if words.iter().all(|word| word.chars().all(is_unseen)) {
        return String::new();
    }
    words.join(" ")
}

/// Characters that only change or join others, or hold a place for nothing (Unicode `Default_Ignorable_Code_Point`, the part
/// of it that is in use).
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2064}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The marks that reorder text around them (Unicode bidirectional controls).
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_titles() {
        assert_eq!(clean_title("  Trip \n to\tKyoto "), "Trip to Kyoto");
        assert_eq!(clean_title("整理 下载 📁"), "整理 下载 📁");
        assert_eq!(clean_title("\u{1b}[31mred\u{202e}"), "[31mred");
        assert_eq!(clean_title("\u{202e}\u{7}"), "");
        assert_eq!(clean_title("\u{200b} \u{feff}\u{3164}"), "");
        assert_eq!(clean_title("❤\u{fe0f}"), "❤\u{fe0f}");
        let family = "👨‍👩‍👧‍👦";
        let long = clean_title(&family.repeat(100));
        assert!(long.chars().count() <= MAX_CHARS);
        assert_eq!(long.replace(family, ""), "", "no cluster is cut in two");
    }

    #[test]
    fn marks_are_no_words() {
        assert_eq!(words_of("a\nb"), "a\nb");
        let guest = "[begin untrusted 6b1b1d70: Feishu message of 小明 (ou_b), not an owner]\n周报在哪里？\n[end untrusted 6b1b1d70]";
        assert_eq!(words_of(guest), "周报在哪里？");
        let quote = "[begin untrusted 63223b41: quoted Feishu message of a person]\nold\n[end untrusted 63223b41]\n\nwhat?";
        assert_eq!(words_of(quote), "what?\nold");
        assert_eq!(auto_title(&words_of(quote)), "what?");
    }

    #[test]
    fn made_titles() {
        assert_eq!(auto_title("hello"), "hello");
        assert_eq!(
            auto_title("\n\n## *Plan* for today\nmore"),
            "Plan* for today"
        );
        assert_eq!(auto_title("```rust\nfn main() {}\n```"), "fn main() {}");
        assert_eq!(auto_title("* **Plan**"), "Plan");
        assert_eq!(auto_title("the key is ***"), "the key is ***");
        assert_eq!(auto_title("???"), "???");
        assert_eq!(auto_title(" \n"), "");
        assert_eq!(auto_title("\u{200b}"), "");
        assert_eq!(
            auto_title("Please write me a long letter about the garden and the weather"),
            "Please write me a long letter about the…"
        );
        assert_eq!(
            auto_title(&"字".repeat(41)),
            format!("{}…", "字".repeat(40))
        );
    }
}
