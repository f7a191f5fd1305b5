//! Where the message comes from: argument, file, stdin, or several of them.

use std::fs;

use super::{Desk, assert_said, assert_told};
use crate::support::process::run;
use crate::support::script::Answer;

#[test]
fn an_argument() {
    let desk = Desk::new([Answer::text("Hello to you.")]);
    assert_said(&desk.send(&["hello 你好"]), "Hello to you.");
    assert!(desk.asked(0).ends_with("hello 你好"));
}

#[test]
fn a_file_as_the_whole_argument() {
    let desk = Desk::new([Answer::text("Read."), Answer::text("Said.")]);
    fs::write(desk.home.path().join("question.txt"), "from a file\n").unwrap();
    assert_said(&desk.send(&["@question.txt"]), "Read.");
    assert!(desk.asked(0).contains("from a file"));
    assert_said(&desk.send(&["mail me @question.txt"]), "Said.");
    assert!(desk.asked(1).ends_with("mail me @question.txt"));
    assert_told(&desk.send(&["@missing.txt"]), 2, "missing.txt");
    assert_eq!(desk.model.received().len(), 2);
}

#[test]
fn a_dash_or_nothing_means_stdin() {
    let desk = Desk::new([Answer::text("One."), Answer::text("Two.")]);
    assert_said(&desk.pipe(b"piped one\n", &["-"]), "One.");
    assert!(desk.asked(0).contains("piped one"));
    assert_said(&desk.pipe("piped 二".as_bytes(), &[]), "Two.");
    assert!(desk.asked(1).ends_with("piped 二"));
}

#[test]
fn stdin_is_attached_to_an_argument() {
    let desk = Desk::new([Answer::text("Three lines."), Answer::text("None.")]);
    let ended = desk.pipe(b"a\nb\nc\n", &["how many lines?"]);
    assert_said(&ended, "Three lines.");
    let asked = desk.asked(0);
    assert!(
        asked.ends_with("how many lines?\n\n[stdin]\na\nb\nc"),
        "{asked}"
    );
    let ended = desk.pipe(b"a\nb\nc\n", &["how many lines?", "--no-stdin"]);
    assert_said(&ended, "None.");
    assert!(desk.asked(1).ends_with("how many lines?"));
}

#[test]
fn files_are_attached_with_their_names() {
    let desk = Desk::new([Answer::text("Compared.")]);
    for (name, text) in [("a.txt", "apple"), ("b.txt", "pear")] {
        fs::write(desk.home.path().join(name), text).unwrap();
    }
    let ended = desk.send(&["compare", "-f", "a.txt", "--file", "b.txt"]);
    assert_said(&ended, "Compared.");
    let asked = desk.asked(0);
    assert!(
        asked.ends_with("compare\n\n[a.txt]\napple\n\n[b.txt]\npear"),
        "{asked}"
    );
}

#[test]
fn what_is_no_text_is_refused_before_anything_happens() {
    let desk = Desk::new([]);
    fs::write(desk.home.path().join("image.png"), b"\x89PNG\xff\xfe").unwrap();
    assert_told(&desk.pipe(b"\xff\xfe", &[]), 2, "not UTF-8");
    assert_told(&desk.pipe(b"\xff\xfe", &["look"]), 2, "not UTF-8");
    assert_told(&desk.send(&["@image.png"]), 2, "not UTF-8");
    assert_told(&desk.send(&["look", "-f", "image.png"]), 2, "not UTF-8");
    assert!(!desk.home.database().exists());
}

#[test]
fn nothing_to_send_is_refused() {
    let desk = Desk::new([]);
    fs::write(desk.home.path().join("blank.txt"), " \n").unwrap();
    for arguments in [&[][..], &[""], &[" \n\t"], &["-"], &["@blank.txt"]] {
        assert_told(&desk.send(arguments), 2, "nothing to send");
    }
    assert_told(&desk.pipe(b" \n", &["-"]), 2, "nothing to send");
    assert_eq!(desk.model.received().len(), 0);
}

#[test]
fn too_much_is_refused() {
    let desk = Desk::new([]);
    let much = vec![b'x'; 1_100 * 1024];
    assert_told(&desk.pipe(&much, &["-"]), 2, "too long");
}

#[test]
fn an_argument_that_is_not_utf8_is_a_wrong_use() {
    use std::os::unix::ffi::OsStrExt;
    let desk = Desk::new([]);
    let mut command = desk.command(&[]);
    command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    let ended = run(&mut command);
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
}

#[test]
fn slash_commands_are_understood() {
    let desk = Desk::new([]);
    let ended = desk.send(&["/help"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("/new") && ended.stdout.contains("/stop"));
    assert_eq!(desk.model.received().len(), 0);
}
