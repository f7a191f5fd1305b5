//! Tests of `legalise`: each rule by example, all of them on random histories.

use super::*;
use proptest::prelude::*;

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

fn assistant(text: &str) -> Message {
    Message::text(Role::Assistant, text)
}

fn calls(ids: &[&str]) -> Message {
    Message {
        role: Role::Assistant,
        parts: ids
            .iter()
            .map(|id| {
                Part::ToolCall(ToolCall {
                    id: (*id).to_owned(),
                    name: "bash".to_owned(),
                    arguments: "{}".to_owned(),
                })
            })
            .collect(),
        native: None,
    }
}

fn results(ids: &[&str]) -> Message {
    Message::results(ids.iter().map(|id| ToolResult {
        call_id: (*id).to_owned(),
        content: format!("result of {id}"),
        is_error: false,
        images: Vec::new(),
    }))
}

/// What every service demands of a request.
pub(in crate::agent) fn assert_legal(request: &[Message]) {
    let mut ids = HashSet::new();
    assert!(request.first().is_none_or(|first| first.role == Role::User));
    for (index, message) in request.iter().enumerate() {
        assert!(!message.parts.is_empty(), "empty message {index}");
        if index > 0 {
            assert_ne!(message.role, request[index - 1].role, "neighbours {index}");
        }
        let called: Vec<_> = message.tool_calls().map(|call| call.id.as_str()).collect();
        for call in message.tool_calls() {
            assert_eq!(message.role, Role::Assistant);
            assert!(name_is_legal(&call.id) && name_is_legal(&call.name));
            assert!(ids.insert(call.id.clone()), "id {} twice", call.id);
            assert!(is_object(&call.arguments));
        }
        let answered: Vec<_> = request
            .get(index + 1)
            .into_iter()
            .flat_map(Message::tool_results)
            .map(|result| result.call_id.as_str())
            .collect();
        assert_eq!(called, answered, "calls and results at {index}");
        if message.role == Role::Tool {
            assert!(index > 0 && request[index - 1].tool_calls().next().is_some());
        }
        for part in &message.parts {
            match part {
                Part::Note(_) => panic!("a note was sent"),
                Part::Text(text) | Part::Context(text) => {
                    assert!(!text.trim().is_empty() && !text.contains('\0'));
                }
                Part::ToolResult(result) => {
                    assert_eq!(message.role, Role::Tool);
                    assert!(!result.content.trim().is_empty());
                }
                Part::ToolCall(_) => {}
                Part::Image(_) => assert_eq!(message.role, Role::User),
            }
        }
    }
}

#[test]
fn a_legal_history_is_left_alone() {
    let history = [
        user("a"),
        calls(&["1", "2"]),
        results(&["1"]),
        results(&["2"]),
        assistant("b"),
        user("c"),
    ];
    let legal = legalise(&history);
    assert_eq!(legal.repair, None);
    assert_legal(&legal.request);
    assert_eq!(legal.request.len(), 5, "the two result messages are joined");
}

#[test]
fn a_missing_result_is_told_as_interrupted() {
    let history = [user("a"), calls(&["1", "2"]), results(&["2"]), user("b")];
    let legal = legalise(&history);
    assert_legal(&legal.request);
    let repair = legal.repair.unwrap();
    assert_eq!(repair.kept, 2);
    let results: Vec<_> = repair.rest[0].1.tool_results().collect();
    assert_eq!(results[0].content, INTERRUPTED);
    assert!(results[0].is_error);
    assert_eq!(results[1].content, "result of 2");
    assert_eq!(repair.rest[1], (3, user("b")));
}

#[test]
fn orphans_duplicates_and_empties_go() {
    let history = [
        assistant("I was first"),
        results(&["9"]),
        user(""),
        calls(&["1", "1", ""]),
        results(&["1", "1", "7"]),
        Message {
            role: Role::Assistant,
            parts: vec![],
            native: None,
        },
        user("b\0c"),
        user("d"),
    ];
    let legal = legalise(&history);
    assert_legal(&legal.request);
    assert_eq!(legal.request.len(), 4);
}

#[test]
fn notes_are_kept_but_not_sent() {
    let history = [
        user("a"),
        Message {
            role: Role::Assistant,
            parts: vec![Part::Note("Stopped.".into())],
            native: None,
        },
        user("b"),
    ];
    let legal = legalise(&history);
    assert_eq!(legal.repair, None);
    assert_eq!(
        *legal.request,
        [Message {
            role: Role::User,
            parts: vec![Part::Text("a".into()), Part::Text("b".into())],
            native: None
        }]
    );
}

#[test]
fn broken_arguments_and_names_are_replaced() {
    let mut call = calls(&["functions.bash:0"]);
    let Part::ToolCall(inner) = &mut call.parts[0] else {
        unreachable!()
    };
    inner.name = "functions.bash".into();
    inner.arguments = "{\"command\": \"ls".into();
    let history = [user("a"), call, results(&["functions.bash:0"])];
    let legal = legalise(&history);
    assert_legal(&legal.request);
    let sent = legal.request[1].tool_calls().next().unwrap();
    assert_eq!(
        (sent.id.as_str(), sent.name.as_str()),
        ("functions_bash_0", "functions_bash")
    );
    assert_eq!(sent.arguments, "{}");
    assert_eq!(
        legal.request[2].tool_results().next().unwrap().content,
        "result of functions.bash:0"
    );
}

fn part() -> impl Strategy<Value = Part> {
    let id = prop_oneof![Just(""), Just("a"), Just("b"), Just("c:1"), Just("d")];
    prop_oneof![
        "[ab \0中]{0,3}".prop_map(Part::Text),
        "[ab]{0,2}".prop_map(Part::Context),
        "[ab]{0,2}".prop_map(Part::Note),
        (id.clone(), "[a.]{0,3}", "[{}\"a:1]{0,5}").prop_map(|(id, name, arguments)| {
            Part::ToolCall(ToolCall {
                id: id.into(),
                name,
                arguments,
            })
        }),
        (id, "[a ]{0,2}", any::<bool>()).prop_map(|(id, content, is_error)| {
            Part::ToolResult(ToolResult {
                call_id: id.into(),
                content,
                is_error,
                images: Vec::new(),
            })
        }),
    ]
}

pub(in crate::agent) fn history() -> impl Strategy<Value = Vec<Message>> {
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant), Just(Role::Tool)];
    let message =
        (role, proptest::collection::vec(part(), 0..4)).prop_map(|(role, parts)| Message {
            role,
            parts,
            native: None,
        });
    proptest::collection::vec(message, 0..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_history_becomes_legal(history in history()) {
        assert_legal(&legalise(&history).request);
    }

    #[test]
    fn what_needs_no_mending_is_what_mending_would_leave(history in history()) {
        let mended = mend(&history);
        let untouched = mended.repair.is_none() && *mended.request == *history;
        prop_assert_eq!(is_legal(&history), untouched);
        // Mostly illegal histories come up; what they become must be legal at first sight.
        prop_assert!(is_legal(&mended.request), "{:?}", mended.request);
    }

    #[test]
    fn a_repair_is_final(history in history()) {
        let legal = legalise(&history);
        let stored = match legal.repair {
            None => history.clone(),
            Some(repair) => {
                let rest = repair.rest.into_iter().map(|(_, message)| message);
                history[..repair.kept].iter().cloned().chain(rest).collect()
            }
        };
        let again = legalise(&stored);
        prop_assert_eq!(&again.repair, &None);
        prop_assert_eq!(again.request, legal.request);
    }
}
