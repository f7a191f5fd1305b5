//! Keeps secrets out of what a turn shows, stores and sends: answers of models, their tool calls, results of tools.
//!
//! A model's own words are searched for known secrets only: what merely looks like a key is often an example in an
//! answer. Pure but for the callbacks.

use crate::chat::{Message, Part};
use crate::observability::{RedactedStream, Redactor};
use crate::providers::Delta;

/// Masks known secrets in everything a model wrote.
pub(super) fn mask_message(secrets: &Redactor, message: &mut Message) {
    let mask = |text: &mut String| {
        if let std::borrow::Cow::Owned(masked) = secrets.redact_known(text) {
            *text = masked;
        }
    };
    for part in &mut message.parts {
        match part {
            Part::Text(text) | Part::Context(text) | Part::Note(text) => mask(text),
            Part::ToolCall(call) => mask(&mut call.arguments),
            Part::ToolResult(result) => mask(&mut result.content),
            Part::Image(_) => {}
        }
    }
    if let Some(native) = &mut message.native {
        mask(&mut native.data);
    }
}

/// Masks known secrets in the pieces of an answer while they come.
pub(super) struct MaskedDeltas<'r> {
    text: RedactedStream<'r>,
    reasoning: RedactedStream<'r>,
    secrets: &'r Redactor,
}

impl<'r> MaskedDeltas<'r> {
    pub(super) fn new(secrets: &'r Redactor) -> Self {
        Self {
            text: RedactedStream::known(secrets),
            reasoning: RedactedStream::known(secrets),
            secrets,
        }
    }

    /// Takes a piece and shows what is certain.
    pub(super) fn push(&mut self, delta: Delta<'_>, show: &mut dyn FnMut(Delta<'_>)) {
        match delta {
            Delta::Text(text) => self.text.push(text, &mut |text| show(Delta::Text(text))),
            Delta::Reasoning(text) => self
                .reasoning
                .push(text, &mut |text| show(Delta::Reasoning(text))),
            Delta::Notice(text) => show(Delta::Notice(&self.secrets.redact_known(text))),
        }
    }

    /// Shows the rest.
    pub(super) fn finish(self, show: &mut dyn FnMut(Delta<'_>)) {
        self.reasoning
            .finish(&mut |text| show(Delta::Reasoning(text)));
        self.text.finish(&mut |text| show(Delta::Text(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Native, Role, ToolCall};

    #[test]
    fn every_part_of_a_models_message_is_masked() {
        let secrets = Redactor::new(["geheim-1234".to_owned()].into_iter());
        let mut message = Message::text(Role::Assistant, "it is geheim-1234");
        message.parts.push(Part::ToolCall(ToolCall {
            id: "1".to_owned(),
            name: "bash".to_owned(),
            arguments: r#"{"command":"echo geheim-1234"}"#.to_owned(),
        }));
        message.native = Some(Native {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            data: r#"["Z2VoZWltLTEyMzQ="]"#.to_owned(),
        });
        mask_message(&secrets, &mut message);
        let text = format!("{message:?}");
        assert!(!text.contains("geheim") && !text.contains("Z2Vo"), "{text}");
        assert_eq!(text.matches("***").count(), 3);
    }

    #[test]
    fn deltas_are_masked_across_pieces_and_lose_nothing() {
        let secrets = Redactor::new(["geheim-1234".to_owned()].into_iter());
        let mut deltas = MaskedDeltas::new(&secrets);
        let (mut text, mut reasoning) = (String::new(), String::new());
        let mut show = |delta: Delta<'_>| match delta {
            Delta::Text(piece) => text.push_str(piece),
            Delta::Reasoning(piece) => reasoning.push_str(piece),
            Delta::Notice(notice) => assert_eq!(notice, "***"),
        };
        for delta in [
            Delta::Text("a gehe"),
            Delta::Reasoning("geheim"),
            Delta::Text("im-1234 b ge"),
            Delta::Notice("geheim-1234"),
        ] {
            deltas.push(delta, &mut show);
        }
        deltas.finish(&mut show);
        assert_eq!(
            (text.as_str(), reasoning.as_str()),
            ("a *** b ge", "geheim")
        );
    }
}
