//! Random dialogs on a real database, with crashes, stops, duplicate ids, broken calls, compressions of every kind and
//! failure: whatever happened, the next request is legal in both formats, and the same when it is loaded again.
//!
//! `PICOBOT_HISTORIES` sets how many (`make histories` runs 100,000), `PICOBOT_SEED` where the row of them begins.

use std::collections::VecDeque;
use std::time::SystemTime;

use crossbeam_channel::bounded;

use super::*;
use crate::agent::compress::shown;
use crate::agent::{INTERRUPTED, legalise, place, unanswered_calls};
use crate::chat::{
    ChannelId, ChatId, Image, MediaType, Message, Native, Part, Role, Route, ToolCall, ToolResult,
};
use crate::providers::testing::bodies;
use crate::providers::{Dialect, ModelSpec, ProviderError, Request, ToolSpec};
use crate::session::compress::store::rows_of;
use crate::session::tests::{Play, Rig};
use crate::session::worker::mended;
use crate::storage::{NewInput, TurnState};

#[path = "../../../tests/suite/support/legal.rs"]
mod legal;

/// Random dialogs unless the environment says otherwise.
const HISTORIES: u64 = 150;

/// Random numbers that are the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn text(&mut self) -> String {
        let piece = self.pick(&[
            "hello ",
            "你好，",
            "🦀",
            "",
            " ",
            "\0",
            "</summary>",
            "<summary>",
            "- [ ] buy milk\n",
            "src/main.rs ",
            "decided: WAL\n",
            "https://a.example/b ",
            "PROJ-12 ",
            "[image: x]",
            "/compact",
        ]);
        piece.repeat(self.pick(&[1, 1, 2, 3, 40, 400]))
    }
}

/// One dialog and what runs in it.
struct World<'a> {
    dice: Dice,
    rig: &'a Rig,
    deps: &'a mut Deps,
    dialog: DialogKey,
    session: SessionId,
    running: Option<TurnId>,
    /// Whether nothing is broken on purpose: then a fault can only come from a compression.
    tidy: bool,
    n_calls: usize,
    /// What the person last asked in the running turn, if it stands in the history.
    asked: Option<String>,
}

