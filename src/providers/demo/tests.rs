//! The demo provider as the agent loop sees it.

use proptest::prelude::*;
use serde_json::json;

use super::super::reasoning_of;
use super::*;
use crate::providers::{ModelSpec, ToolSpec};

const ALL: [&str; 5] = ["calculator", "file_read", "file_write", "file_edit", "bash"];

fn specs(names: &[&str]) -> Vec<ToolSpec> {
    names
        .iter()
        .map(|name| ToolSpec {
            name: (*name).to_owned(),
            description: String::new(),
            parameters: json!({"type": "object", "properties": {}}),
        })
        .collect()
}

fn ask_with(
    messages: &[Message],
    tools: &[&str],
    cancel: &CancelToken,
) -> (Result<Reply, ProviderError>, String, String) {
    let model = ModelSpec {
        model_id: "demo".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    };
    let request = Request {
        model: &model,
        system: "You are PicoBot.",
        tools: &specs(tools),
        messages,
    };
    let (mut text, mut reasoning) = (String::new(), String::new());
    let reply = Demo::new("demo").stream(
        &request,
        &mut |delta| match delta {
            Delta::Text(piece) => text.push_str(piece),
            Delta::Reasoning(piece) => reasoning.push_str(piece),
            Delta::Notice(_) => {}
        },
        cancel,
    );
    (reply, text, reasoning)
}

fn ask(messages: &[Message], tools: &[&str]) -> Reply {
    let (reply, text, _) = ask_with(messages, tools, &CancelToken::new());
    let reply = reply.unwrap();
    assert_eq!(
        reply.message.visible_text(),
        text,
        "deltas and reply differ"
    );
    reply
}

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

/// Plays the loop: runs every call with `run` until the demo answers; returns the rounds of calls and the answer.
fn converse(text: &str, run: impl Fn(&ToolCall) -> (String, bool)) -> (Vec<Vec<ToolCall>>, String) {
    let mut messages = vec![user(text)];
    let mut rounds = Vec::new();
    loop {
        let reply = ask(&messages, &ALL);
        let calls: Vec<ToolCall> = reply.message.tool_calls().cloned().collect();
        if calls.is_empty() {
            assert_eq!(reply.stop, StopReason::Complete);
            return (rounds, reply.message.visible_text());
        }
        assert_eq!(reply.stop, StopReason::ToolCalls);
        messages.push(reply.message);
        messages.push(Message::results(calls.iter().map(|call| {
            let (content, is_error) = run(call);
            ToolResult {
                call_id: call.id.clone(),
                content,
                is_error,
                images: Vec::new(),
            }
        })));
        rounds.push(calls);
    }
}

#[test]
fn images_are_named_and_do_not_hide_what_was_said() {
    let mut shows = user("[image: 图.png, 64x48]");
    let text = ask(std::slice::from_ref(&shows), &ALL)
        .message
        .visible_text();
    assert!(text.contains("图.png, 64x48"), "{text}");
    shows.parts.push(Part::Text("这是什么？".to_owned()));
    let text = ask(std::slice::from_ref(&shows), &ALL)
        .message
        .visible_text();
    assert!(text.contains("收到了：图.png, 64x48"), "{text}");
    shows.parts.push(Part::Text("2+2".to_owned()));
    shows.parts.remove(1);
    let reply = ask(&[shows], &ALL);
    assert_eq!(reply.message.tool_calls().count(), 1);
}

