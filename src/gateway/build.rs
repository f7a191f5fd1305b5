//! Puts the parts together from the configuration: plain code, readable top to bottom.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, bounded};

use super::courier::OutboxCourier;
use super::offer::offer;
use super::{door, private};
use crate::agent::{ApprovalPolicy, Candidate, Decision, Models, Rule, TurnLimits};
use crate::bus::Sink;
use crate::channels::outbound::PushChannels;
use crate::chat::{ChannelId, Price};
use crate::config::{
    ApprovalDecision, ApprovalsConfig, Config, ProviderConfig, ProviderKind, SandboxLevel, Secret,
};
use crate::net::{Http, Limits};
use crate::observability::{Health, Observers, Redactor};
use crate::providers::{
    Anthropic, Demo, LearnedQuirks, ModelSpec, OpenAi, Provider, ServiceSettings, ToolSpec,
};
use crate::sandbox::{Level, Policy, Sandbox};
use crate::session::{Agent, Approvals, Budget, ContextLimits, Deps, Facts};
use crate::storage::{Backups, Db};
use crate::tools::{
    self, Bash, BashSettings, Courier, Processes, Registry, ResultLimits, WebSettings, Workspace,
    WorkspaceOptions,
};

/// What a process is started with.
pub struct Launch {
    /// The configuration.
    pub config: Config,
    /// The file it came from; tools must not touch it.
    pub config_path: Option<PathBuf>,
    /// The user's own file mode mask, for the workspace's files and for commands.
    pub umask: u32,
    /// Masks the configuration's secrets.
    pub redactor: Arc<Redactor>,
}

/// What a running process is made of, before its threads start.
pub(super) struct Parts {
    /// The session's ingredients.
    pub deps: Deps,
    /// Runs commands.
    pub sandbox: Arc<Sandbox>,
    /// Those in the background.
    pub processes: Processes,
    /// Wakes the outbox's sender.
    pub outbox_wake: Receiver<()>,
    /// Channels that push.
    pub pushers: PushChannels,
}

/// Where answers go.
pub(super) struct Front {
    /// Takes what goes out to clients.
    pub sink: Arc<dyn Sink>,
    /// The gateway's own port, 0 without a door.
    pub port: u16,
}

/// Builds everything behind the door.
pub(super) fn parts(
    launch: &Launch,
    db: Arc<Db>,
    front: Front,
    health: Arc<Health>,
    observers: Observers,
    pushers: PushChannels,
    workspace: Arc<Workspace>,
) -> Result<Parts> {
    let config = &launch.config;
    let sandbox = Arc::new(Sandbox::new(policy_of(launch)));
    let redactor = redactor(launch);
    let processes = Processes::new(sandbox.clone(), redactor.clone());
    let (outbox_wake, woken) = bounded(1);
    let pushing: HashSet<ChannelId> = pushers.keys().cloned().collect();
    let courier = (!pushing.is_empty()).then(|| {
        Arc::new(OutboxCourier {
            db: db.clone(),
            pushing: pushing.clone(),
            wake: outbox_wake.clone(),
        }) as Arc<dyn Courier>
    });
    let (registry, specs) = offered(
        config,
        sandbox.clone(),
        processes.clone(),
        front.port,
        courier,
    );
    Ok(Parts {
        deps: Deps {
            db,
            sink: front.sink,
            agent: agent(config)?,
            tools: registry,
            tools_text: tools_text(&specs).into(),
            specs,
            policy: policy(&config.approvals)?,
            approvals: Approvals::new(config.approvals.time),
            workspace,
            health,
            observers,
            pushing,
            outbox_wake,
            max_turns: config.gateway.max_concurrent_turns,
            budget: budget(config),
            redactor,
            processes: Arc::new(processes.clone()),
            facts: Facts {
                mcp_servers: enabled_mcp_servers(config),
            },
        },
        sandbox,
        processes,
        outbox_wake: woken,
        pushers,
    })
}