impl World<'_> {
    fn play(&mut self) {
        for _ in 0..3 + self.dice.below(12) {
            match self.dice.below(12) {
                0..=2 => self.begin(),
                3..=6 => self.round(),
                7 => self.answer(),
                8 => self.stop(),
                9..=10 => self.compress(),
                _ if self.dice.one_in(6) => self.clear(),
                _ => self.request(),
            }
        }
        self.request();
    }

    fn append(&self, turn: TurnId, messages: &[Message]) {
        let now = SystemTime::now();
        self.rig
            .db
            .write_relaxed(|tx| tx.append_messages(self.dialog, turn, messages, now))
            .unwrap();
    }

    /// A new turn; one that was running was cut off by a crash, or is stopped.
    fn begin(&mut self) {
        if self.dice.one_in(2) {
            self.stop();
        }
        let dialog = self.dialog;
        let turn = self
            .rig
            .db
            .write_relaxed(|tx| tx.begin_turn(dialog, SystemTime::now()))
            .unwrap();
        let text = self.dice.text();
        let mut message = Message::text(Role::User, text.clone());
        message.parts.insert(
            0,
            Part::Context("<context>\nTime: 1\n</context>".to_owned()),
        );
        if self.dice.one_in(6) {
            message.parts.push(Part::Image(image()));
        }
        self.append(turn, &[message]);
        self.running = Some(turn);
        self.asked = Some(text);
    }

    /// A round of calls in the running turn, whole or cut short by a crash.
    fn round(&mut self) {
        let Some(turn) = self.running else { return };
        // A round comes only behind a person's message or results.
        if !unanswered_calls(&self.loaded()).is_empty() {
            return;
        }
        let calls: Vec<ToolCall> = (0..1 + self.dice.below(3)).map(|_| self.call()).collect();
        let mut parts: Vec<Part> = calls.iter().cloned().map(Part::ToolCall).collect();
        if self.dice.one_in(3) {
            parts.insert(0, Part::Text(self.dice.text()));
        }
        let native = self.dice.one_in(4).then(|| Native {
            provider: "other".to_owned(),
            model: "m".to_owned(),
            data: "{}".to_owned(),
        });
        let assistant = Message {
            role: Role::Assistant,
            parts,
            native,
        };
        self.append(turn, &[assistant]);
        if !self.tidy && self.dice.one_in(8) {
            return; // Crashed while they ran.
        }
        let mut results: Vec<ToolResult> = calls
            .iter()
            .map(|call| ToolResult {
                call_id: call.id.clone(),
                content: if self.tidy {
                    "all fine ".repeat(60)
                } else {
                    self.dice.text()
                },
                is_error: self.dice.one_in(4),
                images: if self.dice.one_in(8) {
                    vec![image()]
                } else {
                    Vec::new()
                },
            })
            .collect();
        if !self.tidy && self.dice.one_in(10) {
            results.pop();
        }
        if !self.tidy && self.dice.one_in(20) {
            results.reverse();
        }
        if self.dice.one_in(3) {
            for result in results {
                self.append(turn, &[Message::results([result])]);
            }
        } else {
            self.append(turn, &[Message::results(results)]);
        }
    }

    fn call(&mut self) -> ToolCall {
        self.n_calls += 1;
        if self.tidy {
            return ToolCall {
                id: format!("t{}", self.n_calls),
                name: "bash".to_owned(),
                arguments: "{\"command\":\"make\"}".to_owned(),
            };
        }
        let long = format!("{{\"content\":\"{}\"}}", "long ".repeat(400));
        ToolCall {
            id: self
                .dice
                .pick(&["c1", "c2", "c3", "c4", "c5", "", "坏", "a b"])
                .to_owned(),
            name: self.dice.pick(&["bash", "file_write", "", "坏"]).to_owned(),
            arguments: self
                .dice
                .pick(&["{}", "{\"path\":\"a/b.txt\"}", "{", "[]", "", long.as_str()])
                .to_owned(),
        }
    }

    fn answer(&mut self) {
        let Some(turn) = self.running.take() else {
            return;
        };
        let mut message = Message::text(Role::Assistant, self.dice.text());
        if self.dice.one_in(4) {
            message.parts = vec![Part::Note("[cut off]".to_owned())];
        }
        self.append(turn, &[message]);
        self.end(turn, TurnState::Done);
    }

    fn stop(&mut self) {
        let Some(turn) = self.running.take() else {
            return;
        };
        let note = Part::Note("Stopped.".to_owned());
        self.append(
            turn,
            &[Message {
                role: Role::Assistant,
                parts: vec![note],
                native: None,
            }],
        );
        self.end(turn, TurnState::Stopped);
    }

    fn end(&mut self, turn: TurnId, state: TurnState) {
        self.asked = None;
        self.rig
            .db
            .write_relaxed(|tx| tx.end_turn(turn, state, SystemTime::now()))
            .unwrap();
    }

    fn clear(&mut self) {
        self.stop();
        let dialog = self.dialog;
        self.rig
            .db
            .write_relaxed(|tx| tx.clear_dialog(dialog, SystemTime::now()))
            .unwrap();
    }

    /// A compression of any kind, with a model that may fail; whoever wanted it may have ended, or be stopped.
    fn compress(&mut self) {
        self.deps.agent.context.tokens = self.dice.pick(&[200, 1_000, 5_000, 100_000]);
        let plays: VecDeque<Play> = (0..3)
            .map(|_| match self.dice.below(6) {
                0 => Play::Fail(ProviderError::Overloaded("busy".to_owned())),
                1 => Play::Fail(ProviderError::ContextTooLong("8k".to_owned())),
                2 => Play::Say(" "),
                _ => Play::Say("Summary: 你好 </summary>"),
            })
            .collect();
        *self.rig.model.plays.lock().unwrap() = plays;
        let (owner, why) = match self.running {
            // A turn asks for room only when all its calls have results.
            Some(_) if !unanswered_calls(&self.loaded()).is_empty() => return,
            Some(turn) => {
                let why = match self.dice.below(3) {
                    0 => Why::Due(self.dice.pick(&[500.0, 4_000.0, 1e6])),
                    n => Why::Refused { again: n == 1 },
                };
                (Owner::Turn(turn), why)
            }
            None => {
                let input = self.command();
                (Owner::Command(input), Why::Wanted { focus: "milk" })
            }
        };
        let cancel = CancelToken::new();
        if self.dice.one_in(10) {
            cancel.cancel();
        }
        if self.dice.one_in(10)
            && let Some(turn) = self.running.take()
        {
            self.end(turn, TurnState::Failed);
        }
        let stored = self.stored();
        let before = self.bodies();
        let was_sound = legalise(&self.loaded()).repair.is_none();
        let compactor = Compactor {
            deps: self.deps,
            dialog: self.dialog,
            session: &self.session,
            owner,
            cancel: &cancel,
            notice: &|_| {},
        };
        let outcome = compactor.run(why).unwrap().outcome;
        assert_eq!(self.stored(), stored, "a stored message was touched");
        if !matches!(outcome, Outcome::Done(_)) {
            assert_eq!(self.bodies(), before, "{outcome:?} changed what is sent");
        }
        if was_sound {
            let repair = legalise(&self.loaded()).repair;
            assert_eq!(repair, None, "a call was parted from its result");
        }
        // What the person asked in a running turn stays word for word.
        if let (Some(_), Some(asked)) = (self.running, &self.asked) {
            let history = self.loaded();
            let said = history.iter().any(|message| {
                message.role == Role::User && message.parts.contains(&Part::Text(asked.clone()))
            });
            assert!(said, "{asked:?} is gone");
        }
    }

    fn command(&self) -> crate::storage::InboxId {
        self.rig
            .db
            .write_relaxed(|tx| {
                tx.insert_input(&NewInput {
                    source: "c",
                    external_id: None,
                    dialog: Some(self.dialog),
                    sender: None,
                    content: "/compact milk",
                    files: &[],
                    received_at: SystemTime::now(),
                })
            })
            .unwrap()
    }

    /// All messages of the dialog, whatever is sent.
    fn stored(&self) -> Vec<Message> {
        let all = self
            .rig
            .db
            .read(|tx| tx.history(self.dialog, &Context::default()))
            .unwrap();
        all.into_iter().map(|stored| stored.message).collect()
    }

    /// What is sent of the dialog as it is stored, mended or not.
    fn loaded(&self) -> Vec<Message> {
        let loaded = load_rows(self.deps, self.dialog).unwrap();
        shown(loaded.rows, loaded.context.shrunk, &loaded.context.summary)
    }

    /// The bodies of a request that a turn would make now.
    fn bodies(&self) -> Vec<serde_json::Value> {
        let mut history = self.loaded();
        let open = unanswered_calls(&history);
        if !open.is_empty() {
            history.push(Message::results(open.into_iter().map(|call| ToolResult {
                call_id: call.id,
                content: INTERRUPTED.to_owned(),
                is_error: true,
                images: Vec::new(),
            })));
        }
        if history
            .last()
            .is_none_or(|last| last.role == Role::Assistant)
        {
            history.push(Message::text(Role::User, "now"));
        }
        let model = ModelSpec {
            model_id: "m".to_owned(),
            temperature: None,
            max_tokens: Some(100),
            images: true,
        };
        let tools = [ToolSpec {
            name: "bash".to_owned(),
            description: "d".to_owned(),
            parameters: serde_json::json!({"type": "object", "properties": {}}),
        }];
        let legal = legalise(&history).request;
        [Dialect::OpenAi, Dialect::Anthropic]
            .into_iter()
            .enumerate()
            .map(|(format, dialect)| {
                let [chat, messages] = bodies(&Request {
                    model: &model,
                    system: "s",
                    tools: &tools,
                    messages: &place(&legal, &model, dialect),
                });
                if format == 0 { chat } else { messages }
            })
            .collect()
    }

    /// Loads the dialog as a new turn does and judges what would be sent, twice.
    fn request(&mut self) {
        if self.running.is_none() {
            let (context, history) = self
                .rig
                .db
                .read(|tx| {
                    let context = tx.context(self.dialog)?;
                    let history = tx.history(self.dialog, &context)?;
                    Ok((context, history))
                })
                .unwrap();
            let mended = mended(history, |from, rest| {
                self.rig.db.write_relaxed(|tx| {
                    tx.rewrite_from(self.dialog, &context, from, rest)?;
                    tx.history(self.dialog, &context)
                })
            })
            .unwrap();
            let sent = shown(rows_of(mended), context.shrunk, &context.summary);
            assert_eq!(sent, self.loaded(), "loaded again it is another");
        }
        let bodies = self.bodies();
        legal::assert_legal(&bodies[0]);
        legal::assert_legal_messages(&bodies[1]);
        assert_eq!(self.bodies(), bodies);
    }
}

