//! Every screen in four sizes, Chinese and emoji included. A visible change shows as a changed snapshot.

use super::play::{Play, SESSION};
use super::state::{Event, Start};
use super::text::Widths;
use super::theme::Theme;
use crate::client::net::NetEvent;

const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 40), (200, 50)];

fn check(name: &str, play: &mut Play) {
    for (columns, rows) in SIZES {
        insta::assert_snapshot!(
            format!("{name}_{columns}x{rows}"),
            play.screen(columns, rows)
        );
    }
}

/// A dialog with everything that can be in one.
pub(super) fn full() -> Play {
    let mut play = Play::online();
    play.load(
        r##"{"role":"user","content":"把下载目录里的 PDF 按年份整理一下,先列计划 👨‍👩‍👧","created_at":"2026-03-01T14:02:00.000Z","state":"done","id":1},
        {"role":"assistant","content":"好的。我先看一下目录里有什么。","created_at":"2026-03-01T14:02:03.000Z","state":"done","id":2,"tool_calls":[
          {"call_id":"a","name":"file_search","arguments":"{\"pattern\":\"**/*.pdf\"}","content":"a.pdf\nb.pdf\nc.pdf","state":"done","took_ms":18},
          {"call_id":"b","name":"bash","arguments":"{\"command\":\"mv 报告.pdf 2023/\"}","content":"mv: cannot stat '报告.pdf': \u001b[31mNo such file\u001b[0m","state":"failed","took_ms":1100}]},
        {"role":"assistant","content":"# 计划\n\n1. 新建 `2023/` `2024/` 目录\n2. 按 **年份** 移动\n\n| 年份 | files |\n|:--|--:|\n| 2023 | 12 |\n| 2024 | 30 |\n\n```sh\nmkdir -p 2023 2024 # 目录\n```\n\n> 扫描件单独放。\n\n见 [文档](https://example.org/docs)。","created_at":"2026-03-01T14:02:09.000Z","state":"done","id":3}"##,
    );
    play
}

