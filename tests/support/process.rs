//! What a process takes of the machine, as the kernel counts it.

use std::fs;

/// Threads, open files and memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Threads.
    pub threads: usize,
    /// Open files and sockets.
    pub files: usize,
    /// Resident memory, KiB.
    pub memory_kib: u64,
    /// The most resident memory so far, KiB.
    pub peak_kib: u64,
}

/// The size of a process now.
pub fn size(pid: u32) -> Size {
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Size {
        threads: count("task"),
        files: count("fd"),
        memory_kib: kib("VmRSS:"),
        peak_kib: kib("VmHWM:"),
    }
}

/// Processor time of a process so far, user and system together, seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may hold spaces and parentheses; what follows does not.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel's unit for user space is a hundredth of a second on every machine we run on.
    ticks as f64 / 100.0
}
