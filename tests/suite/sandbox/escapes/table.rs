//! The escapes: scripts that get out of the sandbox if they exit with 0. Pure data.
//!
//! `mod.rs` beside plants what they look for and sets: `OUT` (a folder outside), `WORK` (the workspace), `REAL_HOME`, `GW`
//! (the gateway's process), `SUPERVISOR`, `VICTIM` (another process of the same user), `PORT`, `PORT6`, `META_PORT`,
//! `UDP_PORT`, `ABSTRACT`, `IPC` (the host's namespace of shared memory). Planted files hold the word `planted`.
//!
//! Long because it is a table of equals.

use super::Control::{self, Always, Needs, Never, Root};

/// Name, script, and when it must succeed at level `full`.
pub(super) type Escape = (&'static str, &'static str, Control);

/// Python with the C library and sockets at hand; `call` makes a system call and returns its errno.
const PYTHON: &str = "\
import ctypes, os, sys, mmap
from socket import *
C = ctypes.CDLL(None, use_errno=True)
C.syscall.restype = ctypes.c_long
def call(*a):
    ctypes.set_errno(0)
    a = [ctypes.c_long(x) if isinstance(x, int) else x for x in a]
    return ctypes.get_errno() if C.syscall(*a) < 0 else 0
# A refused call never reaches the kernel's own checks, so any other answer is one.
def reaches(*a): sys.exit(call(*a) in (1, 38))
";

/// Scripts that begin with `py:` are Python behind [`PYTHON`].
pub(super) fn source(script: &str) -> String {
    match script.strip_prefix("py:") {
        Some(code) => format!("exec /usr/bin/python3 - <<'PYTHON'\n{PYTHON}\n{code}\nPYTHON\n"),
        None => format!("{script}\n"),
    }
}

pub(super) const FILES: &[Escape] = &[
    ("read a file outside", "cat $OUT/secret", Always),
    (
        "read it by a relative path",
        "cat ../outside/secret",
        Always,
    ),
    (
        "read it through a link",
        "ln -sf $OUT/secret l1 && cat l1",
        Always,
    ),
    (
        "read it through a linked folder",
        "ln -sfn $OUT l2 && cat l2/secret",
        Always,
    ),
    (
        "read it through /proc/self/root",
        "cat /proc/self/root$OUT/secret",
        Always,
    ),
    (
        "read it through /proc/self/cwd",
        "cat /proc/self/cwd/../outside/secret",
        Always,
    ),
    (
        "read it from inside its folder",
        "cd $OUT && cat secret",
        Always,
    ),
    (
        "hard-link it into the workspace",
        "ln $OUT/secret l3 && cat l3",
        Always,
    ),
    (
        "move it into the workspace",
        "mv $OUT/movable m && cat m",
        Always,
    ),
    (
        "archive it",
        "tar cf - $OUT/secret | grep -q planted",
        Always,
    ),
    (
        "read it with Python",
        "py:open(os.environ['OUT'] + '/secret').read()",
        Always,
    ),
    (
        "map it",
        "py:mmap.mmap(os.open(os.environ['OUT'] + '/secret', 0), 0, prot=mmap.PROT_READ)",
        Always,
    ),
    ("list a folder outside", "ls $OUT | grep -q secret", Always),
    (
        "find it by a pattern",
        "echo $OUT/* | grep -q secret",
        Always,
    ),
    ("source a script outside", ". $OUT/script", Always),
    ("run a program outside", "$OUT/program", Always),
    (
        "run it through the loader",
        "/lib64/ld-linux-x86-64.so.2 $OUT/program",
        Needs("/lib64/ld-linux-x86-64.so.2"),
    ),
    ("list the real home", "ls -a $REAL_HOME", Always),
    (
        "list /tmp of the machine",
        "[ $(ls /tmp | wc -l) -gt 0 ] && ls -d /tmp/picobot-escape-$ABSTRACT",
        Always,
    ),
    ("read ssh keys", "cat $OUT/home/.ssh/id_ed25519", Always),
    ("read the gateway's token", "cat $OUT/gateway.token", Always),
    ("read /etc/shadow", "cat /etc/shadow", Root),
    ("read its backup", "cat /etc/shadow-", Needs("/etc/shadow-")),
    ("read /etc/gshadow", "cat /etc/gshadow", Root),
    (
        "list private certificates",
        "ls /etc/ssl/private",
        Needs("/etc/ssl/private"),
    ),
    (
        "read ssh host keys",
        "cat /etc/ssh/ssh_host_*_key",
        Needs("/etc/ssh/ssh_host_ed25519_key"),
    ),
    (
        "read the disk",
        "head -c 1 /dev/vda | wc -c | grep -q 1",
        Needs("/dev/vda"),
    ),
    (
        "read memory",
        "head -c 1 /dev/mem >/dev/null && [ -c /dev/mem ]",
        Needs("/dev/mem"),
    ),
    ("make a device", "mknod dev b 254 0 && [ -b dev ]", Root),
    ("read the kernel's settings tree", "ls /sys/kernel", Always),
];

