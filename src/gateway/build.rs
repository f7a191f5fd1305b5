//! Puts the parts together from the configuration: plain code, readable top to bottom.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, bounded};

use super::offer::offer;
use crate::agent::{Candidate, Models};
use crate::bus::Sink;
use crate::channels::outbound::{Outbox, Pending, PushChannels};
use crate::chat::Price;
use crate::config::{Config, ProviderConfig, ProviderKind, SandboxLevel, Secret};
use crate::observability::{Health, Observers};
use crate::providers::{
    Anthropic, Demo, Http, LearnedQuirks, Limits, ModelSpec, OpenAi, Provider, ServiceSettings,
    ToolSpec,
};
use crate::sandbox::{Level, Policy, Sandbox};
use crate::session::{Agent, Budget, Deps};
use crate::storage::{Db, StorageError};
use crate::tools::{self, Bash, BashSettings, Workspace, WorkspaceOptions};

/// What a process is started with.
pub struct Launch {
    /// The configuration.
    pub config: Config,
    /// The file it came from; tools must not touch it.
    pub config_path: Option<PathBuf>,
    /// The user's own file mode mask, for the workspace's files and for commands.
    pub umask: u32,
}

/// What a running process is made of, before its threads start.
pub(super) struct Parts {
    /// The session's ingredients.
    pub deps: Deps,
    /// Wakes the outbox's sender.
    pub outbox_wake: Receiver<()>,
    /// Channels that push.
    pub pushers: PushChannels,
}

/// Builds everything behind the door.
pub(super) fn parts(
    launch: &Launch,
    db: Arc<Db>,
    sink: Arc<dyn Sink>,
    health: Arc<Health>,
    observers: Observers,
    pushers: PushChannels,
    workspace: Arc<Workspace>,
) -> Result<Parts> {
    let config = &launch.config;
    let (registry, specs) = offer(tools::builtin(bash(config, launch.umask)));
    let (outbox_wake, woken) = bounded(1);
    Ok(Parts {
        deps: Deps {
            db,
            sink,
            agent: agent(config)?,
            tools: registry,
            tools_text: tools_text(&specs).into(),
            specs,
            workspace,
            health,
            observers,
            pushing: pushers.keys().cloned().collect::<HashSet<_>>(),
            outbox_wake,
            max_turns: config.gateway.max_concurrent_turns,
            budget: budget(config),
        },
        outbox_wake: woken,
        pushers,
    })
}

/// Opens the workspace; files that hold secrets are out of its reach.
pub(super) fn open_workspace(launch: &Launch) -> Result<Arc<Workspace>> {
    let config = &launch.config;
    let database = &config.gateway.session_db_path;
    let mut private = vec![
        database.clone(),
        beside(database, "-wal"),
        beside(database, "-shm"),
        config.state_dir.join("gateway.token"),
        config.state_dir.join("feishu-pairing.json"),
    ];
    private.extend(launch.config_path.clone());
    let options = WorkspaceOptions {
        private,
        umask: launch.umask,
    };
    let opened = Workspace::open(&config.workspace_dir, options).with_context(|| {
        format!(
            "cannot open the workspace {}",
            config.workspace_dir.display()
        )
    });
    opened.map(Arc::new)
}

/// Returns the path with something added to its file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The shell, unless the sandbox level is `off`.
fn bash(config: &Config, umask: u32) -> Option<Bash> {
    let level = match config.sandbox.level {
        SandboxLevel::Off => return None,
        SandboxLevel::Workspace => Level::Workspace,
        SandboxLevel::Full => Level::Full,
    };
    let policy = Policy {
        level,
        required: config.sandbox.required,
        network: config.sandbox.network,
        read_paths: config.sandbox.read_paths.clone(),
        ..Policy::new(umask)
    };
    Some(Bash::new(BashSettings {
        sandbox: Arc::new(Sandbox::new(policy)),
    }))
}

/// The default agent's models: its first choice with each key, then its fallbacks.
fn agent(config: &Config) -> Result<Agent> {
    let agent = config.default_agent();
    let services = Services {
        config,
        http: Http::new(),
        learned: LearnedQuirks::new(),
    };
    let mut candidates = services.candidates(&agent.provider, &agent.model)?;
    for (provider, model) in &agent.fallbacks {
        candidates.extend(services.candidates(provider, model)?);
    }
    let first = candidates.remove(0);
    Ok(Agent {
        models: Models::new(first, candidates),
        max_rounds: agent.max_tool_iterations,
    })
}

