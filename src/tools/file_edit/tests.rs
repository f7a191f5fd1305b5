//! The file tools as the agent calls them: reading, writing, editing, and what they say when they refuse.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::find::plan;
use crate::media::testing::png;
use crate::tools::testing::Bench;
use crate::tools::{Effects, Registry, ToolError, WebSettings, builtin};

fn edit(old: &str, new: &str) -> Value {
    json!({"path": "f", "edits": [{"old": old, "new": new}]})
}

/// A bench with the file `f`, which the dialog has read.
fn read_file(content: &str) -> Bench {
    let bench = Bench::new();
    bench.put("f", content);
    bench.ok("file_read", json!({"path": "f"}));
    bench
}

/// Edits `content`, which was read before, and checks what the file holds then.
fn check(content: &str, old: &str, new: &str, expected: &str) -> String {
    let bench = read_file(content);
    let shown = bench.ok("file_edit", edit(old, new));
    assert_eq!(bench.get("f"), expected);
    shown
}

fn refused(content: &str, old: &str, new: &str, expected: &str) {
    let bench = read_file(content);
    let error = bench.err("file_edit", edit(old, new));
    assert!(error.contains(expected), "{error}");
    assert_eq!(bench.get("f"), content);
}

#[test]
fn exact_edits_show_a_diff() {
    let shown = check("one\ntwo\nthree\n", "two", "2", "one\n2\nthree\n");
    assert_eq!(shown, "Edited f\n@@ -1 +1 @@\n one\n-two\n+2\n three\n");
    check("一二三", "二", "2 🎉", "一2 🎉三");
    check("a\nb\n", "a\n", "", "b\n");
    check("no end", "end", "line end", "no line end");
}

#[test]
fn line_ends_and_marks_stay() {
    check("a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", "x\r\ny\r\nz\r\nc\r\n");
    check("a\r\nb\r\n", "a\r\nb", "x", "x\r\n");
    check("\u{FEFF}a\nb", "a", "x", "\u{FEFF}x\nb");
    check("a\r\nb\nc\r\nd\r\n", "c", "C", "a\r\nb\nC\r\nd\r\n");
}

#[test]
fn white_space_at_line_ends_and_indentation_are_forgiven() {
    let shown = check(
        "fn a() {  \n    x();\n}\n",
        "fn a() {\n    x();\n}",
        "fn b() {\n    y();\n}",
        "fn b() {\n    y();\n}\n",
    );
    assert!(
        shown.contains("Matched with other white space at line ends at line 1."),
        "{shown}"
    );
    let shown = check(
        "mod m {\n    fn a() {\n        x();\n    }\n}\n",
        "fn a() {\n    x();\n}",
        "fn a() {\n    y();\n    if z {\n        w();\n    }\n}",
        "mod m {\n    fn a() {\n        y();\n        if z {\n            w();\n        }\n    }\n}\n",
    );
    assert!(
        shown.contains("Matched with other indentation at line 2."),
        "{shown}"
    );
    check(
        "if x:\n\tgo()\n",
        "if x:\n    go()",
        "if x:\n    stop()",
        "if x:\n\tstop()\n",
    );
    check("a\n  b  \nc\n", "\n b\n", "\n B\n", "a\n  B\nc\n");
    check("a\n  b\nc\n", "    b\n", "", "a\nc\n");
}

#[test]
fn a_piece_much_like_one_place_is_found() {
    let file = "use std::io;\n\nfn read_the_file(path: &Path) -> io::Result<String> {\n    let text = std::fs::read_to_string(path)?;\n    Ok(text)\n}\n\nfn other() {}\n";
    let shown = check(
        file,
        "fn read_the_file(path: &Path) -> io::Result<String> {\n    let txt = std::fs::read_to_string(path)?;\n    Ok(text)\n}",
        "fn gone() {}",
        "use std::io;\n\nfn gone() {}\n\nfn other() {}\n",
    );
    assert!(shown.contains("Matched by likeness"), "{shown}");
    refused(
        "port = 8080\n",
        "port = 8081",
        "port = 9000",
        "Nearest is line 1; copy it exactly:\nport = 8080",
    );
    let twins =
        "call_the_function(alpha, beta, gamma, 1)\ncall_the_function(alpha, beta, gamma, 2)\n";
    refused(
        twins,
        "call_the_function(alpha, beta, gamma, 3)",
        "x",
        "several places are like it (lines 1, 2)",
    );
}

