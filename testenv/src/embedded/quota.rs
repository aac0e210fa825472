//! A quota of processor time for child processes: a control group for each, where this process may make some.
//!
//! Version 1 of control groups: below this process's own group of the controller `cpu`, where root may make groups. Version 2: below
//! a group that hands `cpu` on to those below it, which is this process's own or the one above: a group with processes in it
//! hands nothing on (cgroups(7), "no internal processes"). Nobody else's group is changed. A role moves into its group by
//! itself ([`settings::confine`](crate::pipeline::settings::confine)), and the guard removes the group when everything is over.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The time in which a quota is used up or not, as Docker has it, in microseconds.
const PERIOD: u64 = 100_000;

/// What control groups are called that Assay has made, before the run and the component.
const PREFIX: &str = "assay-";

/// Why there are no quotas for child processes here.
#[derive(Debug, thiserror::Error)]
pub enum NoQuota {
    /// No group was found below which one can be made.
    #[error("no control group hands processor time on to groups that could be made here")]
    NoPlace,
    /// The system refuses to make one.
    #[error("no control group can be made in {}", folder.display())]
    Refused {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a group says its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A mounted hierarchy of control groups that may limit processor time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    /// The group that is mounted.
    root: String,
    /// Where.
    mount: PathBuf,
}

impl Hierarchy {
    /// The hierarchy of the controller `cpu`, by /proc/PID/mountinfo (proc(5)): that of version 1, or where there is none, of 2.
    fn in_mounts(mountinfo: &str) -> Option<Self> {
        let of = |line: &str| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let (mut mount, mut filesystem) = (mount.split(' '), filesystem.split(' '));
            let (root, mount) = (mount.nth(3)?.to_owned(), PathBuf::from(mount.next()?));
            let version = match (filesystem.next()?, filesystem.nth(1)?) {
                ("cgroup", options) if options.split(',').any(|option| option == "cpu") => Version::One,
                ("cgroup2", _) => Version::Two,
                _ => return None,
            };
            Some(Self { version, root, mount })
        };
        let (mut one, mut two) = (None, None);
        for hierarchy in mountinfo.lines().filter_map(of) {
            match hierarchy.version {
                Version::One => one = one.or(Some(hierarchy)),
                Version::Two => two = two.or(Some(hierarchy)),
            }
        }
        one.or(two)
    }

    /// The folder of the group that /proc/PID/cgroup tells of, where it is within what is mounted.
    fn folder(&self, cgroup: &str) -> Option<PathBuf> {
        let path = cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let is_it = match self.version {
                Version::One => controllers.split(',').any(|controller| controller == "cpu"),
                Version::Two => controllers.is_empty(),
            };
            is_it.then_some(path)
        })?;
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        Some(self.mount.join(below))
    }

    /// The group below which groups with a quota can be made, of those of a process in `folder`.
    fn place(&self, folder: &Path) -> Option<PathBuf> {
        let hands_on = |folder: &&Path| {
            let handed_on = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
            handed_on.split_whitespace().any(|controller| controller == "cpu")
        };
        match self.version {
            Version::One => Some(folder.to_owned()),
            Version::Two => {
                let mut near = folder.ancestors().take(2).filter(|folder| folder.starts_with(&self.mount));
                near.find(hands_on).map(Path::to_path_buf)
            }
        }
    }

    /// Gives the group in `folder` so many processors' time.
    fn limit(&self, folder: &Path, processors: f64) -> io::Result<()> {
        let quota = (processors * PERIOD as f64).round() as u64;
        match self.version {
            Version::One => {
                fs::write(folder.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())
            }
            Version::Two => fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD}")),
        }
    }

    /// The quota of the group in `folder`, in processors, if it has one.
    fn limit_of(&self, folder: &Path) -> Option<f64> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let (quota, period) = match self.version {
            Version::One => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
            Version::Two => {
                let both = read("cpu.max")?;
                let (quota, period) = both.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
        };
        // Without a limit it is -1, or `max`.
        let (quota, period) = (quota.trim().parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
        (period > 0).then(|| quota as f64 / period as f64)
    }
}

/// Where this process can make groups with a quota.
#[derive(Debug, Clone)]
pub(crate) struct Quotas {
    hierarchy: Hierarchy,
    folder: PathBuf,
}

impl Quotas {
    /// Those of this process.
    ///
    /// # Errors
    /// When there is no place for groups.
    pub(crate) fn here() -> Result<Self, NoQuota> {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let hierarchy = Hierarchy::in_mounts(&read("mountinfo")).ok_or(NoQuota::NoPlace)?;
        let own = hierarchy.folder(&read("cgroup")).ok_or(NoQuota::NoPlace)?;
        let folder = hierarchy.place(&own).ok_or(NoQuota::NoPlace)?;
        Ok(Self { hierarchy, folder })
    }

