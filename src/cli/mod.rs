//! The command line: parse, dispatch, exit code. One file per command; the only place that prints.

mod approvals;
mod ask;
mod backup;
mod chat;
mod exit;
mod feishu;
mod gateway;
mod outbox;
mod prompt_size;
mod send;
mod sessions;
mod setup;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A personal AI assistant for small machines: one process, one SQLite file.
#[derive(Parser)]
#[command(name = "picobot", version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args, Clone)]
struct Global {
    /// Configuration file [default: ~/.picobot/config.json, then ./config.json]
    #[arg(long, value_name = "PATH", global = true)]
    config: Option<PathBuf>,
    /// Home folder, instead of $HOME
    #[arg(long, value_name = "DIR", global = true)]
    home: Option<PathBuf>,
    /// Say more on stderr (twice: still more)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Say nothing but errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway: one process that serves all clients and channels
    Gateway(gateway::GatewayArgs),
    /// Chat in the terminal
    Chat(chat::ChatArgs),
    /// Send one message and print the answer
    Send(send::SendArgs),
    /// Copy the database to a file, also while the gateway runs
    Backup(backup::BackupArgs),
    /// Put a backup in the place of the database
    Restore(backup::RestoreArgs),
    /// What waits to be delivered to channels, and what could not be
    Outbox(outbox::OutboxArgs),
    /// Let people in to a Feishu or Lark bot, or check its settings
    Feishu(feishu::FeishuArgs),
    Approvals(approvals::ApprovalsArgs),
    PromptSize(prompt_size::PromptSizeArgs),
    Sessions(sessions::SessionsArgs),
}

/// Runs the command line; the result is the process's exit code.
pub fn main() -> ExitCode {
    // Everything PicoBot writes is private; children get the user's own mask back.
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077)).as_raw_mode();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
        }
    };
    let result = match cli.command {
        Command::Gateway(args) => gateway::run(&cli.global, umask, args),
        Command::Chat(args) => chat::run(&cli.global, umask, args),
        Command::Send(args) => send::run(&cli.global, umask, args),
        Command::Backup(args) => backup::backup(&cli.global, &args),
        Command::Restore(args) => backup::restore_from(&cli.global, &args),
        Command::Outbox(args) => outbox::run(&cli.global, args),
        Command::Sessions(args) => sessions::run(&cli.global, umask, args),
        Command::Feishu(args) => feishu::run(&cli.global, args),
        Command::Approvals(args) => approvals::run(&cli.global, args),
        Command::PromptSize(args) => prompt_size::run(&cli.global, umask, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}
