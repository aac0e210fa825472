//! What a process has used of the machine, by proc(5).

use std::{fs, time::Duration};

/// Processor time and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time on processors, in user mode and in the kernel.
    pub cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub peak_memory: u64,
}

impl Usage {
    /// What the process `pid` has used so far; nothing if it is gone.
    pub fn of(pid: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        Self { cpu: cpu(&read("stat")), peak_memory: peak_memory(&read("status")) }
    }

    /// Together with what the same component has used in an earlier life.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, peak_memory: self.peak_memory.max(other.peak_memory) }
    }
}

/// Reads /proc/PID/stat: the second field, a name in brackets, may hold anything; `utime` is the 14th, `stime` the 15th.
fn cpu(stat: &str) -> Duration {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64)
}

/// Reads `VmHWM` of /proc/PID/status, which is in KiB.
fn peak_memory(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let stat = "12 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 100";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert!((cpu(stat).as_secs_f64() - 300.0 / ticks).abs() < 1e-9);
        assert_eq!(peak_memory("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 5 kB\n"), 2 << 20);
        assert_eq!((cpu(""), peak_memory("")), (Duration::ZERO, 0));
    }

    #[test]
    fn what_this_process_uses_grows() {
        let before = Usage::of(std::process::id());
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < Duration::from_millis(300) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let after = Usage::of(std::process::id());
        assert!(after.cpu > before.cpu && after.peak_memory >= 1 << 20, "{before:?} {after:?} {sum}");
        assert_eq!(Usage::of(u32::MAX), Usage::default());
        assert_eq!(before.and(after).cpu, before.cpu + after.cpu);
    }
}
