//! Situations the demo can play on request: failures, slowness, long answers, many tool rounds. Pure.
//!
//! Only names and texts are here; `mod.rs` performs them.

/// Longest wait of "play slow", in seconds.
const MAX_SECS: u64 = 3_600;
/// Most rounds of "play tools".
const MAX_ROUNDS: usize = 1_000;

/// A situation to play.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Play {
    /// The service refuses for now.
    RateLimited,
    /// The service fails.
    Broken,
    /// The second half of the answer comes after this many seconds.
    Slow(u64),
    /// A long answer with every kind of markup.
    Markdown,
    /// Reasoning before the answer.
    Reasoning,
    /// The stream ends in the middle.
    Truncated,
    /// This many rounds of one calculation each.
    Tools(usize),
}

/// Reads "play 429" or "模拟 429"; `None` if the text asks for no play that exists.
pub(super) fn parse(text: &str) -> Option<Play> {
    let text = text.trim().to_lowercase();
    let rest = ["play", "模拟"]
        .iter()
        .find_map(|word| text.strip_prefix(word))?;
    let rest = rest.trim().trim_end_matches(['.', '。', '!', '！']);
    let digits = rest
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (name, number) = rest.split_at(digits);
    let number = number
        .trim_end_matches(['秒', '轮', '次', 's', ' '])
        .parse()
        .ok();
    match (name.trim(), number) {
        ("", Some(429)) => Some(Play::RateLimited),
        ("", Some(500)) => Some(Play::Broken),
        ("slow" | "慢" | "缓慢", secs) => Some(Play::Slow(secs.unwrap_or(10).min(MAX_SECS))),
        ("long markdown" | "markdown" | "长 markdown" | "长文", None) => Some(Play::Markdown),
        ("reasoning" | "推理" | "思考", None) => Some(Play::Reasoning),
        ("truncated" | "截断", None) => Some(Play::Truncated),
        ("tools" | "工具", n) => Some(Play::Tools(
            usize::try_from(n.unwrap_or(5)).map_or(MAX_ROUNDS, |n| n.clamp(1, MAX_ROUNDS)),
        )),
        _ => None,
    }
}

/// Returns a long text with headings, lists, a table, code, quotes, wide characters and emoji.
pub(super) fn markdown() -> String {
    let mut out = String::from("# A long answer · 一个很长的回答\n");
    for section in 1..=24 {
        out.push_str(&format!(
            "\n## {section}. Section · 第 {section} 节\n\n\
             Some **bold**, some *italic*, some `code`, a [link](https://example.com/{section}) and 中文全角字符，还有 emoji 🦀.\n\n\
             - a list\n  - with a second level\n- and 一个很长很长的列表项，长到在窄的终端里一定要换行，这样才能看出换行对不对\n\n\
             | name | 数量 | price |\n|---|---:|:---:|\n| tea | {section} | 3.50 |\n| 苹果 | 12 | 0.80 |\n\n\
             ```rust\nfn section() -> u32 {{\n    {section}\n}}\n```\n\n\
             > A quotation, 引用。\n"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plays_in_both_languages() {
        for (text, play) in [
            ("play 429", Some(Play::RateLimited)),
            ("模拟 429", Some(Play::RateLimited)),
            ("Play 500.", Some(Play::Broken)),
            ("模拟500", Some(Play::Broken)),
            ("play slow 30", Some(Play::Slow(30))),
            ("play slow", Some(Play::Slow(10))),
            ("play slow 99999", Some(Play::Slow(MAX_SECS))),
            ("模拟慢 3 秒", Some(Play::Slow(3))),
            ("play long markdown", Some(Play::Markdown)),
            ("模拟长文", Some(Play::Markdown)),
            ("play reasoning", Some(Play::Reasoning)),
            ("模拟推理", Some(Play::Reasoning)),
            ("play truncated", Some(Play::Truncated)),
            ("模拟 截断", Some(Play::Truncated)),
            ("play tools 40", Some(Play::Tools(40))),
            ("模拟工具 40 轮", Some(Play::Tools(40))),
            ("play tools 0", Some(Play::Tools(1))),
            ("play", None),
            ("play chess", None),
            ("play 404", None),
            ("playing 429", None),
        ] {
            assert_eq!(parse(text), play, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(play|模拟)?(.|[0-9]){0,40}") {
            let _ = parse(&text);
        }
    }
}
