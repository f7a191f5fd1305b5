//! `picobot feishu pair` and `picobot feishu check`.

use std::io::Write;
use std::time::SystemTime;

use clap::{Args, Subcommand};
use crossbeam_channel::bounded;

use super::Global;
use super::exit::{self, Failure};
use super::setup::{load_config, start_log};
use crate::channels::feishu::{Api, ApiError, Finding, check};
use crate::config::{FeishuConfig, Loaded, Secret};
use crate::gateway::{feishu_codes, feishu_trust};
use crate::observability::LogFormat;

/// What to do about a bot.
#[derive(Args)]
pub(super) struct FeishuArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a one-time code; whoever sends it to the bot in a private chat is let in
    Pair {
        /// The bot's channel [default: the first enabled one]
        #[arg(long, value_name = "CHANNEL")]
        account: Option<String>,
        /// Make the person an owner, who may change state and approve
        #[arg(long)]
        owner: bool,
    },
    /// Check credentials, permissions, subscribed events and the bot itself
    Check {
        /// The bot's channel [default: all enabled ones]
        #[arg(long, value_name = "CHANNEL")]
        account: Option<String>,
    },
}

pub(super) fn run(global: &Global, args: FeishuArgs) -> Result<(), Failure> {
    let loaded = load_config(global)?;
    match args.command {
        Command::Pair { account, owner } => pair(&loaded, account.as_deref(), owner),
        Command::Check { account } => {
            start_log(log::LevelFilter::Error, LogFormat::Text, &loaded)?;
            check_bots(&loaded, account.as_deref())
        }
    }
}

/// Returns the enabled bots, or the one asked for.
fn bots<'a>(loaded: &'a Loaded, account: Option<&str>) -> Result<Vec<&'a FeishuConfig>, Failure> {
    let all = loaded.config.channels.feishu.iter();
    let found: Vec<_> = all
        .filter(|bot| account.map_or(bot.enabled, |name| bot.name == name && bot.enabled))
        .collect();
    if found.is_empty() {
        let message = match account {
            Some(name) => format!("there is no enabled Feishu bot {name}"),
            None => "there is no enabled Feishu bot in the configuration".to_owned(),
        };
        let hint = "channels.feishu in ~/.picobot/config.json; docs/feishu.md shows how";
        return Err(Failure::new(exit::CONFIG, message).hint(hint));
    }
    Ok(found)
}

fn pair(loaded: &Loaded, account: Option<&str>, owner: bool) -> Result<(), Failure> {
    let bot = bots(loaded, account)?[0];
    let folder = &loaded.config.state_dir;
    let failed = |error: std::io::Error| {
        Failure::new(exit::AGENT, format!("{}: {error}", folder.display()))
            .hint("check that the folder can be written")
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let code = feishu_codes(folder)
        .issue(&bot.name, owner, SystemTime::now())
        .map_err(failed)?;
    let role = if owner { "an owner" } else { "a user" };
    print(&format!(
        "{code}\n\nSend this code to the bot {} in a private chat within 10 minutes; the gateway must be running.\n\
         It makes the sender {role}, and works once.\n",
        bot.name
    ));
    Ok(())
}

fn check_bots(loaded: &Loaded, account: Option<&str>) -> Result<(), Failure> {
    let mut worst = 0;
    for bot in bots(loaded, account)? {
        // Never closed while the check runs.
        let (_hold, stop) = bounded(0);
        let secret = bot.app_secret.clone().unwrap_or_else(|| Secret::new(""));
        let trust = feishu_trust(bot).map_err(|error| {
            Failure::new(exit::CONFIG, format!("{error:#}"))
                .hint("docs/feishu.md says what ca_file is for")
        })?;
        let api = Api::new(&bot.base_url, &bot.app_id, secret, &trust, stop);
        print(&format!(
            "{}: {} at {}\n",
            bot.name, bot.app_id, bot.base_url
        ));
        for finding in check(&api, bot) {
            let (sign, hint) = match &finding {
                Finding::Good(_) => ("ok  ", None),
                Finding::Unknown(_, hint) => ("?   ", Some(hint)),
                Finding::Bad(error, _, hint) => {
                    worst = worst.max(exit_code(error.as_ref()));
                    ("BAD ", Some(hint))
                }
            };
            print(&format!("  {sign} {}\n", finding.text()));
            if let Some(hint) = hint {
                print(&format!("       {hint}\n"));
            }
        }
    }
    if worst == 0 {
        Ok(())
    } else {
        Err(Failure::silent(worst))
    }
}

fn exit_code(error: Option<&ApiError>) -> u8 {
    match error {
        Some(error) if error.is_passing() => exit::UNREACHABLE,
        Some(_) => exit::AUTH,
        None => exit::CONFIG,
    }
}

fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
