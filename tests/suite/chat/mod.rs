//! `picobot chat` in a real terminal, against the real gateway with the demo provider.

mod detail;
mod elsewhere;
mod leaving;
mod tmux;

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::gateway::{Gateway, command};
use crate::support::home::Home;
use crate::support::process::run;
use tmux::Tmux;

/// The panel takes keys after so much silence; see docs/chat.md.
const QUIET: Duration = Duration::from_millis(400);

/// A home whose demo provider answers and whose shell commands ask.
fn home() -> Home {
    let home = Home::empty();
    home.write_config(&json!({
        "providers": {"demo": {"type": "demo"}},
        "models": {"demo": {"model_id": "demo"}},
        "agents": {"default": {"provider": "demo", "model": "demo"}},
        "approvals": {"rules": [{"tool": "bash", "decision": "ask"}]},
        "workspace_dir": home.workspace(),
    }));
    home
}

/// The client in a terminal; when it ends, its exit code and the terminal's modes are shown.
fn chat(home: &Home, arguments: &str, columns: u16, rows: u16) -> Tmux {
    chat_with(home, "", arguments, columns, rows)
}

/// The same with variables, as a shell takes them.
fn chat_with(home: &Home, variables: &str, arguments: &str, columns: u16, rows: u16) -> Tmux {
    let binary = env!("CARGO_BIN_EXE_picobot");
    let config = home.config();
    let line = format!(
        "{variables} sh -c 'echo $$ > pid; exec {binary} --config {} chat {arguments}'; echo exit=$?; stty -a; exec cat",
        config.display()
    );
    Tmux::start(home, columns, rows, &line)
}

/// The client as a job of a shell, which shows the terminal's modes when it stops, and lets it go on at enter.
fn with_job_control(home: &Home, variables: &str) -> Tmux {
    let binary = env!("CARGO_BIN_EXE_picobot");
    let line = format!(
        "{variables} bash -c 'set -m; {binary} --config {} chat; echo stopped; stty -a; read line; fg; echo exit=$?; exec cat'",
        home.config().display()
    );
    Tmux::start(home, 100, 30, &line)
}

fn pid(home: &Home) -> Pid {
    let text = fs::read_to_string(home.path().join("pid")).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// The modes of a terminal that a shell can use.
#[track_caller]
fn assert_modes_restored(screen: &str) {
    let words: Vec<&str> = screen.split([' ', ';', '\n']).collect();
    for mode in ["icanon", "echo", "isig", "opost", "icrnl"] {
        assert!(words.contains(&mode), "{mode} is off:\n{screen}");
    }
}

#[test]
fn a_whole_afternoon() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let gateway = Gateway::start(&home);
    let terminal = chat(&home, "", 100, 30);
    terminal.wait_for("online");

    // Chinese, with the cursor where the input method draws its candidates.
    let draft = "2340 的 17.5% 是多少";
    terminal.type_text(draft);
    let (x, y) = terminal.cursor();
    let screen = terminal.screen();
    assert!(screen.lines().nth(y).unwrap().contains(draft), "{screen}");
    assert_eq!(x, 3 + 20, "{screen}");
    terminal.keys(&["Enter"]);
    let screen = terminal.wait_until("the answer", |screen| {
        screen.contains("= 409.5") && screen.contains("▸ calculator") && screen.contains("✓ done")
    });
    assert!(screen.contains("▌ 你"), "{screen}");

    // The popup holds the gateway's commands and goes with esc.
    terminal.type_text("/");
    terminal.wait_for("/new");
    terminal.keys(&["Escape"]);
    terminal.wait_until("no popup", |screen| !screen.contains("/new"));
    terminal.keys(&["BSpace"]);

    // A long answer streams in; the end is followed, through other sizes too.
    terminal.say("模拟长文");
    terminal.wait_until("the long answer", |screen| {
        screen.contains("24. Section") && !screen.contains("stops")
    });
    terminal.resize(50, 16);
    terminal.wait_until("the narrow screen", |screen| {
        let last = screen.trim_end().lines().last().unwrap_or_default();
        last.contains("● online · ctx") && !last.contains('↑') && screen.contains("❯")
    });
    terminal.resize(12, 4);
    terminal.wait_until("one line", |screen| screen.trim().lines().count() == 1);
    terminal.resize(100, 30);
    terminal.wait_for("menu");

    // A command needs a yes, and typing gives none.
    terminal.say("执行 `echo 好的 > 结果.txt`");
    terminal.wait_for("asks for approval");
    assert!(!home.workspace().join("结果.txt").exists());
    std::thread::park_timeout(QUIET);
    terminal.keys(&["y"]);
    terminal.wait_until("the end of the turn", |screen| {
        !screen.contains("asks for approval") && !screen.contains("stops")
    });
    assert_eq!(
        fs::read_to_string(home.workspace().join("结果.txt")).unwrap(),
        "好的\n"
    );

    // The gateway dies and comes back on another port; the draft stays and nothing is doubled.
    gateway.kill9();
    terminal.wait_for("✗ offline");
    terminal.type_text("断线时写的:5 加 6");
    let gateway = Gateway::start(&home);
    terminal.wait_for("● online");
    let screen = terminal.wait_for("❯ 断线时写的:5 加 6");
    assert_eq!(screen.matches("执行 `echo").count(), 1, "{screen}");
    terminal.keys(&["C-u"]);
    terminal.say("5 加 6 等于多少");
    let screen = terminal.wait_until("the answer", |screen| {
        screen.contains("= 11") && !screen.contains("stops")
    });
    assert_eq!(screen.matches("5 加 6 等于多少").count(), 1, "{screen}");

    terminal.keys(&["C-c"]);
    terminal.wait_for("again leaves");
    terminal.keys(&["C-c"]);
    let screen = terminal.wait_until("the shell", |screen| {
        screen.contains("exit=") && screen.contains("extproc")
    });
    assert!(screen.contains("exit=0"), "{screen}");
    assert!(
        screen.contains("Resume: picobot chat --session cli_chat:local:"),
        "{screen}"
    );
    assert_modes_restored(&screen);
    assert!(gateway.term().success());
}