#[test]
fn calculates_through_the_tool() {
    for (question, answer) in [
        (
            "what is 17.5% of 2340?",
            "The calculator says: 17.5% of 2340 = 409.5\n\n(demo provider)",
        ),
        (
            "2340 的 17.5% 是多少",
            "计算器的结果：17.5% of 2340 = 409.5\n\n(演示模式)",
        ),
    ] {
        let (rounds, text) = converse(question, |_| ("409.5".to_owned(), false));
        assert_eq!(rounds.len(), 1);
        assert_eq!(rounds[0][0].name, "calculator");
        assert_eq!(rounds[0][0].arguments, r#"{"expression":"17.5% of 2340"}"#);
        assert_eq!(rounds[0][0].id, "demo_1_0");
        assert_eq!(text, answer);
    }
}

#[test]
fn calls_in_parallel_and_in_turn() {
    let (rounds, text) = converse("compute 2+2 and 3*3", |call| {
        let sum = call.arguments.contains("2+2");
        (if sum { "4" } else { "9" }.to_owned(), false)
    });
    assert_eq!(rounds.len(), 1);
    assert_eq!(rounds[0][1].id, "demo_1_1");
    assert!(
        text.contains("2+2 = 4") && text.contains("3*3 = 9"),
        "{text}"
    );

    let (rounds, text) = converse("write 'hi' to a.txt, then read a.txt", |call| {
        (format!("{} ran", call.name), false)
    });
    let names: Vec<_> = rounds.iter().map(|round| round[0].name.as_str()).collect();
    assert_eq!(names, ["file_write", "file_read"]);
    assert_eq!(rounds[1][0].id, "demo_2_0");
    assert!(
        text.contains("file_write ran") && text.contains("file_read ran"),
        "{text}"
    );
}

#[test]
fn a_failed_round_ends_the_work() {
    let (rounds, text) = converse("读取 a.txt，然后读取 b.txt", |_| {
        ("no such file".to_owned(), true)
    });
    assert_eq!(rounds.len(), 1);
    assert_eq!(text, "工具 `file_read` 失败：no such file\n\n(演示模式)");
}

#[test]
fn says_when_a_tool_is_missing() {
    let reply = ask(&[user("run `ls`")], &["calculator"]);
    let text = reply.message.visible_text();
    assert!(text.contains("`bash`, which is not available"), "{text}");
    assert!(text.ends_with("(demo provider)"));
}

#[test]
fn introduces_itself_in_the_language_of_the_question() {
    for (text, words, mark) in [
        ("hello", "not a language model", "(demo provider)"),
        ("你好", "不是语言模型", "(演示模式)"),
    ] {
        let answer = ask(&[user(text)], &ALL).message.visible_text();
        assert!(answer.contains(words) && answer.ends_with(mark), "{answer}");
        assert!(answer.contains("~/.picobot/config.json"), "{answer}");
        assert!(
            answer.contains("~/.picobot/config.example.json"),
            "{answer}"
        );
    }
}

#[test]
fn ignores_context_and_knows_the_history() {
    let first = Message {
        role: Role::User,
        parts: vec![
            Part::Context("the time is 2+2".to_owned()),
            Part::Text("my cat is called Tofu".to_owned()),
        ],
        native: None,
    };
    let answer = ask(std::slice::from_ref(&first), &ALL);
    assert_eq!(answer.message.tool_calls().count(), 0);
    for (question, expected) in [
        ("what did I say first?", "was: my cat is called Tofu"),
        ("我第一句话说了什么？", "是：my cat is called Tofu"),
    ] {
        let messages = [first.clone(), answer.message.clone(), user(question)];
        let text = ask(&messages, &ALL).message.visible_text();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn plays_failures() {
    let cancel = CancelToken::new();
    for text in ["play 429", "模拟 429"] {
        let (reply, said, _) = ask_with(&[user(text)], &ALL, &cancel);
        assert!(matches!(
            reply,
            Err(ProviderError::RateLimited {
                retry_after: Some(_),
                ..
            })
        ));
        assert_eq!(said, "");
    }
    for text in ["play 500", "模拟 500"] {
        let (reply, ..) = ask_with(&[user(text)], &ALL, &cancel);
        assert!(matches!(reply, Err(ProviderError::Overloaded(_))));
    }
}

#[test]
fn a_slow_answer_can_be_stopped() {
    let cancel = CancelToken::new();
    let stopper = cancel.clone();
    let mut said = String::new();
    let model = ModelSpec {
        model_id: "demo".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    };
    let messages = [user("play slow 3600")];
    let request = Request {
        model: &model,
        system: "",
        tools: &[],
        messages: &messages,
    };
    let reply = Demo::new("demo").stream(
        &request,
        &mut |delta| {
            if let Delta::Text(piece) = delta {
                said.push_str(piece);
            }
            if said.ends_with("silence… ") {
                stopper.cancel();
            }
        },
        &cancel,
    );
    assert_eq!(reply, Err(ProviderError::Cancelled));
    assert_eq!(said, "Now 3600 seconds of silence… ");
}

#[test]
fn plays_texts() {
    let slow = ask(&[user("play slow 0")], &ALL).message.visible_text();
    assert!(
        slow.ends_with("the rest of the answer.\n\n(demo provider)"),
        "{slow}"
    );

    let broken = ask(&[user("模拟截断")], &ALL);
    assert_eq!(broken.stop, StopReason::Truncated);
    assert!(broken.message.visible_text().starts_with("(演示模式)"));

    let long = ask(&[user("play long markdown")], &ALL)
        .message
        .visible_text();
    assert!(long.len() > 10_000 && long.contains("| tea | 24 |"));

    let (reply, text, thought) = ask_with(&[user("play reasoning")], &ALL, &CancelToken::new());
    assert!(thought.starts_with("The person wants"));
    let message = reply.unwrap().message;
    assert_eq!(message.visible_text(), text);
    assert_eq!(
        message.native.as_ref().and_then(reasoning_of),
        Some(thought)
    );
}

#[test]
fn plays_many_rounds() {
    let (rounds, text) = converse("play tools 40", |_| ("1".to_owned(), false));
    assert_eq!(rounds.len(), 40);
    assert_eq!(rounds[39][0].id, "demo_40_0");
    assert!(text.starts_with("Done: 40 of 40 tool rounds."), "{text}");

    let text = ask(&[user("play tools 3")], &[]).message.visible_text();
    assert!(text.starts_with("Done: 0 of 3 tool rounds."), "{text}");
}

#[test]
fn call_ids_stay_new_after_a_summary() {
    let earlier = ask(&[user("1+1")], &ALL).message;
    let calls: Vec<_> = earlier.tool_calls().cloned().collect();
    let mut old = earlier.clone();
    old.parts = vec![Part::ToolCall(ToolCall {
        id: "demo_2_0".to_owned(),
        ..calls[0].clone()
    })];
    let result = ToolResult {
        call_id: "demo_2_0".to_owned(),
        content: "2".to_owned(),
        is_error: false,
        images: Vec::new(),
    };
    let messages = [user("1+1"), old, Message::results([result]), user("2+2")];
    let reply = ask(&messages, &ALL);
    let id = &reply.message.tool_calls().next().unwrap().id;
    assert_eq!(id, "demo_3_0");
}

#[test]
fn counts_are_estimates() {
    let reply = ask(&[user("hello")], &[]);
    // 16 characters of system prompt and 5 of text.
    assert_eq!(reply.usage.input, Some(6));
    let said = reply.message.visible_text().chars().count() as u64;
    assert_eq!(reply.usage.output, Some(said.div_ceil(4)));
    assert_eq!((reply.usage.cached, reply.attempts), (None, 1));
    assert!(reply.first_token.is_some());
}

fn any_message() -> impl Strategy<Value = Message> {
    let text = "(play |tools |模拟|slow 0|1\\+1|read |a\\.txt|然后| and |'|.){0,8}";
    let part = prop_oneof![
        text.prop_map(Part::Text),
        ".{0,9}".prop_map(Part::Context),
        ("[a-c]", ".{0,9}").prop_map(|(id, arguments)| Part::ToolCall(ToolCall {
            id,
            name: "calculator".to_owned(),
            arguments,
        })),
        ("[a-c]", ".{0,9}", any::<bool>()).prop_map(|(call_id, content, is_error)| {
            Part::ToolResult(ToolResult {
                call_id,
                content,
                is_error,
                images: Vec::new(),
            })
        }),
    ];
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant), Just(Role::Tool)];
    (role, prop::collection::vec(part, 0..4)).prop_map(|(role, parts)| Message {
        role,
        parts,
        native: None,
    })
}

proptest! {
    #[test]
    fn never_panics_and_repeats_itself(messages in prop::collection::vec(any_message(), 0..6)) {
        // A random "slow 0" plus digits could ask for a real pause.
        let slow = messages.iter().any(|m| m.visible_text().to_lowercase().contains("slow")
            || m.visible_text().contains('慢'));
        prop_assume!(!slow);
        let (one, text, _) = ask_with(&messages, &ALL, &CancelToken::new());
        let (two, ..) = ask_with(&messages, &ALL, &CancelToken::new());
        let plain = |reply: Result<Reply, ProviderError>| reply.map(|r| (r.message, r.stop, r.usage));
        let (one, two) = (plain(one), plain(two));
        prop_assert_eq!(&one, &two);
        if let Ok((message, stop, _)) = one {
            prop_assert_eq!(message.visible_text(), text.clone());
            let marked = text.contains("(demo provider)") || text.contains("(演示模式)");
            prop_assert!(marked || stop == StopReason::ToolCalls);
        }
    }
}

#[test]
fn summaries_and_what_was_said_before_them() {
    let model = ModelSpec {
        model_id: "demo".to_owned(),
        temperature: None,
        max_tokens: None,
        images: false,
    };
    let wish = "Summarise.\n\n<conversation>\nPerson: 你好\nCall bash: {}\nResult: x\nPerson: 再见\n</conversation>";
    let messages = [Message::text(Role::User, wish)];
    let request = Request {
        model: &model,
        system: "You compress conversations. You get …",
        tools: &[],
        messages: &messages,
    };
    let reply = Demo::new("demo")
        .stream(&request, &mut |_| {}, &CancelToken::new())
        .unwrap();
    assert_eq!(
        reply.message.visible_text(),
        "到目前为止用户说了 2 句话，调用了 1 次工具。其中说过：\n- 你好\n- 再见\n\n(演示模式)"
    );
    let mut first = Message::text(Role::User, "what did I say first?");
    let block = "<summary>\nprose\n\nFirst request: plant a tree\n</summary>";
    first.parts.insert(0, Part::Context(block.to_owned()));
    let said = ask(&[first], &ALL).message.visible_text();
    assert!(said.contains("was: plant a tree"), "{said}");
}