/// Opens the workspace; files that hold secrets are out of its reach.
pub(super) fn open_workspace(launch: &Launch) -> Result<Arc<Workspace>> {
    let config = &launch.config;
    let options = WorkspaceOptions {
        private: private::own_files(config, launch.config_path.as_deref()),
        umask: launch.umask,
    };
    let workspace = Workspace::open(&config.workspace_dir, options).with_context(|| {
        format!(
            "cannot open the workspace {}",
            config.workspace_dir.display()
        )
    })?;
    if !workspace.follows_links() {
        log::warn!(
            "this system has no openat2 (Linux 5.6): file tools refuse links and \"..\" in paths of the workspace"
        );
    }
    Ok(Arc::new(workspace.with_results(ResultLimits {
        age: Duration::from_secs(86_400 * config.tools.results_keep_days),
        total_bytes: config.tools.results_bytes,
    })))
}

/// Where backups of the database are kept.
pub fn backups(config: &Config) -> Backups {
    let gateway = &config.gateway;
    Backups::new(
        &config.state_dir,
        &gateway.session_db_path,
        gateway.cleanup.backup_bytes,
    )
}

/// The tools as they run, and what models are told of them. `own_port` is the gateway's, 0 if there is none; `courier`
/// takes messages for channels that push, if there are such channels.
pub(super) fn offered(
    config: &Config,
    sandbox: Arc<Sandbox>,
    processes: Processes,
    own_port: u16,
    courier: Option<Arc<dyn Courier>>,
) -> (Registry, Vec<ToolSpec>) {
    let bash = bash(config, sandbox, processes);
    let mut tools = tools::builtin(bash, web(config, own_port));
    tools.extend(courier.map(tools::send_message));
    offer(tools)
}

/// Masks what the configuration calls secret, and the token.
fn redactor(launch: &Launch) -> Arc<Redactor> {
    match door::token::load(&launch.config.state_dir.join("gateway.token")) {
        Ok(Some(token)) => Arc::new(launch.redactor.with(token.expose())),
        // There is none, or it is refused where it is used.
        Ok(None) | Err(_) => launch.redactor.clone(),
    }
}

/// How commands are run.
pub(super) fn policy_of(launch: &Launch) -> Policy {
    let config = &launch.config.sandbox;
    let pairs = config.env.iter();
    Policy {
        level: match config.level {
            SandboxLevel::Off => Level::Off,
            SandboxLevel::Workspace => Level::Workspace,
            SandboxLevel::Full => Level::Full,
        },
        required: config.required,
        network: config.network,
        read_paths: config.read_paths.clone(),
        write_paths: config.write_paths.clone(),
        private: private::hidden_from_commands(&launch.config, launch.config_path.as_deref()),
        env: pairs
            .map(|(name, value)| (name.into(), value.expose().into()))
            .collect(),
        temp_dir: launch.config.state_dir.join("run"),
        ..Policy::new(launch.umask)
    }
}

/// The shell, unless the sandbox level is `off`.
fn bash(config: &Config, sandbox: Arc<Sandbox>, processes: Processes) -> Option<Bash> {
    (sandbox.policy().level != Level::Off).then(|| {
        Bash::new(BashSettings {
            sandbox,
            timeout: config.sandbox.timeout,
            processes,
        })
    })
}

/// What the web tools may reach; `own_port` is the gateway's, 0 if there is none.
fn web(config: &Config, own_port: u16) -> WebSettings {
    WebSettings {
        allow_private: config.tools.http_allow_private.clone(),
        ports: config.tools.http_ports.clone(),
        own_port,
        resolver: None,
    }
}

