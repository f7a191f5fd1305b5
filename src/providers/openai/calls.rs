//! Puts tool calls together from their pieces, whichever way a service numbers them.
//!
//! Pure; runs on the turn that asks. A call is never guessed complete: what an answer cut off is told apart by whether its
//! arguments are a whole JSON object. Half a call, or one that is too long, keeps its name, so that the model can be told.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::super::history::{NO_NAME, is_object};
use super::super::read::{MAX_ARGUMENT_BYTES, MAX_CALLS};
use super::decode::CallPiece;
use crate::chat::ToolCall;

#[derive(Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    extra: Option<Box<RawValue>>,
    too_long: bool,
}

/// A finished call with the opaque data that must go back with it.
pub(super) struct Built {
    pub(super) call: ToolCall,
    pub(super) extra: Option<Box<RawValue>>,
}

/// The calls of one answer while their pieces arrive.
#[derive(Default)]
pub(super) struct CallBuilder {
    slots: Vec<Slot>,
    /// There were more calls than are taken: pieces without a number may belong to one of those.
    overflowed: bool,
}

impl CallBuilder {
    /// Takes a piece of a streamed call.
    pub(super) fn piece(&mut self, piece: &CallPiece<'_>) {
        match self.slot_of(piece) {
            Some(at) => self.slots[at].add(piece),
            None => self.whole(piece),
        }
    }

    /// Takes a call that is complete in itself, as plain responses hold them.
    pub(super) fn whole(&mut self, piece: &CallPiece<'_>) {
        if self.slots.len() == MAX_CALLS {
            if !self.overflowed {
                log::warn!(
                    "the model asked for more than {MAX_CALLS} calls at once; the rest is left out"
                );
            }
            self.overflowed = true;
            return;
        }
        let mut slot = Slot {
            index: piece.index(),
            ..Slot::default()
        };
        slot.add(piece);
        self.slots.push(slot);
    }

    /// Finds the call a piece continues. Some services number all calls 0, some send no numbers, some no ids.
    fn slot_of(&self, piece: &CallPiece<'_>) -> Option<usize> {
        let id = piece.id();
        let Some(index) = piece.index() else {
            if !id.is_empty() {
                return self.slots.iter().position(|slot| slot.id == id);
            }
            let starts_call = !piece.name().is_empty();
            let last = self.slots.len().checked_sub(1);
            return last.filter(|_| !starts_call && !self.overflowed);
        };
        let at = self
            .slots
            .iter()
            .rposition(|slot| slot.index == Some(index))?;
        let slot = &self.slots[at];
        let other_id = !id.is_empty() && !slot.id.is_empty() && id != slot.id.as_str();
        let another_whole_call = id.is_empty()
            && !piece.name().is_empty()
            && is_object(&slot.arguments)
            && is_object(&piece.arguments());
        (!other_id && !another_whole_call).then_some(at)
    }

    /// Ends the answer. If the output limit cut it off, the last call counts only if it is whole; one without a name is
    /// left out.
    pub(super) fn build(self, cut_off: bool) -> Vec<Built> {
        let last = self.slots.len().saturating_sub(1);
        let mut ids = BTreeSet::new();
        let mut built = Vec::with_capacity(self.slots.len());
        for (at, mut slot) in self.slots.into_iter().enumerate() {
            if slot.too_long {
                ToolCall::TOO_LONG.clone_into(&mut slot.arguments);
            } else if cut_off && at == last && !is_object(&slot.arguments) {
                if slot.name.is_empty() {
                    continue;
                }
                ToolCall::CUT_OFF.clone_into(&mut slot.arguments);
            }
            if !slot.name.is_empty() || !slot.arguments.trim().is_empty() {
                built.push(slot.build(&mut ids));
            }
        }
        built
    }
}

