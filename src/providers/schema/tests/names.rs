//! Tool names: form, uniqueness, the way back, independence of order.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::super::ToolNames;

fn is_valid(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[track_caller]
fn check(names: &[&str]) -> ToolNames {
    let tools = ToolNames::new(names.iter().copied());
    let mut seen = BTreeSet::new();
    for name in names.iter().collect::<BTreeSet<_>>() {
        let shown = tools.shown(name).unwrap();
        assert!(is_valid(shown), "{name:?} → {shown:?}");
        assert!(seen.insert(shown.to_owned()), "{shown:?} twice");
        assert_eq!(tools.original(shown), Some(*name));
        if is_valid(name) {
            assert_eq!(shown, *name);
        }
    }
    assert_eq!(ToolNames::new(names.iter().rev().copied()), tools);
    tools
}

#[test]
fn names_become_readable() {
    let tools = check(&[
        "bash",
        "github.create-issue",
        "files/读取",
        "1st",
        "_x",
        "搜索",
        "查找",
        "",
    ]);
    for (name, shown) in [
        ("bash", "bash"),
        ("github.create-issue", "github_create-issue"),
        ("files/读取", "files___"),
        ("1st", "x_1st"),
        ("_x", "x__x"),
    ] {
        assert_eq!(tools.shown(name), Some(shown));
    }
    assert!(tools.shown("搜索").unwrap().starts_with("x____"));
    assert_eq!(tools.shown("unknown"), None);
    assert_eq!(tools.original("github.create-issue"), None);
}

#[test]
fn what_collides_gets_a_hash_and_what_fits_stays() {
    let tools = check(&["a.b", "a b", "a_b"]);
    assert_eq!(tools.shown("a_b"), Some("a_b"));
    for name in ["a.b", "a b"] {
        let shown = tools.shown(name).unwrap();
        assert!(shown.starts_with("a_b_") && shown.len() == 12, "{shown}");
    }
    let alone = ToolNames::new(["a.b"]);
    assert_eq!(alone.shown("a.b"), Some("a_b"));
}

#[test]
fn long_names_are_shortened() {
    let (one, two) = (
        format!("{}1", "n".repeat(90)),
        format!("{}2", "n".repeat(90)),
    );
    let tools = check(&[&one, &two]);
    let shown = tools.shown(&one).unwrap();
    assert_eq!(shown.len(), 64);
    assert!(shown.starts_with(&"n".repeat(55)));
    // Cut at the length of the prefix too.
    check(&[
        &format!("1{}", "n".repeat(63)),
        &"n".repeat(64),
        &"n".repeat(65),
    ]);
}

#[test]
fn a_foretold_hash_is_avoided() {
    let foretell = |n: u64| {
        let digest = Sha256::new()
            .chain_update(n.to_be_bytes())
            .chain_update("a.b")
            .finalize();
        let hex: String = digest
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("a_b_{hex}")
    };
    let taken: Vec<String> = (1..5).map(foretell).collect();
    let mut names = vec!["a_b", "a.b"];
    names.extend(taken.iter().map(String::as_str));
    let tools = check(&names);
    assert_eq!(tools.shown("a.b"), Some(foretell(5).as_str()));
}

proptest! {
    #[test]
    fn any_set_of_names_is_mapped(names in proptest::collection::vec("[a-c._ 字-]{0,4}|\\PC{0,80}", 0..30)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        check(&names);
    }
}
