//! What gateway and supervisor tell each other: one JSON line each way. Both ends are the same binary.
//!
//! The instruction travels through a pipe and not as arguments, which every user of the machine can read.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

/// What a supervisor is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instruction {
    /// The program, by absolute path, and its arguments.
    pub(super) argv: Vec<OsString>,
    /// The folder it starts in.
    pub(super) cwd: OsString,
    /// Its whole environment.
    pub(super) env: Vec<(OsString, OsString)>,
    /// How long it may run.
    pub(super) deadline_ms: u64,
    /// Its file mode mask.
    pub(super) umask: u32,
    /// How it is confined; `None` leaves it free.
    pub(super) confine: Option<Confine>,
}

/// How a command is confined.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Confine {
    /// Whether to refuse where a protection is missing.
    pub(super) required: bool,
    /// Whether internet sockets are allowed.
    pub(super) network: bool,
    /// Paths to read and execute besides the system's.
    pub(super) read: Vec<OsString>,
    /// Folders with every right.
    pub(super) write: Vec<OsString>,
    /// Files and folders of PicoBot that it must not see wherever they lie.
    pub(super) private: Vec<OsString>,
    /// An empty folder out of its reach, where what covers them is mounted.
    pub(super) masks: OsString,
    /// The folder among `write` that becomes its `/tmp`.
    pub(super) tmp: OsString,
}

/// What a supervisor reports before it exits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The command ran.
    Ended {
        /// How it ended.
        end: End,
        /// Processes that had to be killed.
        killed: usize,
        /// Processes that could not be killed in time.
        survivors: usize,
        /// What confined it.
        protection: Protection,
    },
    /// A demanded protection is missing; nothing ran.
    Unprotected(String),
    /// The command could not be started; nothing ran.
    NotStarted(String),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it, and not from us.
    Signalled(i32),
    /// It was killed at its deadline.
    Deadline,
    /// It was killed because the call was cancelled.
    Cancelled,
    /// It was killed because it had started too many processes.
    TooManyProcesses,
}

/// Which protections were active while a command ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Protection {
    /// The Landlock version that confined its file access, 0 for none.
    pub landlock_abi: u32,
    /// Whether signals and abstract sockets to processes outside were shut off.
    pub scoped: bool,
    /// Whether dangerous system calls were refused.
    pub seccomp: bool,
    /// Whether it could not open network connections at all.
    pub network_off: bool,
    /// Whether a mount namespace of its own hid private files from it.
    pub masked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn an_instruction_is_one_line_and_survives_the_pipe() {
        let instruction = Instruction {
            argv: vec![
                "/bin/bash".into(),
                "echo 你好\n".into(),
                OsString::from_vec(vec![0xff, b'a']),
            ],
            cwd: "/w".into(),
            env: vec![("A".into(), "b\"c".into())],
            deadline_ms: 1,
            umask: 0o22,
            confine: Some(Confine {
                required: true,
                network: false,
                read: vec![],
                write: vec!["/w".into()],
                private: vec!["/w/db".into()],
                ..Confine::default()
            }),
        };
        let text = serde_json::to_string(&instruction).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(
            serde_json::from_str::<Instruction>(&text).unwrap(),
            instruction
        );
    }
}
