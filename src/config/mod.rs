//! The configuration: file look-up, `.env`, placeholders, path expansion; one file per section.
//!
//! `load` reads everything on the thread that calls it, reports every problem at once and returns one immutable
//! [`Config`]; nothing is looked up later. Numbers become typed values here: inside the program no JSON is asked for
//! keys. The process environment is read, never written.
//!
//! Deliberately not here: switching directories, creating the token, reacting to a changed file.

mod agents;
mod approvals;
mod browser;
mod budget;
mod channels;
mod client;
mod context;
mod dotenv;
mod field;
mod gateway;
mod load;
mod mcp;
mod memory;
mod models;
mod nearest;
mod placeholder;
mod problem;
mod providers;
mod reader;
mod sandbox;
mod secret;
mod source;
mod templates;
#[cfg(test)]
mod tests;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use context::Context;
use reader::Section;

pub use agents::AgentConfig;
pub use approvals::{ApprovalDecision, ApprovalRule, ApprovalsConfig};
pub use browser::BrowserConfig;
pub use budget::BudgetConfig;
pub use channels::{
    ChannelsConfig, FeishuConfig, FeishuDomain, FeishuMode, GroupConfig, GroupPolicy,
};
pub use client::ClientConfig;
pub use gateway::{Auth, Cleanup, GatewayConfig};
pub use load::{LoadOptions, Loaded, load, process_env};
pub use mcp::{McpConfig, McpServerConfig, McpTransport};
pub use memory::MemoryConfig;
pub use models::{InputType, ModelConfig, PriceConfig};
pub use problem::{ConfigErrors, Excerpt, Position, Problem, Severity};
pub use providers::{ProviderConfig, ProviderKind, TimeLimits};
pub use sandbox::{SandboxConfig, SandboxLevel};
pub use secret::Secret;
pub use templates::{AGENTS_TEMPLATE, USER_TEMPLATE, release_templates};
pub use tools::ToolsConfig;

/// Name of the agent that answers when none is asked for.
pub const DEFAULT_AGENT: &str = "default";

/// A complete configuration: defaults filled in, paths absolute, placeholders replaced, references checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// PicoBot's own folder, `~/.picobot`: token, logs, skills.
    pub state_dir: PathBuf,
    /// Workspace of tools and dialogs, absolute.
    pub workspace_dir: PathBuf,
    /// Model services by name.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// Models by name.
    pub models: BTreeMap<String, ModelConfig>,
    /// Agents by name; [`DEFAULT_AGENT`] is always there.
    pub agents: BTreeMap<String, AgentConfig>,
    /// The gateway.
    pub gateway: GatewayConfig,
    /// The terminal client.
    pub client: ClientConfig,
    /// Chat channels.
    pub channels: ChannelsConfig,
    /// Recall and retention.
    pub memory: MemoryConfig,
    /// How much model calls may cost.
    pub budget: BudgetConfig,
    /// MCP servers.
    pub mcp: McpConfig,
    /// The browser tool.
    pub browser: BrowserConfig,
    /// What children may do.
    pub sandbox: SandboxConfig,
    /// Settings of single tools.
    pub tools: ToolsConfig,
    /// Which tool calls wait for a person.
    pub approvals: ApprovalsConfig,
}

impl Config {
    /// Returns what is used without any configuration: all defaults below `home`, and the demo provider.
    pub fn demo_default(home: &Path) -> Self {
        load::without_file(home, home)
    }

    /// Makes the built-in demo answer, whatever the file says.
    pub fn use_demo(&mut self) {
        let demo = Minds::demo();
        self.providers = demo.providers;
        self.models = demo.models;
        self.agents = demo.agents;
    }

    /// Returns the agent that answers when none is asked for.
    pub fn default_agent(&self) -> &AgentConfig {
        self.agents
            .get(DEFAULT_AGENT)
            .expect("reading a configuration fails without a default agent")
    }

    /// Returns the provider of an agent of this configuration.
    pub fn provider_of(&self, agent: &AgentConfig) -> Option<&ProviderConfig> {
        self.providers.get(&agent.provider)
    }

    /// Returns the model of an agent of this configuration.
    pub fn model_of(&self, agent: &AgentConfig) -> Option<&ModelConfig> {
        self.models.get(&agent.model)
    }

