//! Which protection commands really have on this system: tried once after start, told in the log and on the health page.
//!
//! Runs on the thread `sandbox-probe`, which ends: starting a process must not hold up the gateway's own start.

use std::path::Path;
use std::sync::Arc;

use crate::observability::{Health, SandboxState};
use crate::sandbox::{Level, Protection, Sandbox, SandboxError};
use crate::threads::{CancelToken, Thread, spawn};

const STACK_BYTES: usize = 512 * 1024;

/// The try, and how to end it early.
pub(super) struct Probe {
    thread: Thread,
    cancel: CancelToken,
}

impl Probe {
    /// Starts to find out; the result goes to the log and to `health`.
    pub(super) fn start(
        sandbox: Arc<Sandbox>,
        workspace: &Path,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let cancel = CancelToken::new();
        let thread = spawn("sandbox-probe", STACK_BYTES, {
            let (cancel, workspace) = (cancel.clone(), workspace.to_owned());
            move || {
                let found = match sandbox.policy().level {
                    Level::Off | Level::Full => Ok(None),
                    Level::Workspace => sandbox.probe(&workspace, &cancel).map(Some),
                };
                if !cancel.is_cancelled() {
                    tell(&sandbox, found, &health);
                }
                crate::platform::forget_code();
            }
        })?;
        Ok(Self { thread, cancel })
    }

    /// Ends the try if it still runs; the thread is to be joined.
    pub(super) fn end(self) -> Thread {
        self.cancel.cancel();
        self.thread
    }
}

fn tell(sandbox: &Sandbox, found: Result<Option<Protection>, SandboxError>, health: &Health) {
    let policy = sandbox.policy();
    let mut state = SandboxState {
        level: "workspace",
        status: "active",
        network: policy.network,
        ..SandboxState::default()
    };
    match (policy.level, found) {
        (Level::Off, _) => {
            (state.level, state.status) = ("off", "off");
            log::info!("commands are switched off");
        }
        (Level::Full, _) => {
            (state.level, state.status, state.network) = ("full", "none", true);
            log::warn!("commands are not confined: sandbox.level is \"full\"");
        }
        (Level::Workspace, Ok(found)) => {
            let protection = found.unwrap_or_default();
            state.landlock = protection.landlock_abi;
            state.seccomp = protection.seccomp;
            state.mounts = protection.masked;
            let missing = missing(&protection);
            if missing.is_empty() {
                log::info!("commands are confined: {}", active(&protection));
            } else {
                state.status = "reduced";
                log::warn!(
                    "commands are confined in part: {}; missing on this system: {}",
                    active(&protection),
                    missing.join(", ")
                );
            }
        }
        (Level::Workspace, Err(error)) => {
            state.status = "refused";
            log::warn!("commands will be refused: {error}");
        }
    }
    health.set_sandbox(state);
}

fn active(protection: &Protection) -> String {
    let mut parts = Vec::new();
    if protection.landlock_abi > 0 {
        parts.push(format!("files by Landlock {}", protection.landlock_abi));
    }
    if protection.masked {
        parts.push("private files hidden".to_owned());
    }
    if protection.seccomp {
        parts.push("system calls filtered".to_owned());
    }
    let network = if protection.network_off { "off" } else { "on" };
    parts.push(format!("network {network}"));
    parts.join(", ")
}

fn missing(protection: &Protection) -> Vec<&'static str> {
    let parts = [
        (protection.landlock_abi > 0, "Landlock"),
        (protection.scoped, "a shield for signals (Landlock 6)"),
        (protection.masked, "a mount namespace"),
        (protection.seccomp, "seccomp"),
    ];
    parts
        .into_iter()
        .filter_map(|(is_there, name)| (!is_there).then_some(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_what_is_not_is_told_apart() {
        let whole = Protection {
            landlock_abi: 7,
            scoped: true,
            seccomp: true,
            network_off: true,
            masked: true,
        };
        assert_eq!(missing(&whole), [""; 0]);
        assert_eq!(
            active(&whole),
            "files by Landlock 7, private files hidden, system calls filtered, network off"
        );
        assert_eq!(active(&Protection::default()), "network on");
        assert_eq!(missing(&Protection::default()).len(), 4);
    }
}
