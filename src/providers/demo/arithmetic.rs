//! Finds the calculation in a question, in English and Chinese. Pure; runs on the turn that asks.
//!
//! It rewrites words into an expression and does not compute: that is the calculator tool's work, errors included.

use super::phrase::Phrase;

const ASKS: [&str; 24] = [
    "please ",
    "what is ",
    "what's ",
    "whats ",
    "how much is ",
    "how much are ",
    "tell me ",
    "calculate ",
    "compute ",
    "evaluate ",
    "calc ",
    "the result of ",
    "the value of ",
    "the ",
    "请问",
    "请",
    "帮我",
    "计算一下",
    "计算",
    "算一下",
    "算算",
    "算",
    "求",
    "一下",
];

/// No `!`: behind a number it is the factorial.
const ENDS: [&str; 18] = [
    "?",
    "？",
    "=",
    "＝",
    "。",
    ".",
    "！",
    " please",
    " equal",
    "是多少",
    "等于多少",
    "等于几",
    "等于",
    "多少",
    "是几",
    "的结果",
    "呢",
    "吗",
];

/// Words that stand for an operator.
const OPERATORS: [(&str, &str); 12] = [
    ("multiplied by", "*"),
    ("divided by", "/"),
    ("times", "*"),
    ("plus", "+"),
    ("minus", "-"),
    ("乘以", "*"),
    ("除以", "/"),
    ("加上", "+"),
    ("减去", "-"),
    ("乘", "*"),
    ("加", "+"),
    ("减", "-"),
];

/// Functions that take a list or a number: English name, Chinese name, the calculator's name.
const LISTS: [(&str, &str, &str); 14] = [
    ("average", "平均数", "mean"),
    ("mean", "平均值", "mean"),
    ("arithmetic mean", "均值", "mean"),
    ("median", "中位数", "median"),
    ("sum", "总和", "sum"),
    ("total", "和", "sum"),
    ("maximum", "最大值", "max"),
    ("max", "最大", "max"),
    ("minimum", "最小值", "min"),
    ("min", "最小", "min"),
    ("standard deviation", "标准差", "stdev"),
    ("stdev", "标准偏差", "stdev"),
    ("variance", "方差", "variance"),
    ("square root", "平方根", "sqrt"),
];

/// Functions of the calculator that a question may use as they are.
const FUNCTIONS: [&str; 48] = [
    "abs",
    "acos",
    "asin",
    "atan",
    "atan2",
    "average",
    "avg",
    "cbrt",
    "ceil",
    "comb",
    "cos",
    "cosh",
    "count",
    "deg",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "hypot",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "max",
    "mean",
    "median",
    "min",
    "mod",
    "mode",
    "ncr",
    "npr",
    "percentile",
    "pow",
    "product",
    "pstdev",
    "pvariance",
    "rad",
    "range",
    "round",
    "sign",
    "sin",
    "sqrt",
    "stdev",
    "sum",
    "tan",
    "trunc",
    "variance",
];

/// Returns the expression for the calculator, or `None` if the phrase is no calculation.
pub(super) fn expression(phrase: Phrase<'_>) -> Option<String> {
    let core = phrase.without_leading(&ASKS).without_trailing(&ENDS);
    let plain = fold_width(core.shape());
    let candidate = of_list(&plain)
        .or_else(|| share_of(&plain))
        .unwrap_or_else(|| replace_operators(&plain));
    let candidate = candidate.trim();
    is_expression(candidate).then(|| candidate.to_owned())
}

/// Turns full-width forms into ASCII.
fn fold_width(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{3000}' => ' ',
            _ => c,
        })
        .collect()
}

/// "mean of 3, 4 and 8" and "3、4、8 的平均数".
fn of_list(text: &str) -> Option<String> {
    for (english, chinese, function) in LISTS {
        let list = text
            .strip_prefix(english)
            .and_then(|rest| rest.trim_start().strip_prefix("of "))
            .or_else(|| {
                let rest = text.strip_suffix(chinese)?;
                rest.trim_end().strip_suffix('的')
            });
        if let Some(numbers) = list.and_then(numbers) {
            return Some(format!("{function}({})", numbers.join(", ")));
        }
    }
    None
}

