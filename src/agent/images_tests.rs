//! Tests of placing images: each rule by example, all of them on random histories.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::agent::legalise::{legalise, tests as legality};
use crate::chat::{MediaType, ToolCall, ToolResult};

fn model(images: bool) -> ModelSpec {
    ModelSpec {
        model_id: "m".to_owned(),
        temperature: None,
        max_tokens: None,
        images,
    }
}

fn picture(name: &str) -> Image {
    sized(name, 3)
}

fn sized(name: &str, bytes: usize) -> Image {
    Image {
        digest: name.to_owned(),
        media_type: MediaType::Png,
        width: 8,
        height: 6,
        name: name.to_owned(),
        data: vec![7; bytes].into(),
    }
}

fn note(name: &str) -> Part {
    Part::Text(format!("[image: {name}, 8x6]"))
}

fn says(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        parts,
        native: None,
    }
}

fn looks(name: &str) -> Message {
    says(
        Role::User,
        vec![Part::Image(picture(name)), Part::Text("see".into())],
    )
}

fn calls() -> Message {
    let call = |id: &str| {
        Part::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "file_read".to_owned(),
            arguments: "{}".to_owned(),
        })
    };
    says(Role::Assistant, vec![call("1"), call("2")])
}

fn result(id: &str, content: &str, images: Vec<Image>) -> ToolResult {
    ToolResult {
        call_id: id.to_owned(),
        content: content.to_owned(),
        is_error: false,
        images,
    }
}

/// The names of the images that are sent.
fn sent(messages: &[Message]) -> Vec<&str> {
    let images = messages.iter().flat_map(Message::images);
    images.map(|image| image.name.as_str()).collect()
}

fn with_names(names: impl IntoIterator<Item = usize>) -> Vec<Message> {
    names.into_iter().map(|n| looks(&n.to_string())).collect()
}

#[test]
fn without_images_nothing_is_copied() {
    let history = [Message::text(Role::User, "hi"), calls()];
    let placed = place(&history, &model(true), Dialect::OpenAi);
    assert!(matches!(placed, Cow::Borrowed(_)));
}

#[test]
fn a_model_that_takes_none_reads_their_names() {
    let history = [
        looks("a.png"),
        calls(),
        Message::results([
            result("1", "one", vec![picture("b.png"), picture("c.png")]),
            result("2", "two", vec![]),
        ]),
    ];
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let placed = place(&history, &model(false), dialect);
        assert_eq!(
            *placed,
            [
                says(Role::User, vec![note("a.png"), Part::Text("see".into())]),
                calls(),
                Message::results([
                    result("1", "one\n[image: b.png, 8x6]\n[image: c.png, 8x6]", vec![]),
                    result("2", "two", vec![]),
                ]),
            ]
        );
    }
}

#[test]
fn images_of_results_stand_where_the_dialect_allows() {
    let results = Message::results([
        result("1", "one", vec![picture("b")]),
        result("2", "two", vec![picture("c")]),
    ]);
    let named = |images: bool| {
        let keep = |name: &str| if images { vec![picture(name)] } else { vec![] };
        Message::results([
            result("1", "one\n[image: b, 8x6]", keep("b")),
            result("2", "two\n[image: c, 8x6]", keep("c")),
        ])
    };
    let moved = vec![
        Part::Text(TOOL_IMAGES.to_owned()),
        note("b"),
        Part::Image(picture("b")),
        note("c"),
        Part::Image(picture("c")),
    ];
    let first = Message::text(Role::User, "look");
    let answer = Message::text(Role::Assistant, "I see");
    let history = [first.clone(), calls(), results.clone(), answer.clone()];
    assert_eq!(
        *place(&history, &model(true), Dialect::OpenAi),
        [
            first.clone(),
            calls(),
            named(false),
            says(Role::User, moved.clone()),
            answer.clone()
        ]
    );
    assert_eq!(
        *place(&history, &model(true), Dialect::Anthropic),
        [first.clone(), calls(), named(true), answer]
    );
    // At the end, and in front of what the person says next.
    assert_eq!(
        place(&history[..3], &model(true), Dialect::OpenAi)[3],
        says(Role::User, moved.clone())
    );
    let next = Message::text(Role::User, "and?");
    let steered = [first, calls(), results, next];
    let placed = place(&steered, &model(true), Dialect::OpenAi);
    let joined = [moved, vec![Part::Text("and?".into())]].concat();
    assert_eq!(placed[3..], [says(Role::User, joined)]);
}

