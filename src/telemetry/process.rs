//! `process_*`: what the operating system says of this process. Linux only;
//! elsewhere the list is empty.

use super::families::{counter, gauge};
use prometheus::proto::MetricFamily;
use std::fs;

/// Ticks a second in `/proc`: fixed by Linux's interface to programs.
const TICKS: f64 = 100.0;

/// Reads `/proc`. Blocks, if only as long as the kernel takes.
#[must_use]
pub fn collect() -> Vec<MetricFamily> {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Memory in use.",
            kilobytes(&status, "VmRSS:"),
        ),
        (
            "process_virtual_memory_bytes",
            "Address space in use.",
            kilobytes(&status, "VmSize:"),
        ),
        (
            "process_threads",
            "Threads of the process.",
            field(&status, "Threads:"),
        ),
        ("process_open_fds", "Open file descriptors.", open_files()),
        (
            "process_max_fds",
            "File descriptors that may be open.",
            max_files(&limits),
        ),
        (
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            started(&stat, &machine),
        ),
    ];
    let cpu = "process_cpu_seconds_total";
    let cpu = cpu_seconds(&stat)
        .map(|value| counter(cpu, "Processor time used, user and system.", value));
    let gauges = gauges
        .into_iter()
        .filter_map(|(name, help, value)| value.map(|value| gauge(name, help, value)));
    cpu.into_iter().chain(gauges).collect()
}

/// The `index`-th field of `/proc/self/stat`, counted from 1 as in proc(5).
fn stat_field(stat: &str, index: usize) -> Option<f64> {
    // The second field is the program's name in parentheses and may hold anything.
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(index - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS)
}

fn started(stat: &str, machine: &str) -> Option<f64> {
    Some(field(machine, "btime")? + stat_field(stat, 22)? / TICKS)
}

/// The first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kilobytes(status: &str, name: &str) -> Option<f64> {
    field(status, name).map(|kilobytes| kilobytes * 1024.0)
}

fn max_files(limits: &str) -> Option<f64> {
    field(limits, "Max open files")
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, started};

    #[test]
    fn a_name_with_parentheses_and_spaces_moves_no_field() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1000 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(
            started(stat, "cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_010.0)
        );
        assert_eq!(cpu_seconds(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn everything_is_found_on_linux() {
        assert_eq!(super::collect().len(), 7);
    }
}