#[test]
fn ambiguity_is_refused_with_the_lines() {
    refused("a\nb\na\n", "a", "x", "more than one place (lines 1, 3)");
    refused("aaa", "aa", "x", "more than one place (line 1)");
    refused(
        "  a\nb\n    a\n",
        "\ta",
        "x",
        "more than one place (lines 1, 3)",
    );
    let bench = read_file("a\nb\na\n");
    bench.ok(
        "file_edit",
        json!({"path": "f", "edits": [{"old": "a", "new": "x", "all": true}]}),
    );
    assert_eq!(bench.get("f"), "x\nb\nx\n");
}

#[test]
fn several_edits_are_made_in_order_or_not_at_all() {
    let bench = read_file("a\nb\nc\n");
    let arguments = json!({"path": "f", "edits": [{"old": "a", "new": "b2"}, {"old": "b2", "new": "A"}, {"old": "c", "new": ""}]});
    bench.ok("file_edit", arguments);
    assert_eq!(bench.get("f"), "A\nb\n\n");
    let arguments =
        json!({"path": "f", "edits": [{"old": "A", "new": "x"}, {"old": "nowhere", "new": "y"}]});
    let error = bench.err("file_edit", arguments);
    assert!(
        error.contains("nothing was changed, because of edit 2 of 2"),
        "{error}"
    );
    assert_eq!(bench.get("f"), "A\nb\n\n");
    bench.ok(
        "file_edit",
        json!({"path": "f", "old": "A", "new": "single"}),
    );
    assert_eq!(bench.get("f"), "single\nb\n\n");
    bench.ok(
        "file_edit",
        json!({"path": "f", "edits": "[{\"old\": \"single\", \"new\": \"text\"}]"}),
    );
    assert_eq!(bench.get("f"), "text\nb\n\n");
}

#[test]
fn a_file_changed_since_it_was_read_is_not_edited() {
    let bench = read_file("one\n");
    bench.put("f", "one\ntwo\n");
    let error = bench.err("file_edit", edit("one", "1"));
    assert!(error.contains("changed by someone else"), "{error}");
    let error = bench.err("file_write", json!({"path": "f", "content": "mine"}));
    assert!(error.contains("changed by someone else"), "{error}");
    assert_eq!(bench.get("f"), "one\ntwo\n");
    bench.ok("file_read", json!({"path": "f"}));
    bench.ok("file_edit", edit("one", "1"));
    bench.ok("file_edit", edit("1", "I"));
    assert_eq!(bench.get("f"), "I\ntwo\n");
}

#[test]
fn a_file_never_read_needs_an_exact_match() {
    let bench = Bench::new();
    bench.put("f", "  one\n  two\n");
    let error = bench.err("file_edit", edit("one\ntwo", "x"));
    assert!(error.contains("you have not read this file"), "{error}");
    bench.ok("file_edit", edit("  one\n  two", "x"));
    assert_eq!(bench.get("f"), "x\n");
}

#[test]
fn bad_edits_say_what_to_do() {
    refused("a\n", "", "x", "`old` is empty");
    refused("a\n", "a", "a", "`old` and `new` are the same");
    refused("a\n", "zzzzzz", "x", "nor anything like it");
    refused(
        "a\nnew text here\n",
        "old text that is gone",
        "new text here",
        "already, at line 2",
    );
    let bench = Bench::new();
    bench.put("photo.png", b"\x89PNG\r\n\x1a\n\0\0");
    bench.put("odd", b"\xFF\xFD\x80\x81");
    bench.put("notes.md", "x");
    let edit = |path: &str| json!({"path": path, "edits": [{"old": "a", "new": "b"}]});
    assert!(
        bench
            .err("file_edit", edit("photo.png"))
            .contains("a PNG image")
    );
    let error = bench.err("file_edit", edit("odd"));
    assert!(error.contains("no encoding that can be told"), "{error}");
    let error = bench.err("file_edit", edit("note.md"));
    assert!(
        error.contains("make it with file_write") && error.contains("notes.md"),
        "{error}"
    );
    assert!(
        bench
            .err("file_edit", edit("../x"))
            .contains("outside the workspace")
    );
    assert!(
        bench
            .err("file_edit", json!({"path": "f"}))
            .contains("needs `edits`")
    );
    assert!(
        bench
            .err("file_edit", json!({"path": "f", "edits": [{"old": "a"}]}))
            .contains("edits[0].new is missing")
    );
    let many: Vec<_> = (0..101).map(|n| json!({"old": n, "new": ""})).collect();
    assert!(
        bench
            .err("file_edit", json!({"path": "f", "edits": many}))
            .contains("101 edits")
    );
}

