//! Ways in which `picobot chat` lets the terminal go and comes back, or does not: editors, a panic, no connection.

use super::{assert_modes_restored, chat, home, tmux, with_job_control};
use crate::support::gateway::Gateway;
use std::fs;

#[test]
fn an_editor_is_stopped_and_interrupted_like_any_job() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let _gateway = Gateway::start(&home);
    // The first time it stops the whole job, as editors do for ctrl+z; the second time it waits for an interrupt.
    let editor = home.path().join("editor");
    let script = "if [ ! -e once ]; then touch once; printf '好' >> \"$1\"; kill -TSTP 0; \
                  else echo editing; sleep 600; fi\n";
    fs::write(&editor, script).unwrap();
    let terminal = with_job_control(&home, &format!("EDITOR='sh {}'", editor.display()));
    terminal.wait_for("online");
    terminal.type_text("草稿");
    terminal.keys(&["C-g"]);
    let screen = terminal.wait_until("the shell", |screen| screen.contains("extproc"));
    assert!(screen.contains("stopped"), "{screen}");
    assert_modes_restored(&screen);
    terminal.keys(&["Enter"]);
    terminal.wait_for("❯ 草稿好");

    terminal.keys(&["C-g"]);
    terminal.wait_for("editing");
    terminal.keys(&["C-c"]);
    terminal.wait_for("❯ 草稿好");
    terminal.type_text("!");
    terminal.wait_for("❯ 草稿好!");
    terminal.keys(&["C-u"]);
    terminal.wait_until("an empty draft", |screen| !screen.contains("草稿"));
    terminal.keys(&["C-d"]);
    terminal.wait_for("exit=0");
}

#[test]
fn a_panic_gives_the_terminal_back_and_keeps_the_draft() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let _gateway = Gateway::start(&home);
    let terminal = super::chat_with(&home, "PICOBOT_PANIC_AT=chat-keys:3", "", 100, 30);
    terminal.wait_for("online");
    terminal.type_text("写了");
    terminal.type_text("一半");
    terminal.keys(&["!"]);
    let screen = terminal.wait_until("the shell", |screen| screen.contains("extproc"));
    assert!(screen.contains("exit=1"), "{screen}");
    assert!(screen.contains("the draft is kept"), "{screen}");
    assert_modes_restored(&screen);
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("❯ 写了一半!");
}

#[test]
fn what_could_not_be_sent_is_the_draft_of_the_next_time() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let gateway = Gateway::start(&home);
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("online");
    gateway.kill9();
    terminal.wait_for("✗ offline");
    terminal.say("5 加 6 等于多少");
    terminal.wait_for("sending");
    terminal.keys(&["C-c"]);
    terminal.wait_for("again leaves");
    terminal.keys(&["C-c"]);
    let screen = terminal.wait_for("exit=0");
    assert!(
        screen.contains("A message could not be sent; it is kept as the draft."),
        "{screen}"
    );
    let _gateway = Gateway::start(&home);
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("❯ 5 加 6 等于多少");
    terminal.wait_for("online");
    terminal.keys(&["Enter"]);
    terminal.wait_for("= 11");
    let n_shown = terminal.screen().matches("▌ 5 加 6 等于多少").count();
    assert_eq!(n_shown, 1);
}

#[test]
fn a_paste_without_marks_sends_nothing() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let _gateway = Gateway::start(&home);
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("online");
    let text: String = (0..1_500).map(|n| format!("第 {n} 行 line\n")).collect();
    terminal.paste_unmarked(&text);
    let screen = terminal.wait_for("第 1499 行 line");
    assert!(
        !screen.contains("▌") && !screen.contains("queued"),
        "{screen}"
    );
    // A person comes later than that.
    std::thread::park_timeout(super::QUIET);
    terminal.keys(&["Enter"]);
    terminal.wait_until("the message", |screen| screen.contains("▌ 第 1499 行 line"));
}

#[test]
fn reasoning_can_be_read_again_after_a_dialog_is_opened_anew() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let _gateway = Gateway::start(&home);
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("online");
    terminal.say("模拟推理");
    let screen = terminal.wait_until("the answer", |screen| {
        screen.contains("刚才是推理") && !screen.contains("stops")
    });
    assert!(screen.contains("▸ reasoned"), "{screen}");
    terminal.keys(&["C-d"]);
    terminal.wait_for("exit=0");
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("▸ reasoned");
    terminal.keys(&["C-t"]);
    terminal.wait_for("用户想看推理过程");
    terminal.keys(&["C-t"]);
    terminal.wait_until("no reasoning", |screen| !screen.contains("用户想看"));
}