/// Makes model services that share connections and what was learned about them.
struct Services<'a> {
    config: &'a Config,
    http: Http,
    learned: LearnedQuirks,
}

impl Services<'_> {
    /// Makes one candidate for each key of a provider; at least one.
    fn candidates(&self, provider_name: &str, model_name: &str) -> Result<Vec<Candidate>> {
        let provider = self
            .config
            .providers
            .get(provider_name)
            .with_context(|| format!("there is no provider {provider_name}"))?;
        let model = self
            .config
            .models
            .get(model_name)
            .with_context(|| format!("there is no model {model_name}"))?;
        let spec = ModelSpec {
            model_id: model.model_id.clone(),
            temperature: model.temperature,
            max_tokens: model.max_tokens,
            images: model.takes_images(),
        };
        let keyless = [Secret::new("")];
        let keys = if provider.api_keys.is_empty() {
            &keyless[..]
        } else {
            &provider.api_keys
        };
        let price = model.price.as_ref().map(|price| Price {
            input: price.input,
            cached_input: price.cached_input,
            output: price.output,
            currency: price.currency.clone(),
        });
        let candidates = keys.iter().map(|key| Candidate {
            provider: self.provider(provider_name, provider, key),
            model: spec.clone(),
            price: price.clone(),
        });
        Ok(candidates.collect())
    }

    fn provider(&self, name: &str, config: &ProviderConfig, key: &Secret) -> Arc<dyn Provider> {
        let settings = || service_settings(name, config, key);
        let (http, learned) = (self.http.clone(), self.learned.clone());
        match config.kind {
            ProviderKind::Demo => Arc::new(Demo::new(name)),
            ProviderKind::OpenAi => Arc::new(OpenAi::new(settings(), http, learned)),
            ProviderKind::Anthropic => Arc::new(Anthropic::new(settings(), http, learned)),
        }
    }
}

fn service_settings(name: &str, config: &ProviderConfig, key: &Secret) -> ServiceSettings {
    ServiceSettings {
        extra_headers: config.extra_headers.clone().into_iter().collect(),
        limits: Limits {
            connect: config.time_limits.connect,
            first_byte: config.time_limits.first_byte,
            idle: config.time_limits.idle,
            total: config.time_limits.total,
            ..Limits::default()
        },
        ..ServiceSettings::new(name, config.base_url.as_str(), key.clone())
    }
}

/// The spending limits, if there are any.
fn budget(config: &Config) -> Option<Budget> {
    let budget = &config.budget;
    (budget.per_day.is_some() || budget.per_month.is_some()).then(|| Budget {
        per_day: budget.per_day,
        per_month: budget.per_month,
        currency: budget.currency.clone(),
    })
}

/// The tool list as dialogs remember it.
fn tools_text(specs: &[ToolSpec]) -> String {
    let mut out = String::new();
    for spec in specs {
        out.push_str(&spec.name);
        out.push('\t');
        out.push_str(&spec.description);
        out.push('\t');
        out.push_str(&spec.parameters.to_string());
        out.push('\n');
    }
    out
}

/// The outbox table as the sender sees it.
pub(super) struct OutboxRows(pub Arc<Db>);

impl Outbox for OutboxRows {
    fn next(&mut self, after: i64) -> Result<Option<i64>, String> {
        self.0.read(|tx| tx.next_delivery(after)).map_err(text)
    }

    fn begin(&mut self, after: i64) -> Result<Option<Pending>, String> {
        let row = self.0.write(|tx| tx.begin_delivery(after)).map_err(text)?;
        Ok(row.map(|row| Pending {
            id: row.id,
            route: row.delivery.route,
            body: row.delivery.body,
            idempotency_key: row.delivery.idempotency_key,
            answers: row.answers,
            attempts: row.attempts,
        }))
    }

    fn end(&mut self, id: i64, result: Result<(), &str>) -> Result<(), String> {
        self.0.write(|tx| tx.end_delivery(id, result)).map_err(text)
    }
}

fn text(error: StorageError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::clean_schema;

    #[test]
    fn our_own_tools_lose_nothing() {
        let bash = bash(&Config::demo_default(Path::new("/home/x")), 0o022);
        let tools = tools::builtin(bash);
        assert_eq!(tools.len(), 5);
        for tool in tools {
            let parameters = tool.parameters();
            let cleaned = clean_schema(&parameters);
            assert_eq!(cleaned.losses, [], "{}", tool.name());
            assert_eq!(cleaned.schema, parameters, "{}", tool.name());
        }
    }
}
