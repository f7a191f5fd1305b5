//! Programs that run the program named behind them, and how many of the words between are their own. Pure data.

/// A program that runs the program named behind it.
pub(super) struct Wrapper {
    name: &'static str,
    /// Letters of options whose value is the next word.
    valued: &'static str,
    /// Words of its own before the program.
    pub(super) operands: usize,
}

const fn wrapper(name: &'static str, valued: &'static str, operands: usize) -> Wrapper {
    Wrapper {
        name,
        valued,
        operands,
    }
}

/// Sources: the manual pages of sudo, doas, GNU coreutils, findutils, util-linux and procps.
const WRAPPERS: [Wrapper; 18] = [
    wrapper("sudo", "CDRTUghprtu", 0),
    wrapper("doas", "Cu", 0),
    wrapper("env", "Cu", 0),
    wrapper("nohup", "", 0),
    wrapper("nice", "n", 0),
    wrapper("ionice", "cn", 0),
    wrapper("timeout", "ks", 1),
    wrapper("setsid", "", 0),
    wrapper("stdbuf", "eio", 0),
    wrapper("time", "fo", 0),
    wrapper("exec", "a", 0),
    wrapper("command", "", 0),
    wrapper("builtin", "", 0),
    wrapper("xargs", "EILPadns", 0),
    wrapper("busybox", "", 0),
    wrapper("chroot", "", 1),
    wrapper("unshare", "GRSw", 0),
    wrapper("watch", "n", 0),
];

/// Long options of these programs whose value may be the next word.
const VALUED: [&str; 27] = [
    "--user",
    "--group",
    "--host",
    "--prompt",
    "--chdir",
    "--chroot",
    "--close-from",
    "--command-timeout",
    "--other-user",
    "--unset",
    "--adjustment",
    "--class",
    "--classdata",
    "--signal",
    "--kill-after",
    "--input",
    "--output",
    "--error",
    "--format",
    "--arg-file",
    "--delimiter",
    "--max-args",
    "--max-chars",
    "--max-procs",
    "--interval",
    "--root",
    "--wd",
];

impl Wrapper {
    pub(super) fn of(program: &str) -> Option<&'static Self> {
        WRAPPERS.iter().find(|wrapper| wrapper.name == program)
    }

    /// Whether the value of this option is the next word.
    pub(super) fn wants_value(&self, option: &str) -> bool {
        if option.starts_with("--") {
            return VALUED.contains(&option);
        }
        // In `-iu` the last letter may take a value; behind a letter that does, the rest is the value.
        let letters = option.trim_start_matches('-');
        letters
            .find(|c| self.valued.contains(c))
            .is_some_and(|at| at + 1 == letters.len())
    }
}
