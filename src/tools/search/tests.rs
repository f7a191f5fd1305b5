//! Both searches as the agent calls them: what is found, what is left out, and what never is.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::tools::testing::Bench;
use crate::tools::{Effects, ToolError};

fn names(shown: &str) -> Vec<&str> {
    shown
        .lines()
        .skip(1)
        .map(|line| line.split("  ").next().unwrap())
        .collect()
}

fn find(bench: &Bench, arguments: Value) -> Vec<String> {
    let shown = bench.ok("file_search", arguments);
    if shown.starts_with("Nothing") {
        return Vec::new();
    }
    let mut names: Vec<String> = names(&shown).into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn files_are_found_by_name_newest_first() {
    let bench = Bench::new();
    for (n, name) in ["src/old.rs", "src/deep/new.rs", "middle.rs", "x.txt"]
        .into_iter()
        .enumerate()
    {
        bench.put(name, "x");
        let age = [300, 10, 100, 5][n];
        std::fs::File::options()
            .write(true)
            .open(bench.at(name))
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(age))
            .unwrap();
    }
    let shown = bench.ok("file_search", json!({"pattern": "*.rs"}));
    assert!(shown.starts_with("3 found, newest first\n"), "{shown}");
    assert_eq!(
        names(&shown),
        ["src/deep/new.rs", "middle.rs", "src/old.rs"]
    );
    assert_eq!(
        find(&bench, json!({"pattern": "*.rs", "path": "src/deep"})),
        ["src/deep/new.rs"]
    );
    assert_eq!(
        find(&bench, json!({"pattern": "deep/*.rs", "path": "src"})),
        ["src/deep/new.rs"]
    );
    assert_eq!(find(&bench, json!({"pattern": "dee/"})), ["src/deep/"]);
    let two = bench.ok("file_search", json!({"pattern": "*", "limit": 2}));
    assert!(
        two.ends_with("[2 more; narrow the pattern or the path]\n"),
        "{two}"
    );
    let none = bench.ok("file_search", json!({"pattern": "nothing"}));
    assert_eq!(
        none,
        "Nothing is named like \"nothing\"; hidden and git-ignored files were left out: \"all\": true looks there too"
    );
}

#[test]
fn hidden_and_ignored_files_need_the_switch() {
    let bench = Bench::new();
    bench.put(".gitignore", "*.log\ntarget/\n!keep.log\n/top.txt\n");
    bench.put("a.log", "word");
    bench.put("keep.log", "word");
    bench.put("target/x.txt", "word");
    bench.put("sub/.gitignore", "!b.log\n");
    bench.put("sub/b.log", "word");
    bench.put("sub/c.log", "word");
    bench.put("sub/top.txt", "word");
    bench.put("top.txt", "word");
    bench.put(".hidden/y.txt", "word");
    bench.put(".git/objects/z.txt", "word");
    let plain = ["keep.log", "sub/b.log", "sub/top.txt"];
    let count = json!({"pattern": "word", "mode": "files"});
    assert_eq!(names(&bench.ok("content_search", count)), plain);
    let mut found = find(&bench, json!({"pattern": "*.{log,txt}"}));
    found.sort();
    assert_eq!(found, plain);
    let all = json!({"pattern": "word", "mode": "files", "all": true});
    assert_eq!(
        names(&bench.ok("content_search", all)),
        [
            ".hidden/y.txt",
            "a.log",
            "keep.log",
            "sub/b.log",
            "sub/c.log",
            "sub/top.txt",
            "target/x.txt",
            "top.txt"
        ]
    );
    // A folder that is named is looked through, with the rules from above it.
    assert_eq!(
        find(&bench, json!({"pattern": "*", "path": "target"})),
        ["target/x.txt"]
    );
    assert_eq!(
        find(&bench, json!({"pattern": "*.log", "path": "sub"})),
        ["sub/b.log"]
    );
}

#[test]
fn lines_are_shown_with_what_is_around_them() {
    let bench = Bench::new();
    bench.put(
        "src/a.rs",
        "one\ntwo TODO\nthree\nfour\nfive\nsix\ntodo seven\n",
    );
    bench.put("b.txt", "TODO\r\n");
    assert_eq!(
        bench.ok("content_search", json!({"pattern": "TODO"})),
        "2 matching lines in 2 files\nb.txt\n1: TODO\nsrc/a.rs\n2: two TODO\n"
    );
    assert_eq!(
        bench.ok(
            "content_search",
            json!({"pattern": "todo", "ignore_case": true, "context": 1, "glob": "*.rs"})
        ),
        "2 matching lines in 1 files\nsrc/a.rs\n1- one\n2: two TODO\n3- three\n--\n6- six\n7: todo seven\n"
    );
    assert_eq!(
        bench.ok("content_search", json!({"pattern": "o", "mode": "count"})),
        "4 matching lines in 1 files\nsrc/a.rs: 4\n"
    );
    assert_eq!(
        bench.ok(
            "content_search",
            json!({"pattern": "three|five", "path": "src/a.rs"})
        ),
        "2 matching lines in 1 files\nsrc/a.rs\n3: three\n5: five\n"
    );
    assert_eq!(
        bench.ok("content_search", json!({"pattern": "two (", "path": "src"})),
        "No line matches (the pattern is no regex and was taken literally; hidden and git-ignored files left out)"
    );
}

