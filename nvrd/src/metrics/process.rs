//! What the process takes of the machine, by the names that every exporter uses for it.

use std::fs;

use super::{Figures, Unit};

/// Ticks of a second in `/proc`, on every architecture that Linux runs on.
const TICKS: f64 = 100.0;

/// What `/proc` tells of this process; what it does not tell is left out.
pub(crate) fn process(figures: &mut Figures) {
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let (status, stat) = (text("/proc/self/status"), text("/proc/self/stat"));
    let mut one = |name, unit, help, value: Option<f64>| {
        figures.gauge(name, unit, help, value.map(|value| (Vec::new(), value)));
    };
    one(
        "process_resident_memory",
        Some(Unit::Bytes),
        "Memory that is really there.",
        kilobytes(&status, "VmRSS:"),
    );
    one(
        "process_virtual_memory",
        Some(Unit::Bytes),
        "Memory that is reserved.",
        kilobytes(&status, "VmSize:"),
    );
    one(
        "process_threads",
        None,
        "Threads.",
        after(&status, "Threads:"),
    );
    let open = fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64);
    one(
        "process_open_fds",
        None,
        "Open files and sockets.",
        open.ok(),
    );
    one(
        "process_max_fds",
        None,
        "Files and sockets that may be open.",
        after(&text("/proc/self/limits"), "Max open files"),
    );
    let booted = after(&text("/proc/stat"), "btime");
    let started = field(&stat, 22).zip(booted);
    one(
        "process_start_time",
        Some(Unit::Seconds),
        "When it began, seconds since 1970-01-01 UTC.",
        started.map(|(ticks, booted)| booted + ticks / TICKS),
    );
    let spent = field(&stat, 14).zip(field(&stat, 15));
    figures.counter(
        "process_cpu",
        Some(Unit::Seconds),
        "Time that processors worked for it.",
        spent.map(|(user, system)| (Vec::new(), (user + system) / TICKS)),
    );
}

/// The first number after a word at the beginning of a line.
fn after(text: &str, word: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, word: &str) -> Option<f64> {
    after(text, word).map(|kilobytes| kilobytes * 1024.0)
}

/// A field of `stat` by its number in proc(5); the second, the name, may hold anything.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        assert_eq!(kilobytes("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288.0));
        assert_eq!(after("a 1\nb 2\n", "b"), Some(2.0));
        assert_eq!(
            after("Max open files  1024  4096 files", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(after("Max open files  unlimited", "Max open files"), None);
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 14 15";
        assert_eq!((field(stat, 4), field(stat, 14)), (Some(1.0), Some(14.0)));
        assert_eq!(field("", 4), None);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let mut figures = Figures::default();
        process(&mut figures);
        let text = figures.write(Format::Text).unwrap();
        for name in [
            "process_resident_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_start_time_seconds",
            "process_cpu_seconds_total",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            let value: f64 = value.unwrap_or_default().parse().unwrap_or(-1.0);
            assert!(value >= 0.0, "{name} in\n{text}");
        }
    }
}
