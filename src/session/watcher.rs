//! Passes on what happens in a turn. Runs on the turn's thread; who gets it is known to `replies`.

use std::time::Duration;

use super::worker::TurnJob;
use crate::agent::Watch;
use crate::bus::Body;
use crate::chat::{CallRecord, ToolCall};
use crate::observability::crash_point;

/// Tool results shown to clients are cut to this many characters; the model's copy is longer.
const SHOWN_RESULT_CHARS: usize = 4_000;

/// Passes what happens in a turn on to the clients that asked for it.
pub(super) struct Watcher<'a> {
    pub(super) job: &'a TurnJob,
}

impl Watch for Watcher<'_> {
    fn delta(&self, text: &str, reasoning: bool) {
        self.job.replies.tell(
            |caller| caller.wants.deltas,
            || Body::Delta {
                text: text.into(),
                reasoning,
            },
        );
    }

    fn notice(&self, text: &str) {
        self.job.replies.tell(
            |_| true,
            || Body::Notification {
                content: text.to_owned(),
            },
        );
    }

    fn tool_started(&self, call: &ToolCall) {
        self.job.replies.tell(
            |caller| caller.wants.tools,
            || Body::ToolStarted {
                call_id: call.id.clone(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            },
        );
    }

    fn tool_output(&self, call_id: &str, text: &str) {
        self.job.replies.tell(
            |caller| caller.wants.tools,
            || Body::ToolOutput {
                call_id: call_id.to_owned(),
                text: text.to_owned(),
            },
        );
    }

    fn tool_finished(&self, record: &CallRecord, content: &str) {
        crash_point("tool-ran");
        self.job.replies.tell(
            |caller| caller.wants.tools,
            || Body::ToolFinished {
                call_id: record.call_id.clone(),
                name: record.name.clone(),
                is_error: record.state != crate::chat::CallState::Done,
                took: record.took.max(Duration::from_micros(1)),
                content: content.chars().take(SHOWN_RESULT_CHARS).collect(),
            },
        );
    }
}