    /// Makes the group of the component `name` of `run` with so many processors' time; one that is there already is taken.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn make(&self, run: &str, name: &str, processors: f64) -> Result<PathBuf, NoQuota> {
        let folder = self.folder.join(format!("{PREFIX}{run}-{name}"));
        let made = match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        match made.and_then(|()| self.hierarchy.limit(&folder, processors)) {
            Ok(()) => Ok(folder),
            Err(source) => {
                // What could not be limited is of no use; what is not there cannot be removed.
                let _ = fs::remove_dir(&folder);
                Err(NoQuota::Refused { folder: self.folder.clone(), source })
            }
        }
    }
}

/// Whether child processes can be held to a share of a processor's time here: one group is made for it, and removed.
///
/// # Errors
/// Why they cannot.
pub fn can_be_had() -> Result<(), NoQuota> {
    let quotas = Quotas::here()?;
    let group = quotas.make(&format!("probe-{}", std::process::id()), "probe", 1.0)?;
    fs::remove_dir(&group).map_err(|source| NoQuota::Refused { folder: quotas.folder, source })
}

/// Of how many processors' time the process `pid` has a quota that Assay has given it.
pub(crate) fn of_process(pid: i32) -> Option<f64> {
    let hierarchy = Hierarchy::in_mounts(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let folder = hierarchy.folder(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)?;
    let is_ours = folder.file_name()?.to_str()?.starts_with(PREFIX);
    if is_ours { hierarchy.limit_of(&folder) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                        33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n\
                        40 31 0:40 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
                        32 31 0:29 /docker/a /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n";
    const TWO: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_group_of_a_process_is_found_in_the_hierarchy_that_limits_processor_time() {
        let one = Hierarchy::in_mounts(BOTH).unwrap();
        let expected =
            Hierarchy { version: Version::One, root: "/docker/a".into(), mount: "/sys/fs/cgroup/cpu".into() };
        assert_eq!(one, expected);
        let groups = "9:name=systemd:/x\n2:cpuacct:/y\n1:cpu:/docker/a/b\n0::/z\n";
        assert_eq!(one.folder(groups).as_deref(), Some(Path::new("/sys/fs/cgroup/cpu/b")));
        assert_eq!(one.folder("1:cpu:/elsewhere\n"), None, "outside of what is mounted");
        assert_eq!(one.folder("3:cpu,cpuacct:/docker/a\n").as_deref(), Some(Path::new("/sys/fs/cgroup/cpu")));
        let two = Hierarchy::in_mounts(TWO).unwrap();
        assert_eq!(two.folder(groups).as_deref(), Some(Path::new("/sys/fs/cgroup/z")));
        assert_eq!(Hierarchy::in_mounts("31 23 0:28 / /tmp rw - tmpfs tmpfs rw\nnonsense\n"), None);
    }

    /// A hierarchy of version 2 as files in a folder: `session/own`, of which `session` hands `cpu` on.
    fn made(handed_on: &str) -> (tempfile::TempDir, Hierarchy, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("session/own");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.subtree_control"), "").unwrap();
        fs::write(folder.path().join("session/cgroup.subtree_control"), handed_on).unwrap();
        fs::write(folder.path().join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        let hierarchy = Hierarchy { version: Version::Two, root: "/".into(), mount: folder.path().to_owned() };
        (folder, hierarchy, own)
    }

    #[test]
    fn groups_are_made_where_processor_time_is_handed_on_and_no_further_up() {
        let (folder, hierarchy, own) = made("cpu memory\n");
        assert_eq!(hierarchy.place(&own), Some(folder.path().join("session")));
        let (_folder, hierarchy, own) = made("cpuset memory\n");
        assert_eq!(hierarchy.place(&own), None, "what is two groups up is somebody else's");
        let one = Hierarchy { version: Version::One, ..hierarchy };
        assert_eq!(one.place(&own), Some(own));
    }

    #[test]
    fn a_quota_is_read_as_it_was_written() {
        for version in [Version::One, Version::Two] {
            let folder = tempfile::tempdir().unwrap();
            let hierarchy = Hierarchy { version, root: "/".into(), mount: folder.path().to_owned() };
            assert_eq!(hierarchy.limit_of(folder.path()), None, "nothing is there");
            let quotas = Quotas { hierarchy: hierarchy.clone(), folder: folder.path().to_owned() };
            for processors in [0.25, 0.01, 1.5] {
                let group = quotas.make("r1", "capture", processors).unwrap();
                assert_eq!(group, folder.path().join("assay-r1-capture"));
                assert_eq!(hierarchy.limit_of(&group), Some(processors));
            }
            let group = quotas.make("r1", "capture", 1.0).unwrap();
            for (name, text) in [("cpu.max", "max 100000\n"), ("cpu.cfs_quota_us", "-1\n")] {
                fs::write(group.join(name), text).unwrap();
            }
            assert_eq!(hierarchy.limit_of(&group), None, "no limit");
        }
        let missing = PathBuf::from("/nonexistent");
        let hierarchy = Hierarchy { version: Version::One, root: "/".into(), mount: missing.clone() };
        let refused = Quotas { hierarchy, folder: missing }.make("r1", "capture", 1.0);
        assert!(refused.unwrap_err().to_string().contains("/nonexistent"));
    }
}
