//! What stands in front of a turn: the dialog's fixed prompt, and the user's message with its context block. Runs on
//! the turn's thread; reads AGENTS.md and USER.md at a dialog's first turn only.

use std::sync::OnceLock;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Deps;
use crate::agent::{ContextFacts, context_block, system_prompt};
use crate::chat::{Attachment, Message, Part, Role, SessionId};
use crate::media;
use crate::storage::{InboxRow, Prompt};
use crate::tools::Workspace;

/// A dialog's prompt for this turn.
pub(super) struct DialogPrompt {
    pub(super) system: String,
    /// To be stored with the turn's first commit, if new.
    pub(super) to_store: Option<Prompt>,
    /// For the model, if the tools differ from those the dialog was begun with.
    pub(super) remark: Option<String>,
}

/// Takes a dialog's stored prompt, or makes one at its first turn. A changed tool set renews it and is announced.
pub(super) fn for_dialog(deps: &Deps, stored: Option<Prompt>) -> DialogPrompt {
    if let Some(prompt) = &stored
        && prompt.tools == *deps.tools_text
    {
        return DialogPrompt {
            system: prompt.system.clone(),
            to_store: None,
            remark: None,
        };
    }
    let prompt = renewed(deps);
    DialogPrompt {
        system: prompt.system.clone(),
        to_store: Some(prompt),
        remark: stored.map(|_| TOOLS_CHANGED.to_owned()),
    }
}

/// Makes a prompt from what stands in the workspace now.
pub(super) fn renewed(deps: &Deps) -> Prompt {
    let read = |name| {
        let text = read_instructions(&deps.workspace, name)?;
        Some(deps.redactor.redact_known(&text).into_owned())
    };
    Prompt {
        system: system_prompt(read("AGENTS.md").as_deref(), read("USER.md").as_deref()),
        tools: deps.tools_text.to_string(),
    }
}

/// Reads a file of the workspace's owner for the prompt; a missing or unreadable one is left out.
fn read_instructions(workspace: &Workspace, name: &str) -> Option<String> {
    let bytes = workspace
        .file(name)
        .ok()?
        .read_all(MAX_INSTRUCTION_BYTES)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Far more than goes into the prompt.
const MAX_INSTRUCTION_BYTES: u64 = 256 * 1024;

const TOOLS_CHANGED: &str =
    "The set of tools has changed since this dialog began; use only those listed now.";

/// Makes the user's message: the context block, then the images, then what was said. A file that gives no image is
/// named with the reason. Blocks while images are decoded.
pub(super) fn user_message(
    input: &InboxRow,
    files: &[Attachment],
    session: &SessionId,
    remark: Option<&str>,
) -> Message {
    let now = local_time(input.received_at);
    let context = context_block(&ContextFacts {
        now: &now,
        channel: session.channel.as_str(),
        sender: input.sender.as_deref(),
        remark,
    });
    let mut parts = vec![Part::Context(context)];
    parts.extend(files.iter().map(image_part));
    // Services refuse blank texts; beside images a text may be missing.
    if files.is_empty() || !input.content.trim().is_empty() {
        parts.push(Part::Text(input.content.clone()));
    }
    Message {
        role: Role::User,
        parts,
        native: None,
    }
}

fn image_part(file: &Attachment) -> Part {
    match media::prepare(&file.data, &file.name) {
        Ok(image) => Part::Image(image),
        Err(error) => Part::Text(format!("[image: {} — not shown: {error}]", file.name)),
    }
}

fn local_time(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(
        |_| "unknown".to_owned(),
        |time| {
            let time = time.to_zoned(local_zone().clone());
            time.strftime("%Y-%m-%d %H:%M %:z (%A)").to_string()
        },
    )
}

/// Returns the machine's time zone, read once. `/etc/localtime` is read as it is: finding out which named zone it is
/// would list the whole zone database, at every first turn of a process.
pub(super) fn local_zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| {
        if std::env::var_os("TZ").is_some() {
            return TimeZone::system();
        }
        std::fs::read("/etc/localtime")
            .ok()
            .and_then(|rules| TimeZone::tzif("Local", &rules).ok())
            .unwrap_or(TimeZone::UTC)
    })
}