#[test]
fn signals_end_it_in_order_and_keep_the_draft() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let _gateway = Gateway::start(&home);
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let terminal = chat(&home, "--continue", 100, 30);
        terminal.wait_for("online");
        if signal == Signal::TERM {
            terminal.type_text("还没写完");
        } else {
            terminal.wait_for("❯ 还没写完");
        }
        kill_process(pid(&home), signal).unwrap();
        let screen = terminal.wait_until("the shell", |screen| screen.contains("extproc"));
        assert!(screen.contains(&format!("exit={code}")), "{screen}");
        assert!(screen.contains("Resume:"), "{screen}");
        assert_modes_restored(&screen);
    }
}

#[test]
fn it_is_suspended_and_comes_back() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let _gateway = Gateway::start(&home);
    let terminal = with_job_control(&home, "");
    terminal.wait_for("online");
    terminal.type_text("草稿");
    terminal.keys(&["C-z"]);
    let screen = terminal.wait_until("the shell", |screen| screen.contains("extproc"));
    assert!(screen.contains("stopped"), "{screen}");
    assert_modes_restored(&screen);
    terminal.keys(&["Enter"]);
    terminal.wait_for("❯ 草稿");
    terminal.keys(&["C-u"]);
    terminal.wait_until("an empty draft", |screen| !screen.contains("草稿"));
    terminal.keys(&["C-d"]);
    terminal.wait_for("exit=0");
}

#[test]
fn it_starts_a_gateway_when_asked() {
    if !tmux::is_here() {
        return;
    }
    let home = home();
    let mut config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(home.config()).unwrap()).unwrap();
    // Nobody listens on port 1, and the gateway takes any free one.
    config["gateway"] = json!({"port": 0});
    config["client"] = json!({"gateway_url": "ws://127.0.0.1:1/ws"});
    home.write_config(&config);
    let terminal = chat(&home, "--new \"3 加 4 等于多少\"", 100, 30);
    terminal.wait_for("No gateway runs. Start one with: picobot gateway --config");
    terminal.keys(&["F2"]);
    let screen = terminal.wait_for("started a gateway (pid ");
    let pid = screen
        .split("(pid ")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap();
    let gateway = Pid::from_raw(pid.parse().unwrap()).unwrap();
    terminal.wait_until("the answer", |screen| screen.contains("= 7"));
    terminal.keys(&["C-d"]);
    terminal.wait_for("exit=0");
    kill_process(gateway, Signal::TERM).unwrap();
}

#[test]
fn without_a_terminal_it_points_to_send() {
    let home = home();
    let finished = run(&mut command(&home, "chat"));
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(
        finished
            .stderr
            .contains("hint: in scripts and pipes use: picobot send"),
        "{finished:?}"
    );
    assert_eq!(finished.stdout, "");
}
