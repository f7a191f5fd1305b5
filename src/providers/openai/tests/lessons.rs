//! Refusals that change the next request, and failures that only this format has words for.

use super::*;

#[test]
fn refusals_that_name_a_parameter_teach_at_once() {
    let model = ModelSpec {
        temperature: Some(0.7),
        max_tokens: Some(5000),
        ..model()
    };
    let server = Server::start(vec![
        KIT.error(
            400,
            "Unsupported value: 'temperature' does not support 0.7 with this model",
        ),
        KIT.error(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        ),
        KIT.error(
            400,
            "max_completion_tokens: this model supports at most 4096 completion tokens",
        ),
        KIT.error(
            400,
            "Unrecognized request argument supplied: stream_options",
        ),
        fine_stream(),
        fine_stream(),
        fine_stream(),
    ]);
    let provider = adapter(settings(&server));
    let messages = [Message::text(Role::User, "hi")];
    let cancel = CancelToken::new();
    let outcome = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(outcome.line(), "complete \"fine\" [] x5");
    assert!(outcome.notices.is_empty());
    let again = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(again.line(), "complete \"fine\" [] x1");
    let other = ModelSpec {
        model_id: "m-2".to_owned(),
        ..model
    };
    ask_with(&provider, &other, &messages, &cancel);
    let bodies: Vec<_> = server.received().iter().map(|r| r.json()).collect();
    assert_eq!(bodies[0]["max_tokens"], 5000);
    for body in &bodies[4..6] {
        assert_eq!(body["max_completion_tokens"], 4096);
        for absent in ["temperature", "max_tokens", "stream_options"] {
            assert!(body.get(absent).is_none(), "{absent}");
        }
    }
    assert_eq!(
        bodies[6]["temperature"], 0.7,
        "lessons belong to their model"
    );
}

#[test]
fn a_limit_that_is_refused_without_a_better_one_is_left_out() {
    let model = ModelSpec {
        max_tokens: Some(20_000),
        ..model()
    };
    let refusal = KIT.error(400, "max_tokens参数非法。请检查文档。");
    let server = Server::start(vec![refusal.clone(), fine_stream(), refusal]);
    let provider = adapter(settings(&server));
    let messages = [Message::text(Role::User, "hi")];
    let cancel = CancelToken::new();
    let outcome = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(outcome.line(), "complete \"fine\" [] x2");
    assert!(server.received()[1].json().get("max_tokens").is_none());
    // It is learned once.
    let again = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(again.line(), "error bad_request");
}

#[test]
fn a_prompt_that_leaves_little_room_gets_a_shorter_answer() {
    let full = "This model's maximum context length is 4096 tokens. However, you requested 5268 tokens (1012 in the messages, 4256 in the completion). Please reduce the length of the messages or completion.";
    let model = ModelSpec {
        max_tokens: Some(4256),
        ..model()
    };
    let server = Server::start(vec![KIT.error(400, full), fine_stream(), fine_stream()]);
    let provider = adapter(settings(&server));
    let messages = [Message::text(Role::User, "hi")];
    let cancel = CancelToken::new();
    let outcome = ask_with(&provider, &model, &messages, &cancel);
    assert_eq!(outcome.line(), "complete \"fine\" [] x2");
    ask_with(&provider, &model, &messages, &cancel);
    let limits: Vec<_> = server
        .received()
        .iter()
        .map(|r| r.json()["max_tokens"].clone())
        .collect();
    assert_eq!(limits, [4256, 3084, 4256], "the room belongs to its call");
    // Where nothing was left for the answer, the prompt itself is too long.
    let (outcome, _) = situation(true, vec![KIT.error(400, full)]);
    assert_eq!(outcome.line(), "error context_too_long");
}

#[test]
fn a_vendor_that_gives_up_is_asked_again() {
    let gives_up = stream(&[finish("insufficient_system_resource")]);
    let (outcome, _) = situation(true, vec![gives_up.clone(), fine_stream()]);
    assert_eq!(outcome.line(), "complete \"fine\" [] x2");
    let (outcome, _) = situation(true, vec![gives_up; 4]);
    assert_eq!(outcome.line(), "error overloaded");
}