pub(super) const DATABASE: &[Escape] = &[
    ("read the database", "grep -q planted picobot.db", Always),
    (
        "read it with Python",
        "py:sys.exit(b'planted' not in open('picobot.db', 'rb').read())",
        Always,
    ),
    ("read its log", "grep -q planted picobot.db-wal", Always),
    (
        "link to it",
        "ln -sf picobot.db l4 && grep -q planted l4",
        Always,
    ),
    (
        "hard-link it",
        "ln picobot.db l5 && grep -q planted l5",
        Always,
    ),
    (
        "read it through /proc/self/root",
        "grep -q planted /proc/self/root$WORK/picobot.db",
        Always,
    ),
    (
        "copy its bytes",
        "dd if=picobot.db status=none | grep -q planted",
        Always,
    ),
    (
        "change its mode",
        "chmod 644 picobot.db && grep -q planted picobot.db",
        Always,
    ),
    (
        "unmount what covers it",
        "umount picobot.db; umount -l picobot.db; grep -q planted picobot.db",
        Always,
    ),
    (
        "read one deeper down",
        "grep -q planted data/more/deep.db",
        Always,
    ),
    (
        "move its folder away",
        "mv data/more moved && grep -q planted moved/deep.db && mv moved data/more",
        Always,
    ),
    (
        "move the folder of its folder",
        "mv data gone && grep -q planted gone/more/deep.db && mv gone data",
        Always,
    ),
    (
        "enter the gateway's mounts",
        "nsenter -m -t $GW grep -q planted $WORK/picobot.db",
        Root,
    ),
    ("write into it", "echo x >>picobot.db-shm", Always),
    (
        "remove it",
        "rm -f picobot.db-shm && [ ! -e picobot.db-shm ]",
        Always,
    ),
    (
        "put another in its place",
        "echo x >other && mv -f other picobot.db-wal",
        Always,
    ),
];

pub(super) const WRITES: &[Escape] = &[
    ("make a file outside", "echo x >$OUT/new", Always),
    ("append to one", "echo x >>$OUT/appended", Always),
    ("empty one", "truncate -s 0 $OUT/emptied", Always),
    ("remove one", "rm $OUT/removed", Always),
    ("make a folder outside", "mkdir $OUT/folder", Always),
    (
        "leave a file through a link",
        "ln -sfn $OUT l6 && echo x >l6/through",
        Always,
    ),
    ("link from outside", "ln -s $WORK $OUT/link", Always),
    (
        "open a file to everybody",
        "chmod 777 $OUT/appended",
        Always,
    ),
    (
        "change a file's times",
        "py:os.utime(os.environ['OUT'] + '/appended', (1, 1))",
        Always,
    ),
    (
        "lock its owner out of a folder",
        "chmod 0700 $OUT/home",
        Always,
    ),
    (
        "change modes below /etc",
        "chmod --reference=/etc/passwd /etc/passwd",
        Root,
    ),
    (
        "change modes through a descriptor",
        "py:fd = os.open(os.environ['OUT'], os.O_PATH)\nos.chmod('/proc/self/fd/%d/appended' % fd, 0o644)",
        Always,
    ),
    (
        "write below /etc",
        "touch /etc/picobot-escape && rm /etc/picobot-escape",
        Root,
    ),
    (
        "write below /usr",
        "touch /usr/picobot-escape && rm /usr/picobot-escape",
        Root,
    ),
    (
        "open the kernel's core pattern",
        ": >>/proc/sys/kernel/core_pattern",
        Root,
    ),
    (
        "open the kernel's emergency keys",
        ": >>/proc/sysrq-trigger",
        Needs("/proc/sysrq-trigger"),
    ),
];

