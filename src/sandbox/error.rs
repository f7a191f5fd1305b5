//! Why a command gave no outcome. The sentences are for the model and for people.

use std::io;

/// Why a command could not be run or its outcome is not known.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The level is `off`.
    #[error("running commands is switched off; set sandbox.level to \"workspace\" to allow it")]
    Off,
    /// A protection that the settings demand cannot be had on this system.
    #[error(
        "the command was not run because this system cannot protect you from it ({missing}); \
         set sandbox.required to false to run commands with less protection"
    )]
    Unprotected {
        /// What is missing.
        missing: String,
    },
    /// The command itself could not be started.
    #[error("the command could not be started: {0}")]
    NotStarted(String),
    /// The private home and temporary folders could not be made.
    #[error("the command's private folders could not be made")]
    Scratch(#[source] io::Error),
    /// The supervisor could not be started or listened to.
    #[error("the command's supervisor could not be started")]
    Supervisor(#[source] io::Error),
    /// The supervisor ended without a report, for example because the command killed it.
    #[error(
        "the command's supervisor ended without a report; whatever it had started was stopped, and the command may or \
         may not have taken effect"
    )]
    SupervisorLost,
}