#[test]
fn reading_pages_through_a_file() {
    let bench = Bench::new();
    let lines: String = (1..=10).map(|n| format!("line {n}\n")).collect();
    bench.put("f", &lines);
    assert_eq!(
        bench.ok("file_read", json!({"path": "f"})),
        format!("f · 10 lines\n{lines}")
    );
    assert_eq!(
        bench.ok("file_read", json!({"path": "f", "offset": 3, "limit": 2})),
        "f · lines 3–4 of 10\nline 3\nline 4\n[6 more lines; continue with offset 5]\n"
    );
    assert_eq!(
        bench.ok("file_read", json!({"path": "f", "offset": "10"})),
        "f · lines 10–10 of 10\nline 10\n"
    );
    assert!(
        bench
            .err("file_read", json!({"path": "f", "offset": 11}))
            .contains("f has 10 lines, so there is no line 11")
    );
    assert!(
        bench
            .err("file_read", json!({"path": "f", "offset": 0}))
            .contains("offset must be")
    );
    bench.put("empty", "");
    assert_eq!(
        bench.ok("file_read", json!({"path": "empty"})),
        "empty · empty"
    );
    bench.put("crlf", "a\r\nb");
    assert_eq!(
        bench.ok("file_read", json!({"path": "crlf"})),
        "crlf · 2 lines · CRLF line ends\na\nb\n"
    );
    bench.put("odd", b"ab\xFF\xFD\x80\n");
    let shown = bench.ok("file_read", json!({"path": "odd"}));
    assert!(
        shown.contains("not all of it is UTF-8") && shown.contains("ab\u{FFFD}"),
        "{shown}"
    );
}

#[test]
fn long_files_and_lines_are_cut_with_the_way_to_go_on() {
    let bench = Bench::new();
    let lines: String = (1..=20_000).map(|n| format!("{n:>99}\n")).collect();
    bench.put("f", &lines);
    let first = bench.ok("file_read", json!({"path": "f"}));
    assert!(first.len() < 16_000, "{}", first.len());
    assert!(
        first.starts_with("f · lines 1–150 of 20000\n"),
        "{first:.60}"
    );
    assert!(first.ends_with("[19850 more lines; continue with offset 151]\n"));
    let wide = bench.ok(
        "file_read",
        json!({"path": "f", "offset": 100, "limit": 19_000}),
    );
    assert!(wide.ends_with("[19751 more lines; continue with offset 250]\n"));
    assert!(wide.len() < 16_000, "{}", wide.len());
    bench.put("wide", format!("{}\nnext\n", "字".repeat(100_000)));
    let shown = bench.ok("file_read", json!({"path": "wide"}));
    assert!(
        shown.contains("字… [296001 more bytes in this line]\nnext\n"),
        "{shown:.200}"
    );
    assert!(!shown.contains("not UTF-8"));
}

#[test]
fn texts_in_other_encodings_are_read_and_edited_in_place() {
    use encoding_rs::{GB18030, SHIFT_JIS, WINDOWS_1252};
    let texts = [
        (
            GB18030,
            "会议记录：\r\n下周一开会，请准时参加。\r\n",
            "下周一",
            "星期二",
        ),
        (SHIFT_JIS, "これはテストです。\n終わり\n", "テスト", "本番"),
        (
            WINDOWS_1252,
            "Le château était fermé.\n",
            "fermé",
            "ouvert à midi",
        ),
    ];
    for (encoding, text, old, new) in texts {
        let bench = Bench::new();
        bench.put("f", encoding.encode(text).0);
        let shown = bench.ok("file_read", json!({"path": "f"}));
        let head = shown.lines().next().unwrap();
        assert!(head.contains(&format!(" · {}", encoding.name())), "{head}");
        assert!(shown.contains(text.lines().next().unwrap()), "{shown}");
        bench.ok("file_edit", edit(old, new));
        let bytes = std::fs::read(bench.at("f")).unwrap();
        assert_eq!(
            encoding.decode_without_bom_handling(&bytes).0,
            text.replace(old, new)
        );
    }
    let bench = Bench::new();
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    bench.put("f", utf16("\u{FEFF}one\r\n你好 🎉\r\n"));
    let shown = bench.ok("file_read", json!({"path": "f"}));
    assert_eq!(
        shown,
        "f · 2 lines · CRLF line ends · UTF-16LE\none\n你好 🎉\n"
    );
    bench.ok("file_edit", edit("one", "eins"));
    assert_eq!(
        std::fs::read(bench.at("f")).unwrap(),
        utf16("\u{FEFF}eins\r\n你好 🎉\r\n")
    );
    let bench = Bench::new();
    bench.put("f", WINDOWS_1252.encode("été à la plage\n").0);
    let error = bench.err("file_edit", edit("plage", "海滩"));
    assert!(error.contains("in windows-1252, which lacks"), "{error}");
    let written = bench.ok("file_write", json!({"path": "f", "content": "海滩"}));
    assert!(written.contains("was not UTF-8 before"), "{written}");
}

