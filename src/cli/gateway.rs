//! `picobot gateway`.

use clap::{Args, ValueEnum};

use super::Global;
use super::exit::Failure;
use super::setup::{load_config, start_log};
use crate::config::Config;
use crate::gateway::{self, Launch};
use crate::observability::LogFormat;

/// Options of the gateway.
#[derive(Args)]
pub(super) struct GatewayArgs {
    /// Address to listen on [default: gateway.host, 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 takes any free one [default: gateway.port, 19876]
    #[arg(long)]
    port: Option<u16>,
    /// Form of the log lines on stderr
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// Answer with the built-in demo, whatever the configuration says
    #[arg(long)]
    demo: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(global: &Global, umask: u32, args: GatewayArgs) -> Result<(), Failure> {
    let mut loaded = load_config(global)?;
    let level = match (global.quiet, global.verbose) {
        (true, _) => log::LevelFilter::Error,
        (false, 0) => log::LevelFilter::Info,
        (false, 1) => log::LevelFilter::Debug,
        (false, _) => log::LevelFilter::Trace,
    };
    let format = match args.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    let redactor = start_log(level, format, &loaded)?;
    let config = &mut loaded.config;
    if let Some(host) = args.host {
        config.gateway.host = host;
    }
    if let Some(port) = args.port {
        config.gateway.port = port;
    }
    if args.demo {
        config.use_demo();
    }
    announce(config);
    let launch = Launch {
        config: loaded.config,
        config_path: loaded.path,
        umask,
        redactor,
    };
    gateway::run(&launch)?;
    Ok(())
}

/// Says in the first line who answers, and how to change that.
fn announce(config: &Config) {
    let agent = config.default_agent();
    let is_demo = config
        .provider_of(agent)
        .is_some_and(|provider| provider.kind == crate::config::ProviderKind::Demo);
    if is_demo {
        log::info!(
            "answering with the built-in demo; connect a model in ~/.picobot/config.json (example: config.example.json beside it)"
        );
    } else {
        log::info!(
            "answering with {} through provider {}",
            agent.model,
            agent.provider
        );
    }
}