    /// Reads all sections. What is wrong is reported to `cx`; the value is of use only if nothing was.
    fn read(mut root: Section<'_>, cx: &Context<'_>) -> Self {
        let state_dir = cx.folders.home.join(".picobot");
        let workspace_dir = root
            .path("workspace_dir")
            .unwrap_or_else(|| state_dir.join("workspace"));
        // `path` above ran without it on purpose: the workspace cannot lie in itself.
        let workspace = cx.workspace.get_or_init(|| workspace_dir.clone());
        let minds = Minds::read(&mut root);
        let gateway = GatewayConfig::read(root.child("gateway"), workspace);
        let config = Self {
            client: ClientConfig::read(root.child("client"), &gateway),
            channels: ChannelsConfig::read(root.child("channels"), workspace),
            memory: MemoryConfig::read(root.child("memory")),
            budget: BudgetConfig::read(root.child("budget")),
            mcp: McpConfig::read(root.child("mcp")),
            browser: BrowserConfig::read(root.child("browser")),
            sandbox: SandboxConfig::read(root.child("sandbox")),
            tools: ToolsConfig::read(root.child("tools")),
            approvals: ApprovalsConfig::read(root.child("approvals")),
            providers: minds.providers,
            models: minds.models,
            agents: minds.agents,
            gateway,
            workspace_dir,
            state_dir,
        };
        config.warn_of_free_calls(&mut root);
        root.text("$schema");
        root.whole("version", 1..=1);
        root.finish();
        config
    }

    /// Warns of models whose calls a budget cannot see.
    fn warn_of_free_calls(&self, root: &mut Section<'_>) {
        if !self.budget.is_set() {
            return;
        }
        let is_demo = |agent: &&AgentConfig| {
            let provider = self.provider_of(agent);
            provider.is_some_and(|provider| provider.kind == ProviderKind::Demo)
        };
        let agents = self.agents.values().filter(|agent| !is_demo(agent));
        let names: BTreeSet<&str> = agents.map(|agent| agent.model.as_str()).collect();
        for name in names {
            let reason = match self.models.get(name).map(|model| &model.price) {
                Some(None) => "has no price".to_owned(),
                Some(Some(price)) if price.currency != self.budget.currency => {
                    format!("is priced in {}", price.currency)
                }
                _ => continue,
            };
            let message = format!("the model {name:?} {reason}, its calls count for nothing");
            root.warn_at("budget", &message, None);
        }
    }
}

/// The three sections that refer to each other.
struct Minds {
    providers: BTreeMap<String, ProviderConfig>,
    models: BTreeMap<String, ModelConfig>,
    agents: BTreeMap<String, AgentConfig>,
}

impl Minds {
    fn read(root: &mut Section<'_>) -> Self {
        if !["providers", "models", "agents"]
            .map(|key| root.has(key))
            .contains(&true)
        {
            return Self::demo();
        }
        let providers = root.named("providers");
        let models = root.named("models");
        let names = |list: &[(String, Section<'_>)]| -> Vec<String> {
            list.iter().map(|(name, _)| name.clone()).collect()
        };
        let (provider_names, model_names) = (names(&providers), names(&models));
        let agents: BTreeMap<_, _> = root
            .named("agents")
            .into_iter()
            .map(|(name, agent)| {
                (
                    name,
                    AgentConfig::read(agent, &provider_names, &model_names),
                )
            })
            .collect();
        if !agents.contains_key(DEFAULT_AGENT) {
            root.error_at("agents", "expected an agent named \"default\"");
        }
        let used: BTreeSet<&str> = agents
            .values()
            .flat_map(|agent| {
                let fallbacks = agent
                    .fallbacks
                    .iter()
                    .map(|(provider, _)| provider.as_str());
                fallbacks.chain([agent.provider.as_str()])
            })
            .collect();
        let providers = providers.into_iter().map(|(name, section)| {
            let is_used = used.contains(name.as_str());
            (name, ProviderConfig::read(section.used_if(is_used)))
        });
        let models = models
            .into_iter()
            .map(|(name, section)| (name, ModelConfig::read(section)));
        Self {
            providers: providers.collect(),
            models: models.collect(),
            agents,
        }
    }

    fn demo() -> Self {
        let name = || "demo".to_owned();
        Self {
            providers: BTreeMap::from([(name(), ProviderConfig::demo())]),
            models: BTreeMap::from([(name(), ModelConfig::demo())]),
            agents: BTreeMap::from([(DEFAULT_AGENT.to_owned(), AgentConfig::demo())]),
        }
    }
}