/// A turn at work with live output and two messages that wait.
fn at_work() -> Play {
    let mut play = full();
    play.say("开始吧 🚀");
    play.about("t-1", "input_accepted", "");
    play.about("t-1", "turn_started", r#""turn":4"#);
    play.about(
        "t-1",
        "assistant_delta",
        r#""content":"Let me think about 目录.","reasoning":true"#,
    );
    play.about("t-1", "assistant_delta", r#""content":"先建目录。""#);
    play.about("t-1", "tool_started", r#""call_id":"c","name":"bash","arguments":"{\"command\":\"mkdir -p 2023 2024 && ls -l\"}""#);
    play.about(
        "t-1",
        "tool_output",
        r#""call_id":"c","content":"第 1 行\n第 2 行\nthree\nfour\nfive\nsix 👍\n""#,
    );
    play.say("完成后告诉我总大小");
    play.say("另外,扫描件单独放");
    play.type_text("草稿:还有");
    play.ms += 6_000;
    play.event(Event::Tick);
    play
}

#[test]
fn empty() {
    check("empty", &mut Play::online());
}

#[test]
fn connecting() {
    check("connecting", &mut Play::new());
}

#[test]
fn offline() {
    let mut play = full();
    play.type_text("没写完的草稿");
    play.event(Event::Net(NetEvent::Down {
        why: "no gateway at ws://127.0.0.1:19876/ws".to_owned(),
        retry_ms: 1_100,
        is_refused: true,
    }));
    check("offline", &mut play);
}

#[test]
fn dialog() {
    check("dialog", &mut full());
}

#[test]
fn working() {
    check("working", &mut at_work());
}

#[test]
fn tools_and_reasoning_open() {
    let mut play = at_work();
    play.key("ctrl+o");
    play.key("ctrl+t");
    check("open", &mut play);
}

#[test]
fn scrolled_away() {
    let mut play = full();
    play.screen(80, 24);
    play.key("ctrl+home");
    play.about("x", "assistant_delta", r#""content":"新的一行\n\n又一行""#);
    check("scrolled", &mut play);
}

#[test]
fn slash_popup() {
    let mut play = full();
    play.type_text("/");
    play.key("down");
    check("slash", &mut play);
}

#[test]
fn path_popup() {
    let mut play = Play::online();
    play.type_text("看 @文");
    play.event(Event::Paths {
        asked: "文".to_owned(),
        found: vec![
            ("文档".to_owned(), true),
            ("文件 一.txt".to_owned(), false),
            ("other".to_owned(), false),
        ],
    });
    check("path", &mut play);
}

#[test]
fn approval() {
    let mut play = at_work();
    play.frame(&format!(
        r#"{{"type":"approval_request","approval_id":"p","name":"bash","arguments":"{{\"command\":\"rm -rf 旧文件 && echo 好了\"}}","expires_at":"2026-03-01T14:10:00.000Z","session_id":"{SESSION}","summary":"rm -rf 旧文件 && echo 好了","reason":"it deletes files","in_workspace":false,"can_always":true}}"#
    ));
    check("approval", &mut play);
}

#[test]
fn dialogs() {
    let mut play = full();
    play.key("ctrl+s");
    play.frame(&format!(
        r#"{{"type":"session_list","sessions":[{{"session_id":"{SESSION}","title":"整理下载目录","archived":false,"updated_at":"2026-03-01T14:02:00.000Z","message_count":7}},{{"session_id":"cli_chat:local:2","title":"一个很长很长的标题 that goes on and on 很长很长很长很长很长很长很长很长很长","archived":true,"updated_at":"2026-02-01T10:00:00.000Z","message_count":1}}]}}"#
    ));
    play.key("down");
    check("dialogs", &mut play);
    play.key("ctrl+r");
    check("rename", &mut play);
    play.key("esc");
    play.key("ctrl+x");
    check("delete", &mut play);
}

#[test]
fn menu_help_and_history() {
    let mut play = full();
    play.key("ctrl+p");
    check("menu", &mut play);
    play.type_text("new");
    check("menu_filtered", &mut play);
    play.key("esc");
    play.key("ctrl+r");
    play.type_text("早先");
    check("history", &mut play);
    play.key("esc");
    play.key("f1");
    check("help", &mut play);
}

#[test]
fn browsing() {
    let mut play = full();
    play.screen(80, 24);
    play.key("tab");
    play.key("k");
    check("browse", &mut play);
    play.key("/");
    play.type_text("报告");
    check("find", &mut play);
}

#[test]
fn a_long_draft() {
    let mut play = Play::online();
    play.type_text("第一行,很长很长很长很长很长很长很长很长很长很长很长很长很长很长很长很长很长");
    play.key("alt+enter");
    play.event(Event::Paste("行\n".repeat(312)));
    play.type_text("结尾 👨‍👩‍👧‍👦");
    check("draft", &mut play);
}

#[test]
fn ambiguous_width_two_draws_ascii() {
    let mut play = Play::with(
        Start::Current,
        None,
        Widths {
            ambiguous_is_wide: true,
        },
    );
    play.connect();
    play.load(r#"{"role":"user","content":"①②③ 你好","created_at":"2026-03-01T14:02:00.000Z","state":"done","id":1},{"role":"assistant","content":"- 一 ①\n\n|a|b|\n|-|-|\n|①|2|","created_at":"2026-03-01T14:02:00.000Z","state":"done","id":2}"#);
    let screen = play.screen(80, 24);
    assert!(
        !screen.contains(['─', '│', '❯', '●', '▌', '•', '…']),
        "{screen}"
    );
    insta::assert_snapshot!("ambiguous_80x24", screen);
}

#[test]
fn a_tiny_terminal_has_one_line() {
    for (columns, rows) in [(19, 24), (80, 5), (1, 1), (2, 1), (3, 2), (20, 6)] {
        let mut play = at_work();
        let screen = play.screen(columns, rows);
        let lines = screen.lines().filter(|line| !line.is_empty()).count();
        if columns < 20 || rows < 6 {
            assert_eq!(lines, 2, "{screen}");
        }
    }
}

#[test]
fn every_size_draws() {
    for columns in (1..130).step_by(3) {
        for rows in (1..45).step_by(2) {
            let mut play = at_work();
            play.screen(columns, rows);
        }
    }
}

#[test]
fn mono_has_no_colours() {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::style::Color;
    let mut play = at_work();
    play.state.theme = Theme::Mono;
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal
        .draw(|frame| super::view::view(&mut play.state, frame))
        .unwrap();
    for cell in terminal.backend().buffer().content() {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
    }
}

#[test]
fn nothing_hostile_reaches_a_cell() {
    let hostile =
        r"\u001b[2J\u001b]0;x\u0007\u009b31m\u202eabc\u0000\u0008\u2066中\r\n\u001bPq\u001b\\";
    let mut play = Play::online();
    play.load(&format!(
        r#"{{"role":"user","content":"{hostile}","created_at":"{hostile}","state":"{hostile}"}},{{"role":"assistant","content":"```\n{hostile}\n```\n[x]({hostile})","created_at":"2026-03-01T14:02:00.000Z","state":"done","tool_calls":[{{"call_id":"{hostile}","name":"{hostile}","arguments":"{hostile}","content":"{hostile}","state":"failed"}}]}}"#
    ));
    play.frame(&format!(
        r#"{{"type":"session_renamed","session_id":"{SESSION}","title":"{hostile}"}}"#
    ));
    play.frame(&format!(
        r#"{{"type":"system_notification","content":"{hostile}"}}"#
    ));
    play.frame(&format!(
        r#"{{"type":"error","code":"{hostile}","message":"{hostile}"}}"#
    ));
    play.frame(&format!(
        r#"{{"type":"approval_request","approval_id":"p","name":"{hostile}","arguments":"{{\"command\":\"x\"}}{hostile}","expires_at":"{hostile}","session_id":"{SESSION}","summary":"{hostile}","reason":"{hostile}","in_workspace":true,"can_always":false}}"#
    ));
    play.event(Event::Paste("\u{1b}[31m\u{202e}x".to_owned()));
    let screen = play.screen(80, 40);
    assert!(screen.contains("abc"));
    let bad = |c: char| {
        c != '\n' && c.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    assert!(!screen.contains(bad), "{screen:?}");
}
