//! The `send_message` tool: puts a text, and files of the workspace, on their way to a chat of a channel that pushes.
//!
//! Runs on the turn's thread. The message is stored before the call ends and sent by others, with repeats and in order.
//! Channels and chats are known to the [`Courier`] behind it, not here; neither is the form in which a channel shows files:
//! they are named by links in the text, as in an answer.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::file_error;
use super::{Action, Effects, Reach, Standing, Tool, ToolCtx, ToolError, TypedTool, Workspace};
use crate::chat::SessionId;

/// Files of one message; as many as a channel sends along.
const MAX_FILES: usize = 10;
/// Longest text in bytes; a channel splits it into messages of its own size.
const MAX_TEXT_BYTES: usize = 100 * 1024;
/// Largest file in bytes (Feishu's documentation of uploads).
const MAX_FILE_BYTES: u64 = 30 << 20;
/// Largest image shown as one, in bytes (the same); a larger one goes as a file.
const MAX_IMAGE_BYTES: u64 = 10 << 20;

/// Takes messages for chats.
pub trait Courier: Send + Sync {
    /// Stores a message for a chat, `channel:chat`, or for the chat of the dialog `from`. Returns where it goes.
    ///
    /// # Errors
    ///
    /// A sentence for the model: there is no such chat, it cannot be pushed to, or the message was not stored.
    fn post(&self, from: &SessionId, to: Option<&str>, body: &str) -> Result<String, String>;
}

/// Makes the tool.
pub fn send_message(courier: Arc<dyn Courier>) -> Arc<dyn Tool> {
    Arc::new(SendMessage { courier })
}

struct SendMessage {
    courier: Arc<dyn Courier>,
}

/// Arguments of [`SendMessage`].
#[derive(Deserialize, JsonSchema)]
struct SendMessageArgs {
    /// Markdown
    text: String,
    /// another chat, as channel:chat
    to: Option<String>,
    /// paths in the workspace
    #[schemars(length(max = 10))]
    files: Option<Vec<String>>,
}

impl SendMessageArgs {
    fn files(&self) -> &[String] {
        self.files.as_deref().unwrap_or_default()
    }

    fn to(&self) -> Option<&str> {
        let to = self.to.as_deref().map(str::trim);
        to.filter(|to| !to.is_empty())
    }
}

impl TypedTool for SendMessage {
    type Args = SendMessageArgs;
    const NAME: &'static str = "send_message";
    const DESCRIPTION: &'static str =
        "Sends a message with files to this chat before your answer, or to another chat.";

    fn effects_of(&self, _: &SendMessageArgs) -> Effects {
        Effects::SideEffect
    }

    /// Another chat is asked about until somebody says "always" to it; this one reads the answers anyway.
    fn action_of(&self, args: &SendMessageArgs, workspace: &Workspace) -> Action {
        let place = args.to().unwrap_or("this chat");
        let mut summary = format!("send to {place}: {}", args.text.replace('\n', " "));
        let mut paths = Vec::new();
        for file in args.files() {
            let (name, real) = workspace.names(file);
            let read = Action::reading(&name, real.as_deref());
            summary.push_str(&format!("; {}", read.summary));
            paths.extend(read.paths);
        }
        let mut action = Action::allowed(summary);
        action.paths = paths;
        action.reach = Reach::Outside;
        if let Some(to) = args.to() {
            action.standing = Standing::Ask("it goes to another chat");
            action.subject = Some(format!("send messages to {to}"));
        }
        action
    }

    fn call(&self, args: SendMessageArgs, ctx: &ToolCtx<'_>) -> Result<String, ToolError> {
        let text = args.text.trim();
        if text.is_empty() && args.files().is_empty() {
            return Err(ToolError::failed("There is neither a text nor a file."));
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(ToolError::failed(format!(
                "The text is longer than {} KB; send it as a file.",
                MAX_TEXT_BYTES / 1024
            )));
        }
        if args.files().len() > MAX_FILES {
            return Err(ToolError::failed(format!(
                "At most {MAX_FILES} files go with one message; send the rest with another."
            )));
        }
        let mut body = ctx.secrets.redact(text).into_owned();
        for path in args.files() {
            if !body.is_empty() {
                body.push_str("\n\n");
            }
            body.push_str(&link(path, ctx.workspace)?);
        }
        let place = self.courier.post(ctx.session, args.to(), &body);
        let place = place.map_err(ToolError::Failed)?;
        Ok(match args.files().len() {
            0 => format!("On its way to {place}."),
            1 => format!("On its way to {place}, with 1 file."),
            n => format!("On its way to {place}, with {n} files."),
        })
    }
}

