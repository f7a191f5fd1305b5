//! Confines the calling thread, and with it whatever it starts: no capabilities, no_new_privs, Landlock, seccomp. None
//! of it can be undone.
//!
//! Runs on the supervisor's launching thread. What a missing protection means is decided by the instruction: refuse, or
//! go on and report.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::masks::Masks;
use super::protocol::{Confine, Protection};
use super::seccomp;

/// The newest version whose rights are asked for; older kernels give what they have.
const ABI_WANTED: ABI = ABI::V7;

/// The first version that shuts off signals and abstract sockets.
const ABI_SCOPES: u32 = 6;

/// Programs, libraries and their settings; `/nix` is where NixOS keeps them. Missing ones are skipped.
pub(super) const SYSTEM: [&str; 10] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix",
];

const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Confines the calling thread; an error names the protection that is missing although it is required.
pub(super) fn apply(confine: &Confine, masks: &Masks) -> Result<Protection, String> {
    drop_capabilities().map_err(|e| format!("dropping capabilities: {e}"))?;
    // Landlock and seccomp set it too; where both are missing it is still worth having.
    rustix::thread::set_no_new_privs(true).map_err(|e| format!("no_new_privs: {e}"))?;
    let mut protection = Protection {
        masked: masks.covered,
        ..Protection::default()
    };
    match restrict_files(confine, masks) {
        Ok(abi) => {
            protection.landlock_abi = abi;
            protection.scoped = abi >= ABI_SCOPES;
        }
        Err(error) if confine.required => return Err(format!("Landlock: {error}")),
        Err(_) => {}
    }
    match seccomp::apply(confine.network) {
        Ok(()) => {
            protection.seccomp = true;
            protection.network_off = !confine.network;
        }
        Err(error) if confine.required => return Err(format!("seccomp: {error}")),
        Err(_) => {}
    }
    Ok(protection)
}

/// Shuts off signals from the calling thread to processes outside; fails where the kernel cannot.
pub(super) fn scope_signals() -> Result<(), landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::Signal)?
        .create()?
        .restrict_self()
        .map(|_| ())
}

/// Takes the powers of root away; its files stay its own. Landlock alone would not do: CAP_PERFMON reads any process.
fn drop_capabilities() -> rustix::io::Result<()> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // The first unknown one ends the list. Who may not do this has none to lose, and no_new_privs keeps it so.
        if remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets)
}

/// Applies the Landlock rules and returns the version in force.
fn restrict_files(confine: &Confine, masks: &Masks) -> Result<u32, Box<dyn Error>> {
    let mut wanted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_WANTED))?
        .scope(Scope::from_all(ABI_WANTED))?;
    if !confine.network {
        wanted = wanted.handle_access(AccessNet::from_all(ABI_WANTED))?;
    }
    let status = allow(wanted.create()?, confine, masks)?.restrict_self()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err("not available in this kernel".into()),
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(effective_abi.min(ABI_WANTED) as u32)
        }
        _ => Err("not available in this kernel".into()),
    }
}

fn allow(
    rules: RulesetCreated,
    confine: &Confine,
    masks: &Masks,
) -> Result<RulesetCreated, Box<dyn Error>> {
    let read = AccessFs::from_read(ABI_WANTED);
    let device: BitFlags<AccessFs> =
        AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let rules = rules
        .add_rules(path_beneath_rules(
            SYSTEM
                .into_iter()
                .flat_map(|root| around(root.as_ref(), &masks.uncovered)),
            read,
        ))?
        .add_rules(path_beneath_rules(
            listings(&masks.uncovered),
            AccessFs::ReadDir,
        ))?
        .add_rules(path_beneath_rules(
            shared_memory(masks),
            AccessFs::from_all(ABI_WANTED),
        ))?
        .add_rules(path_beneath_rules(["/proc"], read & !AccessFs::Execute))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules(name_resolution(confine), read))?
        .add_rules(path_beneath_rules(&confine.read, read))?;
    // Unlike the others these must exist: a command that cannot write to its workspace is of no use.
    confine.write.iter().try_fold(rules, |rules, folder| {
        let rule = PathBeneath::new(PathFd::new(folder)?, AccessFs::from_all(ABI_WANTED));
        Ok(rules.add_rule(rule)?)
    })
}

/// Returns the folder, or all in it but the paths to leave out. Beyond them nothing new is found in such a folder.
fn around(folder: &Path, left_out: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(real) = folder.canonicalize() else {
        return Vec::new();
    };
    if left_out.contains(&real) {
        return Vec::new();
    }
    if !left_out.iter().any(|path| path.starts_with(&real)) {
        return vec![real];
    }
    let entries = std::fs::read_dir(&real).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| around(&entry.path(), left_out))
        .collect()
}

/// Returns the folders that are allowed entry by entry: their names can still be listed.
fn listings(left_out: &[PathBuf]) -> impl Iterator<Item = &Path> {
    left_out.iter().filter_map(|path| path.parent())
}

/// The command's own shared memory; without a mount namespace it would be everybody's.
fn shared_memory(masks: &Masks) -> Option<&'static str> {
    masks.covered.then_some(super::masks::SHARED_MEMORY)
}

/// With network on: the file that resolv.conf points to, which is usually under /run.
fn name_resolution(confine: &Confine) -> Option<OsString> {
    confine.network.then(|| "/etc/resolv.conf".into())
}