#[test]
fn images_are_shown_to_models_that_see() {
    let bench = Bench::new();
    bench.put("图/a.txt", png(30, 20));
    let (text, shown) = bench.call_showing("file_read", &json!({"path": "图/a.txt"}));
    let text = text.unwrap();
    assert!(text.starts_with("图/a.txt · image, "), "{text}");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].note(), "[image: a.txt, 30x20]");
    bench.put("cut.png", &png(30, 20)[..60]);
    let (error, shown) = bench.call_showing("file_read", &json!({"path": "cut.png"}));
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "cut.png cannot be shown: the image is broken or cut off"
    );
    assert!(shown.is_empty());
    bench.put("plain.png", "only a name");
    let (text, shown) = bench.call_showing("file_read", &json!({"path": "plain.png"}));
    assert!(text.unwrap().contains("only a name") && shown.is_empty());
    let blind = bench.err("file_read", json!({"path": "图/a.txt"}));
    assert!(
        blind.starts_with("图/a.txt is not text: a PNG image"),
        "{blind}"
    );
}

#[test]
fn what_is_no_text_is_named() {
    let bench = Bench::new();
    bench.put(
        "photo.jpg",
        [&b"\xFF\xD8\xFF\xE0"[..], &[0; 12_000]].concat(),
    );
    assert_eq!(
        bench.err("file_read", json!({"path": "photo.jpg"})),
        "photo.jpg is not text: a JPEG image, 12.0 KB; file_read shows text only. Use bash if you need something out of it"
    );
    let error = bench.err("file_read", json!({"path": "photo.jpeg"}));
    assert_eq!(
        error,
        "\"photo.jpeg\": there is no such file or folder. Nearest in the workspace: \"photo.jpg\""
    );
    assert!(
        bench
            .err("file_read", json!({"path": "a\0b"}))
            .contains("NUL")
    );
    assert!(
        bench
            .err("file_read", json!({}))
            .contains("path is missing")
    );
    symlink("/etc/passwd", bench.at("passwd")).unwrap();
    let error = bench.err("file_read", json!({"path": "passwd"}));
    assert!(
        error.contains("outside the workspace") && !error.contains("/etc"),
        "{error}"
    );
    let outside = bench.outer.path().join("x").to_string_lossy().into_owned();
    assert!(
        bench
            .err("file_read", json!({"path": outside}))
            .contains("outside the workspace")
    );
}

#[test]
fn folders_are_listed() {
    let bench = Bench::new();
    bench.put("b.txt", "12345");
    bench.put("a/x", "");
    bench.put("line\nbreak", "");
    bench.put(".env", "KEY=1");
    symlink("b.txt", bench.at("z")).unwrap();
    assert_eq!(
        bench.ok("file_read", json!({"path": "."})),
        "./ · 5 entries\na/\n.env  5 bytes  (off limits)\nb.txt  5 bytes\nline\\nbreak  0 bytes\nz  (link)\n"
    );
}

#[test]
fn writing_says_what_happened() {
    let bench = Bench::new();
    let write = |content: &str| json!({"path": "新/笔记.md", "content": content});
    assert_eq!(
        bench.ok("file_write", write("你好\n")),
        "Made 新/笔记.md (1 lines, 7 bytes)"
    );
    assert_eq!(
        bench.ok("file_write", write("你好\n")),
        "新/笔记.md has exactly this content already; nothing written"
    );
    assert_eq!(
        bench.ok("file_write", write("再见\n")),
        "Replaced 新/笔记.md (1 lines, 7 bytes)"
    );
    assert_eq!(bench.get("新/笔记.md"), "再见\n");
    assert!(
        bench
            .err("file_write", json!({"path": "新", "content": ""}))
            .contains("this is a folder")
    );
    assert!(
        bench
            .err("file_write", json!({"path": ".env", "content": ""}))
            .contains("off limits")
    );
    assert!(
        bench
            .err("file_write", json!({"path": "x", "content": {"a": 1}}))
            .contains("content must be a string")
    );
}