/// Names a file as answers do: a link to its path, an image's link for pictures.
fn link(path: &str, workspace: &Workspace) -> Result<String, ToolError> {
    let file = workspace
        .file(path)
        .map_err(|error| file_error(path, &error))?;
    if file.size() == 0 || file.size() > MAX_FILE_BYTES {
        return Err(ToolError::failed(format!(
            "{path:?}: only files of 1 byte to {} MB can be sent.",
            MAX_FILE_BYTES >> 20
        )));
    }
    let name = file.name();
    if name.contains(['<', '>', '\n', '\r', ':']) {
        return Err(ToolError::failed(format!(
            "{path:?}: a path with < > : or a line break cannot be sent; copy the file to another name first."
        )));
    }
    let label = name.rsplit('/').next().unwrap_or(&name);
    let label = label.replace(['[', ']'], "_");
    let is_image = is_picture(&name) && file.size() <= MAX_IMAGE_BYTES;
    let mark = if is_image { "!" } else { "" };
    Ok(format!("{mark}[{label}](<{name}>)"))
}

/// By the name's ending: what a chat can show in the text itself.
fn is_picture(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or_default();
    ["png", "jpg", "jpeg", "gif", "webp", "bmp"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::tools::Registry;
    use crate::tools::testing::Bench;

    /// Notes what it is given.
    #[derive(Default)]
    struct Notes(Mutex<Vec<(Option<String>, String)>>);

    impl Courier for Notes {
        fn post(&self, from: &SessionId, to: Option<&str>, body: &str) -> Result<String, String> {
            if to == Some("nowhere:x") {
                return Err("There is no channel nowhere.".to_owned());
            }
            let place = to.map_or_else(|| from.chat.to_string(), str::to_owned);
            let mut notes = self.0.lock().unwrap();
            notes.push((to.map(str::to_owned), body.to_owned()));
            Ok(place)
        }
    }

    fn run(bench: &Bench, notes: &Arc<Notes>, arguments: &Value) -> Result<String, ToolError> {
        let tools = Registry::new(vec![send_message(notes.clone())]);
        bench.call_in(&tools, "send_message", arguments)
    }

    #[test]
    fn files_become_links() {
        let bench = Bench::new();
        let notes = Arc::new(Notes::default());
        bench.put("out/图 [1].PNG", b"\x89PNG");
        bench.put("报告 (2).pdf", b"%PDF");
        let arguments = json!({
            "text": " done\n", "to": "feishu:oc_2", "files": ["./out/图 [1].PNG", "报告 (2).pdf"]
        });
        let said = run(&bench, &notes, &arguments).unwrap();
        assert_eq!(said, "On its way to feishu:oc_2, with 2 files.");
        let said = run(
            &bench,
            &notes,
            &json!({"text": "", "files": ["报告 (2).pdf"], "to": " "}),
        );
        assert!(said.unwrap().ends_with(", with 1 file."));
        let links = "![图 _1_.PNG](<out/图 [1].PNG>)\n\n[报告 (2).pdf](<报告 (2).pdf>)";
        assert_eq!(
            *notes.0.lock().unwrap(),
            [
                (Some("feishu:oc_2".to_owned()), format!("done\n\n{links}")),
                (None, "[报告 (2).pdf](<报告 (2).pdf>)".to_owned())
            ]
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_in_words() {
        let bench = Bench::new();
        let notes = Arc::new(Notes::default());
        bench.put("empty.txt", b"");
        bench.put("a:b.txt", b"x");
        for (arguments, words) in [
            (json!({"text": "  "}), "neither a text nor a file"),
            (json!({"text": "x".repeat(MAX_TEXT_BYTES + 1)}), "as a file"),
            (json!({"text": "", "files": ["gone.txt"]}), "gone.txt"),
            (json!({"text": "", "files": ["../etc/passwd"]}), "outside"),
            (
                json!({"text": "", "files": ["empty.txt"]}),
                "1 byte to 30 MB",
            ),
            (json!({"text": "", "files": ["a:b.txt"]}), "another name"),
            (
                json!({"text": "x", "to": "nowhere:x"}),
                "no channel nowhere",
            ),
        ] {
            let error = run(&bench, &notes, &arguments).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(notes.0.lock().unwrap().is_empty());
    }

    #[test]
    fn another_chat_is_asked_about() {
        let bench = Bench::new();
        bench.put("a.txt", b"x");
        let tool = send_message(Arc::new(Notes::default()));
        let action = |arguments: Value| tool.action(&arguments, &bench.workspace);
        let here = action(json!({"text": "hi", "files": ["./a.txt"]}));
        assert_eq!(here.standing, Standing::Allow);
        assert_eq!(here.summary, "send to this chat: hi; read a.txt");
        assert_eq!(here.paths, ["a.txt"]);
        let there = action(json!({"text": "你\n好", "to": "feishu:oc_2"}));
        assert_eq!(there.standing, Standing::Ask("it goes to another chat"));
        assert_eq!(there.summary, "send to feishu:oc_2: 你 好");
        assert_eq!(
            there.subject.as_deref(),
            Some("send messages to feishu:oc_2")
        );
    }
}
