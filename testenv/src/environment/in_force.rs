//! The limits that a component is held to, as the kernel and the Docker daemon say, and not as somebody wished.

use std::{fmt, fs};

use testcontainers::bollard::models::HostConfig;

use super::budget::Share;
use crate::embedded::quota;

/// The limits in force on a component; none is where nothing limits it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InForce {
    /// The processors that it runs on and no others, as the kernel lists them: `1`, `0-2,6`.
    pub only_on: Option<String>,
    /// Processor time, in processors.
    pub processors: Option<f64>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
}

impl InForce {
    /// Those of a container, by what the daemon holds it to.
    pub(crate) fn of_container(host: &HostConfig) -> Self {
        Self {
            only_on: host.cpuset_cpus.clone().filter(|processors| !processors.is_empty()),
            processors: host.nano_cpus.filter(|time| *time > 0).map(|time| time as f64 / 1e9),
            // Where the kernel does not count swap, the daemon limits memory alone, and who needs more goes on beside it.
            memory: host
                .memory
                .filter(|memory| host.memory_swap == Some(*memory))
                .and_then(|memory| u64::try_from(memory).ok())
                .filter(|memory| *memory > 0),
        }
    }

    /// Those of the process `pid`, by proc(5): the processors that it may use, where they are not those of this process, and the
    /// quota of the control group that was made for it.
    pub(crate) fn of_process(pid: i32) -> Self {
        let may_use = |process: &str| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            allowed_in(&status).map(str::to_owned)
        };
        let here = may_use("self");
        Self {
            only_on: may_use(&pid.to_string()).filter(|own| Some(own) != here.as_ref()),
            processors: quota::of_process(pid),
            ..Self::default()
        }
    }

    /// What a container of `share` must be held to.
    pub(crate) fn wanted(share: &Share) -> Self {
        Self {
            only_on: Some(list(&share.only_on)).filter(|processors| !processors.is_empty()),
            processors: share.limits.processors,
            memory: share.limits.memory,
        }
    }

    /// Whether it holds a component to what is `wanted`. Processor time is counted in billionths.
    pub(crate) fn holds(&self, wanted: &Self) -> bool {
        let is_as_told = |told: f64| self.processors.is_some_and(|own| (own - told).abs() < 1e-6);
        wanted.only_on.as_ref().is_none_or(|told| self.only_on.as_ref() == Some(told))
            && wanted.processors.is_none_or(is_as_told)
            && wanted.memory.is_none_or(|told| self.memory == Some(told))
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.only_on.as_ref().map(|processors| format!("processors {processors} alone")),
            self.processors.map(|processors| format!("{processors} processors' time")),
            self.memory.map(|memory| format!("{} MiB", memory >> 20)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "no limit" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Processors as Docker and the kernel list them.
pub(crate) fn list(processors: &[usize]) -> String {
    processors.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Reads `Cpus_allowed_list` of /proc/PID/status.
fn allowed_in(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::container::Limits;

    #[test]
    fn what_the_daemon_has_dropped_is_seen() {
        let share = Share { limits: Limits { processors: Some(0.5), memory: Some(64 << 20) }, only_on: vec![1, 2] };
        let wanted = InForce::wanted(&share);
        let host = HostConfig {
            cpuset_cpus: Some("1,2".into()),
            nano_cpus: Some(500_000_000),
            memory: Some(64 << 20),
            memory_swap: Some(64 << 20),
            ..HostConfig::default()
        };
        assert!(InForce::of_container(&host).holds(&wanted));
        for dropped in [
            HostConfig { memory: Some(0), ..host.clone() },
            // As much swap as there is.
            HostConfig { memory_swap: Some(-1), ..host.clone() },
            HostConfig { nano_cpus: None, ..host.clone() },
            HostConfig { cpuset_cpus: Some(String::new()), ..host.clone() },
        ] {
            assert!(!InForce::of_container(&dropped).holds(&wanted), "{dropped:?}");
        }
        assert_eq!(wanted.to_string(), "processors 1,2 alone, 0.5 processors' time, 64 MiB");
        assert_eq!(InForce::of_container(&HostConfig::default()).to_string(), "no limit");
        assert!(InForce::default().holds(&InForce::wanted(&Share::default())));
    }

    #[test]
    fn a_process_that_may_use_what_this_one_may_is_not_limited() {
        assert_eq!(allowed_in("Name:\tx\nCpus_allowed:\t2\nCpus_allowed_list:\t1\n"), Some("1"));
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(InForce::of_process(own), InForce::default());
    }
}