#[test]
fn other_encodings_are_found_and_shown() {
    let bench = Bench::new();
    let (gbk, _, _) = encoding_rs::GB18030.encode("第一行\n会议记录：下周一开会\n");
    bench.put("gbk.txt", &gbk);
    let (sjis, _, _) = encoding_rs::SHIFT_JIS.encode("これはテストです。ログ\n");
    bench.put("sjis.txt", &sjis);
    let utf16: Vec<u8> = "\u{FEFF}会议 in UTF-16\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    bench.put("utf16.txt", utf16);
    bench.put("utf8.txt", "会议\n");
    bench.put("data.bin", b"\0\0\xE4\xBC\x9A\xE8\xAE\xAE");
    assert_eq!(
        bench.ok("content_search", json!({"pattern": "会议"})),
        "3 matching lines in 3 files\ngbk.txt\n2: 会议记录：下周一开会\nutf16.txt\n1: 会议 in UTF-16\nutf8.txt\n1: 会议\n"
    );
    assert_eq!(
        bench.ok("content_search", json!({"pattern": "テスト"})),
        "1 matching lines in 1 files\nsjis.txt\n1: これはテストです。ログ\n"
    );
    assert_eq!(
        bench.ok("content_search", json!({"pattern": "nowhere", "all": true})),
        "No line matches (1 binary files left out)"
    );
}

#[test]
fn much_is_cut_and_said() {
    let bench = Bench::new();
    let lines: String = (0..5_000)
        .map(|n| format!("line {n} {}\n", "x".repeat(150)))
        .collect();
    bench.put("big.txt", &lines);
    let shown = bench.ok("content_search", json!({"pattern": "line"}));
    assert!(
        shown.starts_with("5000 matching lines in 1 files\nbig.txt\n1: line 0 "),
        "{shown:.80}"
    );
    assert!(shown.chars().count() < 15_500);
    assert!(shown.contains("more matching lines; narrow"), "{shown}");
    let long = format!("{}needle{}\n", "长".repeat(5_000), "x".repeat(5_000));
    bench.put("long.txt", long);
    let shown = bench.ok("content_search", json!({"pattern": "needle"}));
    let line = shown.lines().nth(2).unwrap();
    assert!(
        line.starts_with("1: …长") && line.contains("needlexx") && line.ends_with("x…"),
        "{line}"
    );
    assert!(line.chars().count() < 320);
}