pub(super) const PROCESSES: &[Escape] = &[
    (
        "read the gateway's environment",
        "grep -q planted /proc/$GW/environ",
        Root,
    ),
    ("see the gateway's files", "readlink /proc/$GW/fd/0", Root),
    (
        "read the gateway's memory map",
        "grep -q . /proc/$GW/maps",
        Root,
    ),
    (
        "open the gateway's memory",
        "py:open('/proc/%s/mem' % os.environ['GW'], 'rb')",
        Root,
    ),
    (
        "look through the gateway's root",
        "ls /proc/$GW/root/",
        Root,
    ),
    ("signal the gateway", "kill -0 $GW", Always),
    ("signal the supervisor", "kill -0 $SUPERVISOR", Always),
    (
        "read the supervisor's files",
        "ls -l /proc/$SUPERVISOR/fd/0",
        Root,
    ),
    ("limit the gateway", "prlimit --pid $GW --nproc", Always),
    ("slow the gateway down", "renice -n 5 -p $VICTIM", Always),
    ("keep it on one processor", "taskset -p 1 $VICTIM", Always),
    (
        "share memory by its number",
        "[ \"$(readlink /proc/self/ns/ipc)\" = \"$IPC\" ]",
        Always,
    ),
    ("signal another process", "kill -0 $VICTIM", Always),
    (
        "read another's environment",
        "grep -q planted /proc/$VICTIM/environ",
        Always,
    ),
    (
        "trace another process",
        "py:p = int(os.environ['VICTIM'])\nr = call(101, 0x4206, p, 0, 0)\ncall(101, 17, p, 0, 0)\nsys.exit(r)",
        Needs("x86_64"),
    ),
    (
        "read another's memory",
        "py:sys.exit(call(310, int(os.environ['VICTIM']), 0, 0, 0, 0, 0))",
        Needs("x86_64"),
    ),
    (
        "take a file of another process",
        "py:fd = os.pidfd_open(int(os.environ['VICTIM']))\nsys.exit(call(438, fd, 0, 0))",
        Needs("x86_64"),
    ),
    ("become another user", "setpriv --reuid 1 true", Root),
    (
        "run a set-user-id program",
        "[ \"$(./suid-id -u)\" = 1 ]",
        Root,
    ),
    (
        "get root's powers back",
        "grep -q 'CapEff:.*[1-9a-f]' /proc/self/status",
        Root,
    ),
    (
        "use a file the gateway left open",
        "cat <&37",
        Never("such files are closed at every level"),
    ),
    (
        "stay as a daemon",
        "setsid bash -c 'sleep 1000; :' $MARKER >/dev/null 2>&1 & exit 1",
        Never("what is left is killed at every level; endings.rs shows it"),
    ),
    (
        "stay after a double fork",
        "((bash -c 'sleep 1000; :' $MARKER >/dev/null 2>&1 &) &); exit 1",
        Never("what is left is killed at every level; endings.rs shows it"),
    ),
];

