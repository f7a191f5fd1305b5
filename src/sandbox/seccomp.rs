//! The system calls a confined command may not make. Applied to the calling thread and whatever it starts.
//!
//! A list of denials, not of permissions: shells, interpreters and build tools must work unchanged. Files are Landlock's
//! business; here are the network and the parts of the kernel no such program needs.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// Refused with EPERM whatever the arguments: other processes' memory, mounts, the kernel's own inside, new namespaces,
/// io_uring (its operations do not pass this filter), the clock and the machine's state.
const DENIED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_syslog,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// Refused unless the process that they change is the caller, which is spelled 0: other processes of the same user, the
/// gateway among them, could be slowed down or limited to death.
const OWN_PROCESS_ONLY: [i64; 6] = [
    libc::SYS_prlimit64,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    // Which kind of subject comes first: anything but one process is refused too.
    libc::SYS_setpriority,
];

/// Refused as well without network: what makes a connection of a socket.
const DENIED_OFFLINE: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
];

const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The bits of a socket's type besides its flags.
const SOCKET_TYPE_MASK: u64 = 0xf;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Confines the calling thread. Fails where the kernel or the processor is not supported.
pub(super) fn apply(network: bool) -> Result<(), Box<dyn std::error::Error>> {
    let denied = filter(denials(network)?, libc::EPERM)?;
    // clone3 hides its flags in memory, where a filter cannot look. Programs fall back to clone when it is "missing".
    let missing = filter(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        libc::ENOSYS,
    )?;
    seccompiler::apply_filter(&denied)?;
    seccompiler::apply_filter(&missing)?;
    Ok(())
}

fn denials(network: bool) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().map(|&call| (call, Vec::new())).collect();
    let clone = NEW_NAMESPACES
        .iter()
        .map(|&flag| rule(&[has_bits(0, flag.cast_unsigned().into())]))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clone);
    rules.insert(libc::SYS_socketpair, socketpair_denials()?);
    for call in OWN_PROCESS_ONLY {
        rules.insert(call, vec![rule(&[differs(0, 0)])?]);
    }
    // These two name their subject in the second argument.
    rules.insert(libc::SYS_ioprio_set, vec![rule(&[differs(1, 0)])?]);
    if let Some(first) = rules.get_mut(&libc::SYS_setpriority) {
        first.push(rule(&[differs(1, 0)])?);
    }
    if network {
        // No local sockets either: a daemon's socket (docker, D-Bus) would be a way out of the sandbox.
        let other = rule(&[differs(0, libc::AF_INET), differs(0, libc::AF_INET6)])?;
        rules.insert(libc::SYS_socket, vec![other]);
    } else {
        rules.extend(DENIED_OFFLINE.iter().map(|&call| (call, Vec::new())));
        // `send` on a connected pair is a `sendto` without an address and stays allowed.
        let with_address = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
        rules.insert(libc::SYS_sendto, vec![rule(&[with_address])?]);
    }
    Ok(rules)
}

/// A datagram pair can be turned to any local socket by `sendmsg`, whose address a filter cannot see. For local sockets
/// the kernel takes "raw" as "datagram".
fn socketpair_denials() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    Ok(vec![
        rule(&[differs(0, libc::AF_UNIX)])?,
        rule(&[is_type(libc::SOCK_DGRAM)])?,
        rule(&[is_type(libc::SOCK_RAW)])?,
    ])
}

fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.to_vec())
}

fn differs(argument: u8, value: i32) -> SeccompCondition {
    condition(argument, SeccompCmpOp::Ne, u64::from(value.cast_unsigned()))
}

fn has_bits(argument: u8, bits: u64) -> SeccompCondition {
    condition(argument, SeccompCmpOp::MaskedEq(bits), bits)
}

fn is_type(kind: i32) -> SeccompCondition {
    let kind = u64::from(kind.cast_unsigned());
    condition(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE_MASK), kind)
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .expect("system calls have six arguments")
}

/// Builds a program that answers the listed calls with `errno` and kills on a foreign processor mode (32-bit calls).
fn filter(rules: Rules, errno: i32) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        arch,
    )?;
    let mut program = refuse_x32();
    let checked: BpfProgram = filter.try_into()?;
    program.extend(checked);
    Ok(program)
}

/// On x86-64 every call has a second number, with bit 30 set (the x32 mode), that a list of denials would miss.
/// Returns the instructions that answer all of these with ENOSYS. Source: seccomp(2), notes on x32.
fn refuse_x32() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    if !cfg!(target_arch = "x86_64") {
        return Vec::new();
    }
    let instruction = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        instruction(LOAD_NUMBER, 0, 0),
        instruction(JUMP_GREATER_OR_EQUAL, 1, X32_BIT),
        instruction(
            RETURN,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_fit() {
        for network in [false, true] {
            let program = filter(denials(network).unwrap(), libc::EPERM).unwrap();
            assert!(program.len() < 4096, "{}", program.len());
        }
    }
}
