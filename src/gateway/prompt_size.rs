//! How large the fixed part of a request is: system prompt and tools, part by part. Built as the gateway builds it, without
//! starting anything.

use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::build::{Launch, offered};
use crate::agent::system_prompt;
use crate::chat::SessionId;
use crate::config::{AGENTS_TEMPLATE, USER_TEMPLATE};
use crate::providers::{estimate_text, estimate_tools};
use crate::sandbox::Sandbox;
use crate::tools::{Courier, Processes};

/// One part of the prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptPart {
    /// What it is: `system`, a file, or `tool NAME`.
    pub name: String,
    /// Its length as sent, in bytes.
    pub bytes: usize,
    /// About how many tokens that is.
    pub tokens: u32,
}

/// Measures what stands in front of every dialog of this configuration.
///
/// Files that the workspace does not have yet are counted as the first start makes them.
pub fn prompt_parts(launch: &Launch) -> Vec<PromptPart> {
    let read = |name: &str, template: &str| {
        fs::read_to_string(launch.config.workspace_dir.join(name))
            .unwrap_or_else(|_| template.to_owned())
    };
    let agents = read("AGENTS.md", AGENTS_TEMPLATE);
    let user = read("USER.md", USER_TEMPLATE);
    let bare = system_prompt(None, None);
    let part = |name: &str, text: &str| PromptPart {
        name: name.to_owned(),
        bytes: text.len(),
        tokens: rounded(estimate_text(text)),
    };
    let mut parts = vec![part("system", &bare)];
    for (name, agents, user) in [
        ("AGENTS.md", Some(agents.as_str()), None),
        ("USER.md", None, Some(user.as_str())),
    ] {
        parts.push(part(name, &system_prompt(agents, user)[bare.len()..]));
    }
    let sandbox = Arc::new(Sandbox::new(super::build::policy_of(launch)));
    let processes = Processes::new(sandbox.clone(), launch.redactor.clone());
    let pushes = launch.config.channels.feishu.iter().any(|bot| bot.enabled);
    let courier = pushes.then(|| Arc::new(Nobody) as Arc<dyn Courier>);
    let (_, specs) = offered(&launch.config, sandbox, processes, 0, courier);
    parts.extend(specs.iter().map(|spec| {
        PromptPart {
            name: format!("tool {}", spec.name),
            // As chat completions carry it; other formats differ by a few bytes.
            bytes: json!({"type": "function", "function": {
                "name": spec.name,
                "description": spec.description,
                "parameters": spec.parameters,
            }})
            .to_string()
            .len(),
            tokens: rounded(estimate_tools(std::slice::from_ref(spec))),
        }
    }));
    parts
}

/// Stands where messages would be taken; nothing is sent here.
struct Nobody;

impl Courier for Nobody {
    fn post(&self, _: &SessionId, _: Option<&str>, _: &str) -> Result<String, String> {
        Err("nothing is sent while sizes are counted".to_owned())
    }
}

fn rounded(tokens: f64) -> u32 {
    // Saturates; prompts are far smaller.
    tokens.ceil() as u32
}