impl Slot {
    fn add(&mut self, piece: &CallPiece<'_>) {
        let id = piece.id();
        if self.id.is_empty() {
            self.id.push_str(&id);
        }
        self.add_name(&piece.name());
        let arguments = piece.arguments();
        if self.arguments.len() + arguments.len() > MAX_ARGUMENT_BYTES {
            self.too_long = true;
        } else {
            self.arguments.push_str(&arguments);
        }
        if let Some(extra) = piece.extra_content {
            self.extra = Some(extra.to_owned());
        }
    }

    /// A name comes whole, again with every piece, growing, or, seldom, in pieces.
    fn add_name(&mut self, name: &str) {
        if name.starts_with(self.name.as_str()) {
            name.clone_into(&mut self.name);
        } else if self.arguments.is_empty() {
            self.name.push_str(name);
        }
    }

    fn build(self, ids: &mut BTreeSet<String>) -> Built {
        let id = if self.id.is_empty() || ids.contains(&self.id) {
            format!("call_{}", uuid::Uuid::now_v7().simple())
        } else {
            self.id
        };
        ids.insert(id.clone());
        let arguments = if self.arguments.trim().is_empty() {
            "{}".to_owned()
        } else {
            self.arguments
        };
        let name = if self.name.is_empty() {
            NO_NAME.to_owned()
        } else {
            self.name
        };
        Built {
            call: ToolCall {
                id,
                name,
                arguments,
            },
            extra: self.extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds calls from pieces; returns "name arguments" of each, and the ids.
    fn build(pieces: &[&str], cut_off: bool) -> (Vec<String>, Vec<String>) {
        let mut builder = CallBuilder::default();
        for piece in pieces {
            builder.piece(&serde_json::from_str(piece).unwrap());
        }
        let calls = builder.build(cut_off);
        let text = |built: &Built| format!("{} {}", built.call.name, built.call.arguments);
        (
            calls.iter().map(text).collect(),
            calls.into_iter().map(|built| built.call.id).collect(),
        )
    }

    fn check(pieces: &[&str], expected: &[&str]) {
        let (calls, ids) = build(pieces, false);
        assert_eq!(calls, expected, "{pieces:?}");
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        assert!(ids.iter().all(|id| !id.is_empty()));
    }

    #[test]
    fn numbering_variants() {
        let rows: &[(&[&str], &[&str])] = &[
            // The documented way, two calls interleaved.
            (
                &[
                    r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
                    r#"{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}"#,
                    r#"{"index":0,"function":{"arguments":"{\"x\""}}"#,
                    r#"{"index":1,"function":{"arguments":"{}"}}"#,
                    r#"{"index":0,"function":{"arguments":":1}"}}"#,
                ],
                &[r#"f {"x":1}"#, "g {}"],
            ),
            // Index 0 for all, told apart by id.
            (
                &[
                    r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#,
                    r#"{"index":0,"id":"b","function":{"name":"g","arguments":"{"}}"#,
                    r#"{"index":0,"id":"b","function":{"arguments":"}"}}"#,
                ],
                &["f {}", "g {}"],
            ),
            // Index 0 for all, no ids, whole calls.
            (
                &[
                    r#"{"index":0,"function":{"name":"f","arguments":"{}"}}"#,
                    r#"{"index":0,"function":{"name":"f","arguments":"{\"a\":1}"}}"#,
                ],
                &["f {}", r#"f {"a":1}"#],
            ),
            // Empty ids and names in continuations.
            (
                &[
                    r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}"#,
                    r#"{"index":0,"id":"","function":{"name":"","arguments":"}"}}"#,
                    r#"{"index":0,"id":null,"function":{"name":null,"arguments":null}}"#,
                ],
                &["f {}"],
            ),
            // No index: by id, else a name starts a call and anything else continues the last one.
            (
                &[
                    r#"{"id":"a","function":{"name":"f","arguments":"{"}}"#,
                    r#"{"id":"a","function":{"arguments":"}"}}"#,
                    r#"{"function":{"name":"g","arguments":"{"}}"#,
                    r#"{"function":{"arguments":"}"}}"#,
                ],
                &["f {}", "g {}"],
            ),
            // The name repeated, growing, or in pieces.
            (
                &[
                    r#"{"index":0,"id":"a","function":{"name":"get","arguments":""}}"#,
                    r#"{"index":0,"function":{"name":"_weather"}}"#,
                    r#"{"index":0,"function":{"name":"get_weather","arguments":"{}"}}"#,
                    r#"{"index":0,"function":{"name":"get_weather"}}"#,
                ],
                &["get_weather {}"],
            ),
            // Arguments empty, absent, or an object.
            (
                &[r#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#],
                &["f {}"],
            ),
            (
                &[r#"{"index":0,"id":"a","function":{"name":"f"}}"#],
                &["f {}"],
            ),
            (
                &[r#"{"index":0,"id":"a","function":{"name":"f","arguments":{"a":1}}}"#],
                &[r#"f {"a":1}"#],
            ),
            // Nothing at all is no call; arguments without a name are one.
            (&[r#"{"index":0,"id":"a"}"#], &[]),
            (
                &[r#"{"index":0,"function":{"arguments":"{}"}}"#],
                &["unknown {}"],
            ),
            // Broken arguments are the agent's business.
            (
                &[r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{oops"}}"#],
                &["f {oops"],
            ),
        ];
        for (pieces, expected) in rows {
            check(pieces, expected);
        }
    }

    #[test]
    fn duplicate_ids_of_whole_calls_become_unique() {
        let mut builder = CallBuilder::default();
        let call = r#"{"id":"a","function":{"name":"f","arguments":"{}"}}"#;
        for _ in 0..2 {
            builder.whole(&serde_json::from_str(call).unwrap());
        }
        let built = builder.build(false);
        assert_eq!(built[0].call.id, "a");
        assert!(built[1].call.id.starts_with("call_"));
    }

    #[test]
    fn a_cut_off_answer_runs_all_but_its_half_call() {
        let whole = r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}"#;
        let half = r#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":"}}"#;
        let bare = r#"{"index":1,"id":"b","function":{"name":"g","arguments":""}}"#;
        let told = format!("g {}", ToolCall::CUT_OFF);
        for last in [half, bare] {
            assert_eq!(build(&[whole, last], true).0, ["f {}", &told]);
        }
        let nameless = r#"{"index":1,"id":"b","function":{"arguments":"{\"x\":"}}"#;
        assert_eq!(build(&[whole, nameless], true).0, ["f {}"]);
        assert_eq!(build(&[whole], true).0, ["f {}"]);
    }

    #[test]
    fn sizes_are_capped() {
        let long = format!(
            r#"{{"index":0,"id":"a","function":{{"name":"f","arguments":"{}"}}}}"#,
            "x".repeat(MAX_ARGUMENT_BYTES + 1)
        );
        let told = format!("f {}", ToolCall::TOO_LONG);
        // What arrives behind a piece that was too long must not make it look whole.
        let start = r#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":\""}}"#;
        let end = r#"{"index":0,"function":{"arguments":"\"}"}}"#;
        for pieces in [&[long.as_str()][..], &[start, long.as_str(), end]] {
            for cut_off in [false, true] {
                assert_eq!(build(pieces, cut_off).0, [told.as_str()]);
            }
        }
        let many: Vec<String> = (0..100)
            .map(|n| format!(r#"{{"index":{n},"id":"{n}","function":{{"name":"f"}}}}"#))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(build(&many, false).0.len(), MAX_CALLS);
        // The pieces of calls that were left out join no other call.
        let unnumbered: Vec<String> = (0..100)
            .flat_map(|n| {
                let start = format!(r#"{{"id":"{n}","function":{{"name":"f","arguments":"{{"}}}}"#);
                [start, r#"{"function":{"arguments":"}"}}"#.to_owned()]
            })
            .collect();
        let unnumbered: Vec<&str> = unnumbered.iter().map(String::as_str).collect();
        let (calls, _) = build(&unnumbered, false);
        assert_eq!(calls, vec!["f {}"; MAX_CALLS]);
    }
}