#[test]
fn failed_calls_show_nothing() {
    let mut failed = result("1", "one", vec![picture("b")]);
    failed.is_error = true;
    let history = [
        calls(),
        Message::results([failed, result("2", "x", vec![])]),
    ];
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let placed = place(&history, &model(true), dialect);
        assert_eq!(sent(&placed), [""; 0]);
        assert_eq!(placed.len(), 2);
    }
}

#[test]
fn too_many_images_go_in_blocks_the_oldest_first() {
    for (n_images, first_sent) in [(1, 0), (20, 0), (21, 10), (30, 10), (31, 20), (100, 80)] {
        let history = with_names(0..n_images);
        let placed = place(&history, &model(true), Dialect::OpenAi);
        let expected: Vec<String> = (first_sent..n_images).map(|n| n.to_string()).collect();
        assert_eq!(sent(&placed), expected, "{n_images}");
        let named: Vec<_> = placed
            .iter()
            .map(|message| message.parts[0].clone())
            .collect();
        let all: Vec<_> = (0..n_images).map(|n| note(&n.to_string())).collect();
        assert_eq!(named, all);
    }
}

#[test]
fn a_request_stays_below_the_limit_of_bytes() {
    let history: Vec<_> = (0..6)
        .map(|n| {
            says(
                Role::User,
                vec![Part::Image(sized(&n.to_string(), 3_400_000))],
            )
        })
        .collect();
    let placed = place(&history, &model(true), Dialect::Anthropic);
    assert_eq!(sent(&placed), ["2", "3", "4", "5"]);
}

#[test]
fn images_without_bytes_are_only_named() {
    let lost = says(Role::User, vec![Part::Image(sized("a", 0))]);
    let placed = place(std::slice::from_ref(&lost), &model(true), Dialect::OpenAi);
    assert_eq!(*placed, [says(Role::User, vec![note("a")])]);
}

fn some_image() -> impl Strategy<Value = Image> {
    ("[ab]{1,2}", 0..3_usize).prop_map(|(name, bytes)| Image {
        data: Arc::from(vec![1; bytes]),
        ..picture(&name)
    })
}

/// Puts images into a random history, at places where they may and may not stand.
fn history() -> impl Strategy<Value = Vec<Message>> {
    let images = proptest::collection::vec(some_image(), 0..60);
    (legality::history(), images).prop_map(|(mut history, images)| {
        let n_messages = history.len().max(1);
        for (n, image) in images.into_iter().enumerate() {
            let Some(message) = history.get_mut(n % n_messages) else {
                break;
            };
            let result = message.parts.iter_mut().find_map(|part| match part {
                Part::ToolResult(result) => Some(result),
                _ => None,
            });
            match result {
                Some(result) if n % 2 == 0 => result.images.push(image),
                _ => message.parts.push(Part::Image(image)),
            }
        }
        history
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_history_stays_legal(history in history(), takes in any::<bool>(), openai in any::<bool>()) {
        let dialect = if openai { Dialect::OpenAi } else { Dialect::Anthropic };
        let request = legalise(&history).request;
        let placed = place(&request, &model(takes), dialect);
        legality::assert_legal(&placed);
        let n_sent = sent(&placed).len();
        prop_assert!(n_sent <= Image::MAX_IN_REQUEST);
        prop_assert!(takes || n_sent == 0);
        for message in placed.iter() {
            for part in &message.parts {
                match part {
                    Part::Image(_) => prop_assert_eq!(message.role, Role::User),
                    Part::ToolResult(result) => {
                        prop_assert!(result.images.is_empty() || (!openai && !result.is_error));
                    }
                    _ => {}
                }
            }
        }
        let n_named = placed
            .iter()
            .flat_map(|message| &message.parts)
            .map(|part| match part {
                Part::Text(text) => text.matches("[image: ").count(),
                Part::ToolResult(result) => result.content.matches("[image: ").count(),
                _ => 0,
            })
            .sum::<usize>();
        let n_images = request.iter().flat_map(Message::images).count();
        prop_assert!(n_named >= n_images);
    }

    #[test]
    fn a_repair_with_images_is_final(history in history()) {
        let legal = legalise(&history);
        let stored: Vec<Message> = match legal.repair {
            None => history,
            Some(repair) => {
                let rest = repair.rest.into_iter().map(|(_, message)| message);
                history[..repair.kept].iter().cloned().chain(rest).collect()
            }
        };
        prop_assert_eq!(legalise(&stored).repair, None);
    }
}
