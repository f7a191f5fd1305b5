//! What the kernel knows about a process and the machine, read from `/proc`.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bytes in the unit of `/proc`, which calls it kB.
const KIB: f64 = 1_024.0;
const MB: f64 = 1_000_000.0;

/// Memory of a process, in MB.
pub(crate) fn rss_mb(pid: u32) -> f64 {
    field(&read(pid, "status"), "VmRSS:") * KIB / MB
}

/// Largest memory of a process since it began or since [`reset_peak`], in MB; `None` if it is gone.
pub(crate) fn peak_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * KIB / MB)
}

/// Makes the peak start again from now.
pub(crate) fn reset_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// Memory of a process with shared pages counted in part, in MB.
pub(crate) fn pss_mb(pid: u32) -> f64 {
    field(&read(pid, "smaps_rollup"), "Pss:") * KIB / MB
}

/// Number of threads.
pub(crate) fn threads(pid: u32) -> f64 {
    field(&read(pid, "status"), "Threads:")
}

/// Context switches of all threads so far.
pub(crate) fn context_switches(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
        .map(|status| {
            field(&status, "voluntary_ctxt_switches:")
                + field(&status, "nonvoluntary_ctxt_switches:")
        })
        .sum()
}

/// CPU time of a process so far, in ms. The kernel counts it in steps of 10 ms.
pub(crate) fn cpu_ms(pid: u32) -> f64 {
    let stat = read(pid, "stat");
    // The name in parentheses may hold blanks; the state is the first word behind it.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| words[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 1_000.0 / rustix::param::clock_ticks_per_second() as f64
}

fn read(pid: u32, page: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{page}")).unwrap()
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Lets this process and its children have as many open files as the machine allows.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("bench: the limit of open files stays as it is: {error}");
    }
}

/// Describes the machine in a line.
pub(crate) fn machine() -> String {
    let page = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = page("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = page("/proc/sys/kernel/osrelease");
    let memory = field(&page("/proc/meminfo"), "MemTotal:") * KIB / 1e9;
    let load = page("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?");
    format!(
        "{cores} × {model}, {memory:.0} GB, Linux {}, load {load} at the start",
        kernel.trim()
    )
}