pub(super) const NETWORK: &[Escape] = &[
    (
        "connect to the gateway's port",
        "echo x >/dev/tcp/127.0.0.1/$PORT",
        Always,
    ),
    (
        "connect with Python",
        "py:create_connection(('127.0.0.1', int(os.environ['PORT'])))",
        Always,
    ),
    (
        "connect over IPv6",
        "py:create_connection(('::1', int(os.environ['PORT6'])))",
        Needs("ipv6"),
    ),
    (
        "reach a metadata service",
        "echo x >/dev/tcp/127.169.254.169/$META_PORT",
        Always,
    ),
    (
        "send a datagram",
        "echo x >/dev/udp/127.0.0.1/$UDP_PORT",
        Always,
    ),
    (
        "send one without connecting",
        "py:socket(AF_INET, SOCK_DGRAM).sendto(b'x', ('127.0.0.1', int(os.environ['UDP_PORT'])))",
        Always,
    ),
    (
        "listen",
        "py:s = socket()\ns.bind(('127.0.0.1', 0))\ns.listen()",
        Always,
    ),
    ("open a raw socket", "py:socket(AF_INET, SOCK_RAW, 1)", Root),
    (
        "open a packet socket",
        "py:socket(AF_PACKET, SOCK_RAW, 0)",
        Root,
    ),
    (
        "open a netlink socket",
        "py:socket(AF_NETLINK, SOCK_RAW, 0)",
        Always,
    ),
    (
        "open a kernel crypto socket",
        "py:socket(AF_ALG, SOCK_SEQPACKET, 0)",
        Needs("af_alg"),
    ),
    (
        "use the container daemon's socket",
        "py:socket(AF_UNIX).connect(os.environ['OUT'] + '/docker.sock')",
        Always,
    ),
    (
        "use a socket in the workspace",
        "py:socket(AF_UNIX).connect('local.sock')",
        Always,
    ),
    (
        "use an abstract socket",
        "py:socket(AF_UNIX).connect('\\0' + os.environ['ABSTRACT'])",
        Always,
    ),
    (
        "redirect half a socket pair",
        "py:socketpair(AF_UNIX, SOCK_DGRAM)[0].sendmsg([b'x'], [], 0, 'datagram.sock')",
        Always,
    ),
];

pub(super) const KERNEL: &[Escape] = &[
    ("make a user namespace", "unshare -U true", Needs("userns")),
    ("make a mount namespace", "unshare -m true", Root),
    ("make a network namespace", "unshare -n true", Root),
    (
        "make one by clone",
        "py:sys.exit(call(56, 0x10000000 | 17, 0, 0, 0, 0))",
        Needs("userns"),
    ),
    (
        "make one by clone3",
        "py:b = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)\np = C.syscall(435, b, 88)\nif p == 0: os._exit(0)\nsys.exit(p < 0)",
        Needs("userns"),
    ),
    ("mount", "unshare -m mount -t tmpfs none data", Root),
    (
        "mount by the new calls",
        "py:reaches(430, b'tmpfs', 0)",
        Root,
    ),
    ("change the root", "chroot / true", Root),
    (
        "enter a namespace",
        "py:reaches(308, -1, 0)",
        Needs("x86_64"),
    ),
    (
        "trace itself",
        "py:sys.exit(call(101, 0, 0, 0, 0))",
        Needs("x86_64"),
    ),
    ("load a kernel program", "py:reaches(321, 9999, 0, 0)", Root),
    (
        "measure the kernel",
        "py:reaches(298, 0, 0, -1, -1, 0)",
        Root,
    ),
    ("handle page faults", "py:reaches(323, 1)", Root),
    (
        "use the keyring",
        "py:reaches(250, 0, -3, 1)",
        Needs("x86_64"),
    ),
    (
        "queue calls by io_uring",
        "py:reaches(425, 0, 0)",
        Needs("x86_64"),
    ),
    (
        "load a module",
        "py:reaches(313, -1, b'', 0)",
        Needs("/proc/modules"),
    ),
    (
        "load another kernel",
        "py:reaches(246, 0, 0, 0, 0xffffffff)",
        Needs("/sys/kernel/kexec_loaded"),
    ),
    (
        "open by handle",
        "py:reaches(304, -1, 0, 0)",
        Needs("x86_64"),
    ),
    ("set the clock", "py:reaches(164, 0, 0)", Root),
    ("read the kernel's log", "py:reaches(103, 10, 0, 0)", Root),
    ("switch swapping", "py:reaches(168, 0)", Root),
    (
        "use the second numbers of calls",
        "py:sys.exit(call(0x40000000 + 39) != 0)",
        Never("this kernel may lack them; confinement.rs shows the refusal"),
    ),
];