#[test]
fn nothing_outside_or_off_limits_is_ever_found() {
    let bench = Bench::new();
    let outside = bench.outer.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret.txt"), "canary").unwrap();
    symlink(&outside, bench.at("link")).unwrap();
    symlink(outside.join("secret.txt"), bench.at("file-link.txt")).unwrap();
    bench.put("real/inside.txt", "canary inside");
    symlink("real", bench.at("alias")).unwrap();
    bench.put(".env", "canary=1");
    bench.put("picobot.db", "canary");
    std::fs::hard_link(bench.at("picobot.db"), bench.at("copy.txt")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let all = json!({"pattern": "canary", "all": true});
    assert_eq!(
        bench.ok("content_search", all),
        "1 matching lines in 1 files\nreal/inside.txt\n1: canary inside\n"
    );
    assert_eq!(
        find(&bench, json!({"pattern": "*", "all": true})),
        ["real/inside.txt"]
    );
    // A link inside the workspace may be named as the start.
    let alias = json!({"pattern": "canary", "path": "alias"});
    assert!(
        bench
            .ok("content_search", alias)
            .contains("real/inside.txt")
    );
    for path in [
        "link",
        "..",
        "/etc",
        "file-link.txt",
        "~/x",
        ".env",
        "picobot.db",
    ] {
        let error = bench.err("content_search", json!({"pattern": "canary", "path": path}));
        assert!(!error.contains("canary"), "{error}");
        assert!(
            bench
                .call("file_search", &json!({"pattern": "*", "path": path}))
                .is_err()
        );
    }
    let error = bench.err("content_search", json!({"pattern": "x", "path": "fifo"}));
    assert!(error.contains("a FIFO"), "{error}");
}

#[test]
fn a_folder_that_becomes_a_link_while_it_is_walked_shows_nothing() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let bench = Bench::new();
    let outside = bench.outer.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret.txt"), "canary").unwrap();
    bench.put("flip/harmless.txt", "nothing");
    for n in 0..50 {
        bench.put(&format!("pad/{n}/x.txt"), "nothing");
    }
    let done = AtomicBool::new(false);
    let (flip, aside, link) = (bench.at("flip"), bench.at("aside"), bench.at("link"));
    symlink(&outside, &link).unwrap();
    std::thread::scope(|scope| {
        let done = &done;
        #[allow(clippy::disallowed_methods)] // A rival that must run beside the test's own thread.
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let _ = std::fs::rename(&flip, &aside);
                let _ = std::fs::rename(&link, &flip);
                let _ = std::fs::rename(&flip, &link);
                let _ = std::fs::rename(&aside, &flip);
            }
        });
        for _ in 0..300 {
            let content = bench.ok("content_search", json!({"pattern": "canary", "all": true}));
            let files = bench.ok("file_search", json!({"pattern": "secret", "all": true}));
            if content.contains("secret") || files.contains("secret.txt") {
                done.store(true, Ordering::Relaxed);
                panic!("{content}{files}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn bad_arguments_say_what_to_do() {
    let bench = Bench::new();
    bench.put("f", "x");
    for (arguments, words) in [
        (json!({}), "pattern is missing"),
        (json!({"pattern": ""}), "pattern is empty"),
        (json!({"pattern": "a\nb"}), "line by line"),
        (json!({"pattern": "x".repeat(5_000)}), "longer than 4096"),
        (json!({"pattern": "x{1000}{1000}{1000}"}), "cannot be used"),
        (
            json!({"pattern": "x", "glob": "[a"}),
            "`glob`: the pattern is no glob",
        ),
        (json!({"pattern": "x", "mode": "tree"}), "mode"),
        (json!({"pattern": "x", "path": "missing"}), "no such file"),
    ] {
        let error = bench.err("content_search", arguments.clone());
        assert!(error.contains(words), "{arguments}: {error}");
    }
    let error = bench.err("file_search", json!({"pattern": "*", "path": "f"}));
    assert!(error.contains("`path` is a file"), "{error}");
}

#[test]
fn odd_names_are_shown_on_one_line() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    bench.put("a\nb.txt", "word\x1b[31m");
    let odd = std::ffi::OsStr::from_bytes(b"caf\xE9.txt");
    std::fs::write(bench.workspace.path().join(odd), "word").unwrap();
    let shown = bench.ok("content_search", json!({"pattern": "word"}));
    assert_eq!(
        shown,
        "2 matching lines in 2 files\na\u{FFFD}b.txt\n1: word\u{FFFD}[31m\ncaf\\xE9.txt\n1: word\n"
    );
    assert_eq!(find(&bench, json!({"pattern": "*.txt"})).len(), 2);
}

#[test]
fn stopping_ends_a_search_and_searching_changes_nothing() {
    let bench = Bench::new();
    bench.put("f", "x");
    bench.cancel.cancel();
    for name in ["content_search", "file_search"] {
        let result = bench.call(name, &json!({"pattern": "x"}));
        assert_eq!(result, Err(ToolError::Cancelled));
    }
    let arguments = json!({"pattern": "x"});
    assert_eq!(bench.effects("file_search", &arguments), Effects::ReadOnly);
    assert_eq!(
        bench.effects("content_search", &arguments),
        Effects::ReadOnly
    );
}

#[test]
fn kept_results_are_read_by_name_and_never_found() {
    let bench = Bench::new();
    let name = ".picobot/results/bash-0badcafe.txt";
    bench.put(name, "the secret of another dialog\n");
    bench.put("mine.txt", "no secret\n");
    std::os::unix::fs::symlink(".picobot/results", bench.at("way")).unwrap();
    for path in [".picobot/results", "./.picobot//results/", "way"] {
        for (tool, arguments) in [
            ("file_read", json!({"path": path})),
            (
                "file_search",
                json!({"pattern": "*", "path": path, "all": true}),
            ),
            (
                "content_search",
                json!({"pattern": "secret", "path": path, "all": true}),
            ),
        ] {
            let error = bench.err(tool, arguments);
            assert!(
                error.contains("not listed or searched"),
                "{tool} {path}: {error}"
            );
        }
    }
    let near = bench.err(
        "file_read",
        json!({"path": ".picobot/results/bash-0badcaf.txt"}),
    );
    assert!(!near.contains("cafe"), "{near}");
    for path in [".", ".picobot"] {
        let names = bench.ok(
            "file_search",
            json!({"pattern": "*", "path": path, "all": true}),
        );
        assert!(!names.contains("cafe"), "{names}");
        let lines = bench.ok(
            "content_search",
            json!({"pattern": "secret", "path": path, "all": true}),
        );
        assert!(!lines.contains("another"), "{lines}");
    }
    for tool in ["file_read", "content_search"] {
        let shown = bench.ok(tool, json!({"path": name, "pattern": "secret"}));
        assert!(shown.contains("another dialog"), "{tool}: {shown}");
    }
}
