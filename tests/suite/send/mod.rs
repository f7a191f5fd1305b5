//! `picobot send` as a script uses it: what goes in, what comes out, how it ends, and whose database it is.
//!
//! In-process unless a test is about a gateway; both speak to a scripted model.

mod codes;
mod gives_up;
mod input;
mod output;
mod shares;

use std::process::Command;

use crate::support::gateway::command;
use crate::support::home::Home;
use crate::support::model::ModelServer;
use crate::support::process::{Finished, Process, run};
use crate::support::script::Answer;

/// A home with a scripted model and no gateway.
struct Desk {
    model: ModelServer,
    home: Home,
}

impl Desk {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with_model(ModelServer::queue(answers))
    }

    fn with_model(model: ModelServer) -> Self {
        let home = Home::with_model(&model);
        Self { model, home }
    }

    /// Makes the command.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.home, "send");
        command.args(arguments);
        command
    }

    /// Runs the command to its end, without input.
    #[track_caller]
    fn send(&self, arguments: &[&str]) -> Finished {
        run(&mut self.command(arguments))
    }

    /// Runs the command to its end with this on stdin.
    #[track_caller]
    fn pipe(&self, input: &[u8], arguments: &[&str]) -> Finished {
        Process::with_input(&mut self.command(arguments), input).finish()
    }

    /// Starts the command.
    fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// Returns what the model was asked in its n-th request.
    #[track_caller]
    fn asked(&self, n: usize) -> String {
        let received = self.model.received();
        let asked = received[n].texts("user").pop();
        asked.unwrap()
    }
}

/// Checks the two lines of a failure: what failed, and the command that helps.
#[track_caller]
fn assert_told(ended: &Finished, code: i32, what: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let line = ended.stderr.lines().find(|l| l.starts_with("picobot: "));
    let line = line.unwrap_or_else(|| panic!("no reason: {ended:?}"));
    assert!(line.contains(what), "{line}");
}

/// Checks an answer on stdout and silence on stderr.
#[track_caller]
fn assert_said(ended: &Finished, answer: &str) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, format!("{answer}\n"), "{ended:?}");
    assert_eq!(ended.stderr, "", "{ended:?}");
}