fn numbers(list: &str) -> Option<Vec<String>> {
    let spaced = list
        .replace(" and ", " ")
        .replace(['、', ',', ';', '和', '与'], " ");
    let numbers: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let all = !numbers.is_empty() && numbers.iter().all(|n| n.parse::<f64>().is_ok());
    all.then_some(numbers)
}

/// "2340 的 17.5%" and "2340 的百分之 17.5".
fn share_of(text: &str) -> Option<String> {
    let (whole, share) = text.split_once('的')?;
    let share = share.trim();
    let percent = share
        .strip_suffix('%')
        .or_else(|| share.strip_prefix("百分之"))?;
    Some(format!("{}% of {}", percent.trim(), whole.trim()))
}

fn replace_operators(text: &str) -> String {
    OPERATORS
        .iter()
        .fold(text.to_owned(), |text, (word, sign)| {
            text.replace(word, sign)
        })
}

/// Tells whether a text consists of numbers, signs and known names, and asks for something to be done.
fn is_expression(text: &str) -> bool {
    let mut digits = false;
    let mut work = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '0'..='9' => {
                digits = true;
                taken = rest
                    .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))
                    .unwrap_or(rest.len());
            }
            '+' | '-' | '*' | '/' | '^' | '%' | '×' | '÷' | '−' | '!' => work = true,
            '(' | ')' | ',' | '.' | ' ' => {}
            'a'..='z' => {
                taken = rest
                    .find(|c: char| !c.is_ascii_alphanumeric())
                    .unwrap_or(rest.len());
                match &rest[..taken] {
                    "e" | "pi" => {}
                    "of" | "mod" => work = true,
                    name if FUNCTIONS.contains(&name) && is_called(&rest[taken..]) => work = true,
                    _ => return false,
                }
            }
            _ => return false,
        }
        rest = &rest[taken..];
    }
    digits && work
}

fn is_called(rest: &str) -> bool {
    rest.trim_start().starts_with('(')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::demo::phrase::shape_of;
    use proptest::prelude::*;

    fn found(text: &str) -> Option<String> {
        let shape = shape_of(text)?;
        expression(Phrase::new(text, &shape))
    }

    #[test]
    fn calculations_in_both_languages() {
        for (text, expected) in [
            ("what is 17.5% of 2340?", "17.5% of 2340"),
            ("12*(3+4)", "12*(3+4)"),
            ("12*(3+4) =", "12*(3+4)"),
            ("What's 2 plus 2", "2 + 2"),
            ("compute 10 divided by 4.", "10 / 4"),
            ("sqrt(2)", "sqrt(2)"),
            ("the square root of 2?", "sqrt(2)"),
            ("mean of 3, 4, 8", "mean(3, 4, 8)"),
            ("What is the average of 3, 4 and 8?", "mean(3, 4, 8)"),
            ("2 * pi", "2 * pi"),
            ("5!", "5!"),
            ("1/0", "1/0"),
            ("17 mod 5", "17 mod 5"),
            ("gcd(12, 18)", "gcd(12, 18)"),
            ("hypot (3, 4)", "hypot (3, 4)"),
            ("2340 的 17.5% 是多少", "17.5% of 2340"),
            ("2340的百分之17.5是多少？", "17.5% of 2340"),
            ("计算 12×(3＋4)", "12×(3+4)"),
            ("请问３加４等于多少？", "3+4"),
            ("3、4、8 的平均数是多少", "mean(3, 4, 8)"),
            ("3 和 4 的和", "sum(3, 4)"),
            ("2 的平方根", "sqrt(2)"),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn conversation_is_no_calculation() {
        for text in [
            "",
            "42",
            "hello",
            "what is love?",
            "I have 2 apples + 3 pears",
            "C++ 17",
            "count 3",
            "range 1",
            "你好",
            "我有 3 个苹果",
            "今天的天气",
            "e",
            ":-)",
        ] {
            assert_eq!(found(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(.|[0-9+*/%的加和、 ]){0,60}") {
            let _ = found(&text);
        }
    }
}