fn image() -> Image {
    Image {
        digest: "d1".to_owned(),
        media_type: MediaType::Png,
        width: 8,
        height: 8,
        name: "图.png".to_owned(),
        data: [1, 2, 3].into(),
    }
}

#[test]
fn random_histories_stay_legal() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let histories = number("PICOBOT_HISTORIES").unwrap_or(HISTORIES);
    let seed: u64 = number("PICOBOT_SEED").unwrap_or(1);
    let rig = Rig::unbooted();
    let mut deps = rig.deps(bounded(0).0);
    let route = Route {
        channel: ChannelId::new("c").unwrap(),
        chat: ChatId::new("d").unwrap(),
    };
    for n in 0..histories {
        let seed = seed.wrapping_add(n);
        let row = rig
            .db
            .write_relaxed(|tx| tx.create_dialog(&route, "", SystemTime::now()))
            .unwrap();
        let mut world = World {
            dice: Dice(seed.wrapping_mul(0x1234_5677)),
            rig: &rig,
            deps: &mut deps,
            dialog: row.key,
            session: row.session,
            running: None,
            tidy: seed.is_multiple_of(2),
            n_calls: 0,
            asked: None,
        };
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.play()));
        assert!(
            played.is_ok(),
            "PICOBOT_SEED={seed} PICOBOT_HISTORIES=1 plays it again"
        );
        rig.db
            .write_relaxed(|tx| tx.delete_dialog(row.key))
            .unwrap();
    }
}
