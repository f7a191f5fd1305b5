//! `picobot prompt-size`: what the fixed part of every request costs, part by part. Starts nothing and writes nothing.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::Global;
use super::exit::Failure;
use super::setup::load_config;
use super::terminal::print;
use crate::gateway::{Launch, PromptPart, prompt_parts};
use crate::observability::Redactor;

/// Print the size of system prompt and tools, part by part
#[derive(Args)]
pub(super) struct PromptSizeArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, umask: u32, args: &PromptSizeArgs) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    let parts = prompt_parts(&Launch {
        config: loaded.config,
        config_path: None,
        umask,
        // Nothing is run and no secret is met.
        redactor: Arc::new(Redactor::new(std::iter::empty::<String>())),
    });
    let bytes: usize = parts.iter().map(|part| part.bytes).sum();
    let tokens: u32 = parts.iter().map(|part| part.tokens).sum();
    if args.json {
        let list = parts
            .iter()
            .map(|part| json!({"name": part.name, "bytes": part.bytes, "tokens": part.tokens}));
        let list: Vec<_> = list.collect();
        let all = json!({"parts": list, "bytes": bytes, "tokens": tokens});
        return print(&format!("{all}\n"));
    }
    let total = PromptPart {
        name: "total".to_owned(),
        bytes,
        tokens,
    };
    let width = parts.iter().map(|part| part.name.len()).max().unwrap_or(0);
    let mut out = format!("{:width$}  {:>7}  {:>7}\n", "part", "bytes", "tokens");
    for part in parts.iter().chain([&total]) {
        out.push_str(&format!(
            "{:width$}  {:>7}  {:>7}\n",
            part.name, part.bytes, part.tokens
        ));
    }
    print(&out)
}