#[test]
fn stopping_ends_a_read() {
    let bench = read_file("a\n");
    bench.cancel.cancel();
    assert_eq!(
        bench.call("file_read", &json!({"path": "f"})),
        Err(ToolError::Cancelled)
    );
    assert_eq!(
        bench.call("file_edit", &edit("a", "b")),
        Err(ToolError::Cancelled)
    );
    assert_eq!(bench.get("f"), "a\n");
}

#[test]
fn the_built_in_tools_are_what_models_expect() {
    let tools = Registry::new(builtin(None, WebSettings::default()));
    let mut bytes = 0;
    for tool in tools.iter() {
        let name = tool.name();
        assert!(name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() < 64);
        assert!(
            name.bytes()
                .all(|c| c.is_ascii_lowercase() || c == b'_' || c.is_ascii_digit())
        );
        let schema = tools.parameters(&name).unwrap();
        bytes += name.len() + tool.description().len() + schema.to_string().len();
    }
    assert!(
        bytes < 3_400,
        "{bytes} bytes of names, descriptions and schemas"
    );
    let edit = serde_json::to_string(tools.parameters("file_edit").unwrap()).unwrap();
    assert_eq!(
        edit,
        r#"{"type":"object","properties":{"path":{"type":"string","description":"in the workspace"},"edits":{"type":"array","items":{"type":"object","properties":{"old":{"description":"text in the file, unique","type":"string"},"new":{"type":"string"},"all":{"description":"replace every occurrence","type":"boolean"}},"required":["old","new"]}}},"required":["path"]}"#
    );
    let effects = |name: &str, arguments: Value| tools.get(name).unwrap().effects(&arguments);
    assert_eq!(
        effects("calculator", json!({"expression": "1"})),
        Effects::ReadOnly
    );
    assert_eq!(
        effects("file_read", json!({"path": "a"})),
        Effects::ReadOnly
    );
    assert_eq!(
        effects("file_write", json!({"path": "a", "content": ""})),
        Effects::SideEffect
    );
    assert_eq!(
        effects("file_edit", json!({"path": "a"})),
        Effects::SideEffect
    );
    assert_eq!(effects("file_read", json!({})), Effects::SideEffect);
    let error = tools.check("read_file", "{}").map(|_| ()).unwrap_err();
    assert!(error.contains("there is no tool \"read_file\""), "{error}");
    let error = tools.check("file_raed", "{}").map(|_| ()).unwrap_err();
    assert!(error.contains("did you mean file_read?"), "{error}");
}

#[test]
fn large_texts_are_searched_within_bounds() {
    let file: String = (0..200_000)
        .map(|n| format!("    value_{n} = compute({n});\n"))
        .collect();
    let old: String = (0..300)
        .map(|n| format!("nothing_{n} like it at all;\n"))
        .collect();
    let error = plan(&file, &old, "x", false, true).unwrap_err();
    assert!(error.contains("not in the file"), "{error:.100}");
}

proptest! {
    #[test]
    fn planned_places_are_ordered_ranges_of_the_text(
        text in "([ \tab]{0,4}\n){0,10}",
        old in "[ \tab\n]{0,8}",
        new in "[ \tab\n]{0,8}",
        all: bool,
        loosely: bool,
    ) {
        if let Ok(change) = plan(&text, &old, &new, all, loosely) {
            let mut end = 0;
            for (range, _) in &change.places {
                prop_assert!(end <= range.start && range.start <= range.end && range.end <= text.len());
                end = range.end;
            }
            prop_assert!(!change.places.is_empty() && (all || change.places.len() == 1));
        }
    }

    #[test]
    fn a_unique_exact_piece_is_replaced_and_nothing_else(head in "[a-c\n]{0,20}", tail in "[a-c\n]{0,20}", new in "[x-z\n]{0,10}") {
        let text = format!("{head}PIECE{tail}");
        let change = plan(&text, "PIECE", &new, false, false).unwrap();
        let mut parts = super::text::Text::new(&text);
        parts.apply(&change.places);
        prop_assert_eq!(parts.into_string(), format!("{head}{new}{tail}"));
    }

    #[test]
    fn hostile_text_never_panics(text in "\\PC{0,60}", old in "\\PC{0,20}", new in "\\PC{0,20}") {
        let _ = plan(&text, &old, &new, true, true);
        let _ = super::diff::unified(&text, &new);
    }
}
