//! Pages, well made and broken, and what is read of them.

use proptest::prelude::*;

use super::*;

fn read(html: &str) -> Page {
    markdown(html, &"https://example.com/dir/page".parse().unwrap())
}

fn check(html: &str, expected: &str) {
    assert_eq!(read(html).text, expected, "{html}");
}

#[test]
fn structure_becomes_markdown() {
    check(
        "<h1>Title</h1><p>One <b>bold</b>\n  word.</p><p>Two</p>",
        "# Title\n\nOne bold word.\n\nTwo",
    );
    check(
        "<ul><li>a<li>b<ul><li>c</ul></ul>after",
        "- a\n- b\n  - c\n\nafter",
    );
    check("<ol><li>x</li><li><p>y</p></li></ol>", "1. x\n2. y");
    check(
        "<p>See <a href='../x?a=1&amp;b=2'>the page</a>.",
        "See [the page](https://example.com/x?a=1&b=2).",
    );
    check(
        "<a href=\"#top\">top</a> <a href='javascript:x()'>go</a>",
        "top go",
    );
    check(
        "<a href=/a><h3>Card</h3><p>text</p></a>",
        "### Card\n\ntext (https://example.com/a)",
    );
    check(
        "<pre>fn a() {\n    b &lt; c\n}</pre>x",
        "```\nfn a() {\n    b < c\n}\n```\n\nx",
    );
    check("use <code>x &amp;&amp; y</code> now", "use `x && y` now");
    check("<blockquote><p>said</p></blockquote>", "> said");
    check(
        "<table><tr><th>a<th>b<tr><td>1<td>2</table><pre>x</pre>",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx\n```",
    );
    check(
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>",
        "| a | b |\n|---|---|\n| 1 | 2 |",
    );
    check("a<br>b<hr>c", "a\nb\n\n---\n\nc");
    check("<img src=x alt='A  cat'><img src=y>", "[image: A cat]");
    check(
        "&#20013;&#x6587;&hellip;&unknown;&amp;lt;",
        "中文…&unknown;&lt;",
    );
}

#[test]
fn what_is_no_text_goes() {
    check(
        "<script>if (a<b) x()</script>text<style>p{}</style><!-- no -->",
        "text",
    );
    check(
        "<p>a</p><div hidden>no</div><div style='display: none'>no</div><svg><text>no</text></svg>b",
        "a\n\nb",
    );
    let long = "word ".repeat(60);
    let page = format!(
        "<title> The\n page </title><nav><a href=/>Home</a></nav><main><h2>H</h2><p>{long}</p></main><footer>f</footer>"
    );
    let read = read(&page);
    assert_eq!(read.title, "The page");
    assert_eq!(read.text, format!("## H\n\n{}", long.trim()));
}

#[test]
fn a_page_of_menus_is_shown_all_the_same() {
    check(
        "<nav><ul><li><a href=/a>A page with a name</a></ul></nav>",
        "- [A page with a name](https://example.com/a)",
    );
    // A part that is never closed must not hide the page.
    let long = "word ".repeat(100);
    assert!(
        read(&format!("<nav>menu<p>{long}"))
            .text
            .contains("word word")
    );
}

#[test]
fn a_page_that_grows_is_cut() {
    let quotes = "<blockquote>".repeat(16);
    for html in [
        "<a href=?>字</a> ".repeat(200_000),
        format!("{quotes}<pre>{}", "\n".repeat(4 << 20)),
        "word ".repeat(1 << 20),
        "<li>".repeat(1 << 20),
    ] {
        let page = read(&html);
        assert!(page.cut, "{html:.40}");
        assert!(page.text.len() <= MAX_TEXT_BYTES, "{html:.40}");
    }
    assert!(!read("<p>short").cut);
}

#[test]
fn broken_pages_are_read() {
    check("a < b > c <3", "a < b > c <3");
    check("<p <b>x", "x");
    check("<a href='unclosed>x</a>", "");
    check("x<!-- never closed", "x");
    check("<", "<");
    check("", "");
    let deep = "<div><blockquote><ul>".repeat(50_000);
    assert!(read(&format!("{deep}end")).text.ends_with("end"));
}

proptest! {
    #[test]
    fn never_panics(html in "(<|>|/|a|p|li|pre|title|script|nav|main|td|tr| href=|'|\"|&|#|;|x|中|\n|-|!){0,60}") {
        let _ = read(&html);
    }
}
