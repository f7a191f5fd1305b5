//! Wrapping and Markdown: the rules for Chinese text one by one, and what must hold for any text.

use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;

fn rows(text: &str, width: usize) -> Vec<String> {
    let cuts = wrap(text, width, width, Widths::default(), true);
    cuts.iter()
        .map(|cut| text[cut.start..cut.shown_end].to_owned())
        .collect()
}

#[test]
fn a_wide_cluster_never_straddles_the_last_column() {
    assert_eq!(rows("a整理下载", 4), ["a整", "理下", "载"]);
    assert_eq!(rows("👨‍👩‍👧‍👦👨‍👩‍👧‍👦", 3), ["👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦"]);
    assert_eq!(
        rows("中文", 1),
        ["中", "文"],
        "wider than a row: one by one"
    );
}

#[test]
fn punctuation_stays_with_its_neighbour() {
    assert_eq!(rows("整理下载,好的", 8), ["整理下", "载,好的"]);
    assert_eq!(rows("整理下载。好的", 8), ["整理下", "载。好的"]);
    assert_eq!(rows("整理下(载)", 7), ["整理下", "(载)"]);
    assert_eq!(rows("他说「你好」", 6), ["他说", "「你", "好」"]);
    assert_eq!(rows("中中中!?", 6), ["中中", "中!?"]);
    assert_eq!(
        rows("。。。。", 4),
        ["。。", "。。"],
        "nothing that can move along"
    );
}

#[test]
fn latin_words_stay_whole_and_han_breaks_anywhere() {
    assert_eq!(rows("hello world", 8), ["hello", "world"]);
    assert_eq!(rows("把hello整理world", 7), ["把hello", "整理", "world"]);
    assert_eq!(rows("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
    assert_eq!(rows("一二三四五六", 4), ["一二", "三四", "五六"]);
    assert_eq!(rows("a    b", 2), ["a", "b"], "blanks hang over");
    assert_eq!(rows("", 5), [""]);
    assert_eq!(rows("  indented", 20), ["  indented"]);
    assert_eq!(rows("abcdefgh.", 8), ["abcdefg", "h."]);
}

#[test]
fn ambiguous_width_changes_the_rows() {
    let wide = Widths {
        ambiguous_is_wide: true,
    };
    let cuts = wrap("①②③④", 4, 4, wide, true);
    assert_eq!(cuts.len(), 2);
}

fn any_text() -> impl Strategy<Value = String> {
    "([a-z]{1,12}|[ ]{1,3}|[中文整理下载]{1,5}|[,。、;:?!)】」》(【「《]|👨‍👩‍👧‍👦|🇨🇳|e\u{301}|한|①|…|-){0,30}"
}

proptest! {
    #[test]
    fn rows_fit_and_give_the_text_back(text in any_text(), first in 2usize..30, width in 2usize..30, hang: bool) {
        for widths in [Widths::default(), Widths { ambiguous_is_wide: true }] {
            let cuts = wrap(&text, first, width, widths, hang);
            let joined: String = cuts.iter().map(|cut| &text[cut.start..cut.end]).collect();
            prop_assert_eq!(&joined, &text);
            for (n, cut) in cuts.iter().enumerate() {
                let shown = &text[cut.start..cut.shown_end];
                prop_assert_eq!(widths.text(shown), cut.width);
                prop_assert!(cut.width <= if n == 0 { first } else { width }, "{:?} in {:?}", shown, text);
            }
        }
    }

    #[test]
    fn closing_punctuation_begins_no_row_without_need(text in "[中文ab,。」「( ]{0,40}", width in 4usize..20) {
        let cuts = wrap(&text, width, width, Widths::default(), true);
        for pair in cuts.windows(2) {
            let (before, row) = (&text[pair[0].start..pair[0].end], &text[pair[1].start..pair[1].end]);
            let closes = row.starts_with([',', '。', '」']) && !before.ends_with(' ');
            // A neighbour that could move along would be a cluster that neither closes nor follows an opening one.
            let movable = before.graphemes(true).rev().skip_while(|c| [",", "。", "」"].contains(c)).count() > 1;
            let tail: usize = before.graphemes(true).rev().take_while(|c| [",", "。", "」"].contains(c)).count();
            prop_assert!(!closes || !movable || tail > 0 || before.contains(['「', '(']), "{:?} | {:?}", before, row);
        }
    }

    #[test]
    fn markdown_takes_anything(text in "([#>*|`\\-0-9. \n]|[a-z中文]{1,5}|\\[a\\]\\(b\\)|```\n|\\|a\\|b\\|\n\\|-\\|-\\|\n){0,40}", width in 1usize..60) {
        let widths = Widths::default();
        for row in markdown(&text, width, &Row::default(), widths, None) {
            prop_assert!(row.width(widths) <= width.max(8), "{:?} in {:?}", row.text(), text);
        }
    }
}

fn shown(text: &str, width: usize) -> String {
    let rows = markdown(text, width, &Row::default(), Widths::default(), None);
    rows.iter()
        .map(|row| row.text())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn markdown_blocks() {
    insta::assert_snapshot!(shown(
        "# 标题\n\nText with **bold**, `code` and [a link](https://example.org).\nSecond line\n\n1. 新建目录\n2. 移动\n   - nested 嵌套\n   - item\n3. end\n\n> 引用的话\n> 第二行\n\n---\n```rust\nfn main() {\n    let x = 1;\n}\n```\n- [x] done\n- [ ] open\n\nend",
        40
    ));
}

#[test]
fn markdown_tables() {
    let table = "| 名称 | size | note |\n|:--|--:|:-:|\n| 整理下载目录.pdf | 12 | a longer note that wraps |\n| b | 1024 | ok |\n";
    insta::assert_snapshot!(shown(table, 44));
    insta::assert_snapshot!(shown(table, 14));
}

#[test]
fn bare_addresses_are_not_doubled() {
    assert_eq!(
        shown("<https://example.org/中文>", 60),
        "https://example.org/中文"
    );
    assert_eq!(shown("![图](a.png)", 60), "图 (a.png)");
}
