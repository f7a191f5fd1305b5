//! The turn loop against scripted services: fallbacks, long histories, money.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::agent::models::Candidate;
use crate::chat::{MediaType, ToolCall};
use crate::providers::{Dialect, ModelSpec, Provider};
use crate::tools::WorkspaceOptions;

type Script = Arc<Mutex<VecDeque<Result<Message, ProviderError>>>>;

struct Scripted {
    name: &'static str,
    script: Script,
}

impl Provider for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    fn stream(
        &self,
        _request: &Request<'_>,
        on_delta: &mut dyn FnMut(Delta<'_>),
        _cancel: &CancelToken,
    ) -> Result<Reply, ProviderError> {
        let next = self.script.lock().unwrap().pop_front();
        let message = next.expect("asked more often than scripted")?;
        on_delta(Delta::Text(&message.visible_text()));
        Ok(Reply {
            message,
            stop: StopReason::Complete,
            usage: Usage::default(),
            first_token: None,
            attempts: 1,
        })
    }
}

fn candidate(
    name: &'static str,
    model: &str,
    script: Vec<Result<Message, ProviderError>>,
) -> Candidate {
    Candidate {
        provider: Arc::new(Scripted {
            name,
            script: Arc::new(Mutex::new(script.into())),
        }),
        model: ModelSpec {
            model_id: model.to_owned(),
            temperature: None,
            max_tokens: None,
            images: false,
        },
        price: None,
    }
}

fn say(text: &str) -> Result<Message, ProviderError> {
    Ok(Message::text(Role::Assistant, text))
}

fn call() -> Result<Message, ProviderError> {
    Ok(Message {
        role: Role::Assistant,
        parts: vec![Part::ToolCall(ToolCall {
            id: "c".to_owned(),
            name: "nothing".to_owned(),
            arguments: "{}".to_owned(),
        })],
        native: None,
    })
}

fn busy() -> Result<Message, ProviderError> {
    Err(ProviderError::Overloaded("busy".to_owned()))
}

#[derive(Default)]
struct Notices(Mutex<Vec<String>>);

impl Watch for Notices {
    fn delta(&self, _text: &str, _reasoning: bool) {}
    fn notice(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn tool_started(&self, _call: &ToolCall) {}
    fn tool_output(&self, _call_id: &str, _text: &str) {}
    fn tool_finished(&self, _record: &CallRecord, _content: &str) {}
}

#[derive(Default)]
struct Keeper {
    committed: usize,
    room: bool,
    shortened: Vec<Room>,
    over_budget: bool,
    refused_images: usize,
    so_far: SoFar,
}

impl Journal for Keeper {
    fn commit(&mut self, _step: Step) -> Result<(), JournalError> {
        self.committed += 1;
        Ok(())
    }

    fn may_ask(&mut self) -> Result<(), String> {
        if self.over_budget {
            return Err("the budget of today is used up".to_owned());
        }
        Ok(())
    }

    fn so_far(&mut self) -> Result<SoFar, JournalError> {
        Ok(self.so_far.clone())
    }

    fn refuse_images(&mut self) -> Result<(), JournalError> {
        self.refused_images += 1;
        Ok(())
    }