/// The default agent's models: its first choice with each key, then its fallbacks.
fn agent(config: &Config) -> Result<Agent> {
    let agent = config.default_agent();
    let services = Services {
        config,
        http: Http::new(),
        trusting: RefCell::default(),
        learned: LearnedQuirks::new(),
    };
    let mut candidates = services.candidates(&agent.provider, &agent.model)?;
    for (provider, model) in &agent.fallbacks {
        candidates.extend(services.candidates(provider, model)?);
    }
    let first = candidates.remove(0);
    Ok(Agent {
        models: Models::new(first, candidates),
        context: ContextLimits {
            tokens: agent.token_limit,
            compress_at: agent.compress_at,
        },
        limits: TurnLimits {
            rounds: agent.max_tool_iterations,
            time: agent.max_turn_time,
            tokens: agent.max_turn_tokens,
        },
    })
}

/// Makes model services that share connections and what was learned about them.
struct Services<'a> {
    config: &'a Config,
    http: Http,
    /// Clients of services with certificates of their own, by the file's path.
    trusting: RefCell<HashMap<PathBuf, Http>>,
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
        let http = match &provider.ca_file {
            None => self.http.clone(),
            Some(path) => self
                .trusting(path)
                .with_context(|| format!("providers.{provider_name}.ca_file {}", path.display()))?,
        };
        let candidates = keys.iter().map(|key| Candidate {
            provider: self.provider(provider_name, provider, key, &http),
            model: spec.clone(),
            price: price.clone(),
        });
        Ok(candidates.collect())
    }

    /// The client that trusts the certificates of a file.
    fn trusting(&self, path: &Path) -> Result<Http> {
        if let Some(http) = self.trusting.borrow().get(path) {
            return Ok(http.clone());
        }
        let pem = std::fs::read(path).context("it cannot be read")?;
        let http = Http::trusting(&pem).map_err(anyhow::Error::msg)?;
        let mut known = self.trusting.borrow_mut();
        known.insert(path.to_owned(), http.clone());
        Ok(http)
    }

    fn provider(
        &self,
        name: &str,
        config: &ProviderConfig,
        key: &Secret,
        http: &Http,
    ) -> Arc<dyn Provider> {
        let settings = || service_settings(name, config, key);
        let (http, learned) = (http.clone(), self.learned.clone());
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

fn enabled_mcp_servers(config: &Config) -> Vec<String> {
    let servers = config.mcp.servers.iter();
    servers
        .filter(|(_, server)| server.enabled)
        .map(|(name, _)| name.clone())
        .collect()
}

/// The rules of `approvals`.
fn policy(config: &ApprovalsConfig) -> Result<ApprovalPolicy> {
    let rules = config.rules.iter().map(|rule| {
        let decision = match rule.decision {
            ApprovalDecision::Allow => Decision::Allow,
            ApprovalDecision::Ask => Decision::Ask,
            ApprovalDecision::Deny => Decision::Deny,
        };
        let mut made = Rule::new(&rule.tool, decision);
        if let Some(program) = &rule.program {
            made = made.with_program(program);
        }
        if let Some(path) = &rule.path {
            made = made.with_path(path)?;
        }
        if let Some(host) = &rule.host {
            made = made.with_host(host);
        }
        Ok(made)
    });
    Ok(ApprovalPolicy::new(rules.collect::<Result<_>>()?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::clean_schema;

    #[test]
    fn our_own_tools_lose_nothing() {
        let config = Config::demo_default(std::path::Path::new("/home/x"));
        let sandbox = Arc::new(Sandbox::new(Policy::new(0o022)));
        let processes = Processes::new(sandbox.clone(), Arc::default());
        let bash = bash(&config, sandbox, processes);
        let tools = tools::builtin(bash, WebSettings::default());
        assert_eq!(tools.len(), 10);
        for tool in tools {
            let parameters = tool.parameters();
            let cleaned = clean_schema(&parameters);
            assert_eq!(cleaned.losses, [], "{}", tool.name());
            assert_eq!(cleaned.schema, parameters, "{}", tool.name());
        }
    }
}
