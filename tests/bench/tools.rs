//! Searching a large tree beside ripgrep, and editing files. The search runs through the gateway, driven by the demo
//! provider; edits run in this process, where waiting for the disk is all that counts.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use picobot::chat::SessionId;
use picobot::observability::Redactor;
use picobot::threads::CancelToken;
use picobot::tools::{ToolCtx, WebSettings, Workspace, WorkspaceOptions, builtin};
use serde_json::json;

use crate::Setup;
use crate::peer::{Client, Gateway, Home};
use crate::row::{Row, quantile};

/// The tree: so many folders of so many files of so many bytes, 200 MB in all.
const FOLDERS: usize = 100;
const FILES: usize = 40;
const FILE_BYTES: usize = 50_000;
/// What is looked for; it stands in one file of a hundred.
const NEEDLE: &str = "needle_4711";

/// Content search of a 200 MB tree, as a share of ripgrep's time on it.
pub(crate) fn search(setup: &Setup) -> Vec<Row> {
    if Command::new("rg")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!(
            "bench: content search is not measured: ripgrep is missing (apt-get install ripgrep)"
        );
        return Vec::new();
    }
    let home = Home::with_provider(&json!({"type": "demo"}), 4);
    let gateway = Gateway::start(setup, &home);
    let mut client = Client::connect(&gateway, "bench");
    client.ask("hi");
    let tree = home.workspace().join("tree");
    grow(&tree);
    let question = format!("search for {NEEDLE} in tree");
    let times = setup.times(9, 3);
    // The first look fills the page cache for both.
    ripgrep(&tree);
    client.ask(&question);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..times {
        theirs.push(ripgrep(&tree).as_secs_f64() * 1e3);
        let began = Instant::now();
        client.ask(&question);
        ours.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let (ours, theirs) = (quantile(&mut ours, 0.5), quantile(&mut theirs, 0.5));
    vec![
        Row::at_most(
            "content search of 200 MB / ripgrep",
            ours / theirs,
            "×",
            1.3,
        ),
        Row::at_most(
            "content search of 200 MB, whole turn",
            ours,
            "ms",
            1.3 * theirs,
        ),
    ]
}

fn ripgrep(tree: &Path) -> Duration {
    let began = Instant::now();
    let status = Command::new("rg")
        .args(["-n", "--no-ignore-parent", NEEDLE, "."])
        .current_dir(tree)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    began.elapsed()
}

fn grow(tree: &Path) {
    let line = "    let value = compute(index, &settings)?; // ordinary code of ordinary length\n";
    let text = line.repeat(FILE_BYTES / line.len());
    for folder in 0..FOLDERS {
        let path = tree.join(format!("part{folder}"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..FILES {
            let mut out = fs::File::create(path.join(format!("f{file}.rs"))).unwrap();
            out.write_all(text.as_bytes()).unwrap();
            if (folder * FILES + file).is_multiple_of(100) {
                writeln!(out, "// {NEEDLE}").unwrap();
            }
        }
    }
}

/// File edits a second, each durable.
pub(crate) fn edits(setup: &Setup) -> Vec<Row> {
    // On the disk of the target folder, as the other rows.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-edits");
    fs::create_dir_all(&folder).unwrap();
    let workspace = Workspace::open(&folder, WorkspaceOptions::default()).unwrap();
    fs::write(folder.join("f.txt"), "one\ntwo 0\nthree\n").unwrap();
    let tools = builtin(None, WebSettings::default());
    let edit = tools
        .iter()
        .find(|tool| tool.name() == "file_edit")
        .unwrap();
    let session: SessionId = "cli_chat:bench:1".parse().unwrap();
    let ctx = ToolCtx {
        workspace: &workspace,
        session: &session,
        cancel: &CancelToken::new(),
        output: &|_| {},
        boundary: "bench",
        secrets: &Redactor::default(),
        until: Instant::now() + Duration::from_secs(3_600),
        judge: &|_| Ok(()),
        images: None,
    };
    let times = setup.times(3_000, 300);
    let began = Instant::now();
    for n in 0..times {
        let edits = json!([{"old": format!("two {n}\n"), "new": format!("two {}\n", n + 1)}]);
        edit.run(&json!({"path": "f.txt", "edits": edits}), &ctx)
            .unwrap();
    }
    let rate = times as f64 / began.elapsed().as_secs_f64();
    fs::remove_dir_all(&folder).unwrap();
    vec![Row::at_least(
        "file edits, each synced",
        rate,
        "/s",
        1_000.0,
    )]
}