    fn make_room(&mut self, why: Room) -> Result<Option<Roomier>, JournalError> {
        if !self.room {
            return Ok(None);
        }
        self.shortened.push(why);
        Ok(Some(Roomier {
            system: "renewed".to_owned(),
            history: vec![Message::text(Role::User, "short")],
            usage: Usage::default(),
        }))
    }
}

fn run(models: &Models, keeper: &mut Keeper) -> (TurnResult, Vec<String>) {
    let hello = Message::text(Role::User, "hello");
    run_with(models, keeper, hello, Step::default())
}

/// Runs a turn on this newest message, with what is not stored yet.
fn run_with(
    models: &Models,
    keeper: &mut Keeper,
    newest: Message,
    first: Step,
) -> (TurnResult, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(folder.path(), WorkspaceOptions::default()).unwrap();
    let notices = Notices::default();
    let result = run_turn(
        &Setup {
            turn: 1,
            session: &"cli_chat:local:1".parse().unwrap(),
            models,
            system: "",
            specs: &[],
            tools: &Registry::default(),
            workspace: &workspace,
            room_from: 1e6,
            measured: None,
            used_ids: &[],
            boundary: "b0",
            limits: TurnLimits {
                rounds: 9,
                time: Duration::from_secs(900),
                tokens: 1_000_000,
            },
            policy: &ApprovalPolicy::default(),
            cancel: &CancelToken::new(),
            watch: &notices,
            observers: &Observers::default(),
            secrets: &Redactor::default(),
        },
        vec![
            Message::text(Role::User, "old"),
            Message::text(Role::Assistant, "old answer"),
            newest,
        ],
        first,
        keeper,
    );
    (result, notices.0.into_inner().unwrap())
}

fn text(result: &TurnResult) -> &str {
    match &result.end {
        TurnEnd::Answered { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_model_answers_and_the_person_is_told() {
    let models = Models::new(
        candidate("first", "a", vec![busy(), say("back again")]),
        [candidate("second", "b", vec![say("here"), say("still")])],
    );
    let (result, notices) = run(&models, &mut Keeper::default());
    assert_eq!(text(&result), "here");
    assert_eq!(result.model, "b");
    assert_eq!(
        notices,
        ["a (first) is not available now; b (second) answers."]
    );
    assert_eq!(result.rest.model_calls.len(), 2);
    // The first rests: it is not asked again at once.
    let (result, _) = run(&models, &mut Keeper::default());
    assert_eq!(text(&result), "still");
    models.works(0);
    let (result, notices) = run(&models, &mut Keeper::default());
    assert_eq!(text(&result), "back again");
    assert!(notices.is_empty());
}

#[test]
fn nobody_else_is_asked_between_a_call_and_its_result() {
    let models = Models::new(
        candidate("first", "a", vec![call(), busy()]),
        [
            candidate("second", "b", vec![]),
            candidate("first", "a", vec![say("with the other key")]),
        ],
    );
    let (result, notices) = run(&models, &mut Keeper::default());
    assert_eq!(text(&result), "with the other key");
    assert!(notices.is_empty());
}

#[test]
fn a_request_at_fault_is_not_passed_on() {
    let refused = || Err(ProviderError::BadRequest("no".to_owned()));
    let models = Models::new(
        candidate("first", "a", vec![refused()]),
        [candidate("second", "b", vec![])],
    );
    let (result, _) = run(&models, &mut Keeper::default());
    assert!(matches!(result.end, TurnEnd::Failed { provider, .. } if provider == "first"));
}

#[test]
fn the_last_failure_is_told_when_all_fail() {
    let models = Models::new(
        candidate("first", "a", vec![busy()]),
        [candidate(
            "second",
            "b",
            vec![Err(ProviderError::Auth("key".into()))],
        )],
    );
    let (result, _) = run(&models, &mut Keeper::default());
    assert!(matches!(
        result.end,
        TurnEnd::Failed {
            error: ProviderError::Auth(_),
            ..
        }
    ));
}

#[test]
fn a_history_too_long_is_shortened_twice_at_most() {
    let long = || Err(ProviderError::ContextTooLong("8k".to_owned()));
    let models = Models::new(candidate("first", "a", vec![long(), say("short now")]), []);
    let mut keeper = Keeper {
        room: true,
        ..Keeper::default()
    };
    let (result, _) = run(&models, &mut keeper);
    assert_eq!(text(&result), "short now");
    assert_eq!(keeper.shortened, [Room::Refused { again: false }]);
    let models = Models::new(candidate("first", "a", vec![long(), long(), long()]), []);
    let (result, _) = run(&models, &mut keeper);
    assert!(matches!(result.end, TurnEnd::Failed { .. }));
    assert_eq!(keeper.shortened[2..], [Room::Refused { again: true }]);
}

#[test]
fn a_refused_image_becomes_a_text_and_the_turn_goes_on() {
    let refused = || Err(ProviderError::ImageRefused("no images".to_owned()));
    let mut look = Message::text(Role::User, "look");
    look.parts.push(Part::Image(Image {
        digest: "d".to_owned(),
        media_type: MediaType::Png,
        width: 1,
        height: 1,
        name: "图.png".to_owned(),
        data: [1].into(),
    }));
    let first = || Step {
        messages: vec![look.clone()],
        ..Step::default()
    };
    let mut keeper = Keeper::default();
    let models = Models::new(candidate("first", "a", vec![refused(), say("ok")]), []);
    let (result, notices) = run_with(&models, &mut keeper, look.clone(), first());
    assert_eq!(text(&result), "ok");
    assert_eq!(keeper.refused_images, 1);
    assert_eq!(notices, [IMAGES_REFUSED]);
    assert_eq!(
        result.rest.messages[0].visible_text(),
        "look\n\n[image: 图.png — refused by the model service]"
    );
    // Once: who still refuses is believed.
    let models = Models::new(candidate("first", "a", vec![refused(), refused()]), []);
    let (result, _) = run_with(&models, &mut keeper, look.clone(), first());
    assert!(matches!(result.end, TurnEnd::Failed { .. }));
    assert_eq!(keeper.refused_images, 2);
    // Without images there is nothing to take out.
    let models = Models::new(candidate("first", "a", vec![refused()]), []);
    let (result, _) = run(&models, &mut keeper);
    assert!(matches!(result.end, TurnEnd::Failed { .. }));
    assert_eq!(keeper.refused_images, 2);
}

#[test]
fn no_call_is_made_without_money() {
    let models = Models::new(candidate("first", "a", vec![]), []);
    let mut keeper = Keeper {
        over_budget: true,
        ..Keeper::default()
    };
    let (result, _) = run(&models, &mut keeper);
    assert!(matches!(result.end, TurnEnd::OverBudget(text) if text.contains("today")));
}

#[test]
fn rests_end_and_order_the_rest() {
    let models = Models::new(
        candidate("first", "a", vec![]),
        [
            candidate("second", "b", vec![]),
            candidate("third", "c", vec![]),
        ],
    );
    let now = Instant::now();
    assert_eq!(models.order(None, now), [0, 1, 2]);
    let limited = ProviderError::RateLimited {
        retry_after: Some(Duration::from_secs(5)),
        detail: String::new(),
    };
    assert!(models.rest(0, &limited, now));
    assert!(models.rest(1, &ProviderError::Timeout(Duration::ZERO), now));
    assert_eq!(models.order(None, now), [2, 0, 1]);
    assert_eq!(models.order(None, now + Duration::from_secs(6)), [0, 2, 1]);
    assert_eq!(models.order(Some(1), now), [1]);
    assert!(!models.rest(2, &ProviderError::Cancelled, now));
}

#[test]
fn answers_teach_how_a_model_counts() {
    /// Counts 4,000 prompt tokens, whatever is sent.
    struct Counting;
    impl Provider for Counting {
        fn name(&self) -> &str {
            "counting"
        }
        fn dialect(&self) -> Dialect {
            Dialect::OpenAi
        }
        fn stream(
            &self,
            _request: &Request<'_>,
            _on_delta: &mut dyn FnMut(Delta<'_>),
            _cancel: &CancelToken,
        ) -> Result<Reply, ProviderError> {
            Ok(Reply {
                message: say("ok")?,
                stop: StopReason::Complete,
                usage: Usage {
                    input: Some(4_000),
                    ..Usage::default()
                },
                first_token: None,
                attempts: 1,
            })
        }
    }
    let models = Models::new(
        Candidate {
            provider: Arc::new(Counting),
            ..candidate("counting", "m", vec![])
        },
        [],
    );
    let newest = Message::text(Role::User, "long ".repeat(2_000));
    let history = [
        Message::text(Role::User, "old"),
        Message::text(Role::Assistant, "old answer"),
        newest.clone(),
    ];
    let session = "cli_chat:local:1".parse().unwrap();
    let predict = || models.estimate_prompt(&session, "", &[], &history);
    assert_ne!(predict(), 4_000);
    run_with(&models, &mut Keeper::default(), newest, Step::default());
    assert_eq!(predict(), 4_000);
}

/// A call that nobody knows: the same error each time.
fn calls(n: usize) -> impl Iterator<Item = Result<Message, ProviderError>> {
    (0..n).map(|_| call())
}

#[test]
fn going_in_circles_is_told_then_ended() {
    let script = calls(6).chain([say("I give up")]).collect();
    let models = Models::new(candidate("first", "a", script), []);
    let (result, _) = run(&models, &mut Keeper::default());
    assert_eq!(
        text(&result),
        "I give up\n\nStopped: the same tool calls gave the same results 6 times."
    );
}

#[test]
fn what_an_earlier_process_saw_counts() {
    let models = Models::new(candidate("first", "a", calls(1).collect()), []);
    let mut keeper = Keeper::default();
    // Ends at once: the script has nothing more, and the tokens are used up.
    keeper.so_far.tokens = 1_000_000;
    let (result, _) = run(&models, &mut keeper);
    assert_eq!(text(&result).trim(), "Stopped after 1000000 tokens.");
}
