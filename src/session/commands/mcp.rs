//! `/mcp`: the configured MCP servers and their state.

use super::{Apply, Reply, SlashCommand};
use crate::bus::Caller;
use crate::storage::{DialogRow, StorageError};

pub(super) struct Mcp;

impl SlashCommand for Mcp {
    fn name(&self) -> &'static str {
        "mcp"
    }

    fn usage(&self) -> &'static str {
        "/mcp"
    }

    fn description(&self) -> &'static str {
        "Show MCP servers and their tools"
    }

    fn run(
        &self,
        apply: &mut Apply<'_, '_>,
        _caller: &Caller,
        dialog: &DialogRow,
        _argument: &str,
    ) -> Result<Reply, StorageError> {
        let servers = &apply.actor.deps.facts.mcp_servers;
        let content = if servers.is_empty() {
            "No MCP servers are configured.".to_owned()
        } else {
            let lines = servers
                .iter()
                .map(|name| format!("\n- {name}: not connected"));
            format!(
                "This version of PicoBot connects to no MCP servers yet. Configured:{}",
                lines.collect::<String>()
            )
        };
        Ok(Reply::Now(dialog.session.clone(), content))
    }
}
