//! A quota of processor time for child processes: a control group for each, where this process may make some.
//!
//! Version 1 of control groups: below this process's own group of the controller `cpu`, where root may make groups. Version 2: below
//! a group that hands `cpu` on to those below it, which is this process's own or the one above: a group with processes in it
//! hands nothing on (cgroups(7), "no internal processes"). Nobody else's group is changed. A role moves into its group by
//! itself ([`settings::confine`](crate::pipeline::settings::confine)), and the guard removes the group when everything is over.
//! Where the guard was killed too, the next run that makes groups there does: a group's name tells its [`Owner`], and those of
//! dead ones are removed. One that a live run has just made, and that nobody has joined yet, is not touched.
//!
//! A group gets no more than those above it: its quota is the least of them all, as far up as this process can see.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::containers::owner::Owner;

/// The time in which a quota is used up or not, as Docker has it, in microseconds.
const PERIOD: u64 = 100_000;

/// What control groups are called that Assay has made, before what they are for and the component.
const PREFIX: &str = "assay-";
/// What those of a run's components are called, before the rest of the run's name.
const OF_A_RUN: &str = "assay-run-";
/// What stands before the owner in a group's name.
const OWNED_BY: char = '@';

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
    /// What is above it has less itself.
    #[error("only {there} processors' time can be had below {}", folder.display())]
    TooLittle {
        /// Where.
        folder: PathBuf,
        /// So much there is.
        there: f64,
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

    /// How many processors' time a process in the group in `folder` gets at most: the least quota of it and the groups above
    /// it, of which those are seen that are within what is mounted.
    fn effective(&self, folder: &Path) -> Option<f64> {
        let visible = folder.ancestors().take_while(|folder| folder.starts_with(&self.mount));
        visible.filter_map(|folder| self.limit_of(folder)).reduce(f64::min)
    }

    /// The folder of the group of a process by its /proc/PID/cgroup, if it is one of a run's and not also that of this process,
    /// whose own is `own`: Assay may itself be run in a group of that name.
    fn given(&self, cgroup: &str, own: &str) -> Option<PathBuf> {
        let folder = self.folder(cgroup)?;
        let is_of_a_run = folder.file_name()?.to_str()?.starts_with(OF_A_RUN);
        (is_of_a_run && self.folder(own).as_ref() != Some(&folder)).then_some(folder)
    }

    /// The quota of the group in `folder` itself, in processors, if it has one.
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

    /// Removes the groups that dead owners have left here. One in which something still runs the system does not remove.
    pub(crate) fn sweep(&self) {
        // Who does not know where it is cannot know who is dead there.
        let Ok(here) = Owner::this() else { return };
        for group in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if owner_in(&group.file_name()).is_some_and(|owner| owner.is_dead(&here)) {
                let _ = fs::remove_dir(group.path());
            }
        }
    }

    /// The folder of the group of the component `name` of `run`, which need not be there yet. Where the system does not tell who
    /// this process is, it is nobody's, and only the guard removes it.
    pub(crate) fn group(&self, run: &str, name: &str) -> PathBuf {
        let owner = Owner::this().map(|owner| format!("{OWNED_BY}{}", owner.to_string().replace('/', "_")));
        self.folder.join(format!("{PREFIX}{run}-{name}{}", owner.unwrap_or_default()))
    }

    /// Makes `group`, a [`Self::group`], with so many processors' time; one that is there already is taken.
    ///
    /// # Errors
    /// When the system refuses, or what is above the group has less.
    pub(crate) fn make(&self, group: &Path, processors: f64) -> Result<(), NoQuota> {
        let there = self.hierarchy.effective(&self.folder);
        // Quotas are whole microseconds of a period.
        if let Some(there) = there.filter(|there| *there < processors - 1.0 / PERIOD as f64) {
            return Err(NoQuota::TooLittle { folder: self.folder.clone(), there });
        }
        let made = match fs::create_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        made.and_then(|()| self.hierarchy.limit(group, processors)).map_err(|source| {
            // What could not be limited is of no use; what is not there cannot be removed.
            let _ = fs::remove_dir(group);
            NoQuota::Refused { folder: self.folder.clone(), source }
        })
    }
}

/// The owner that a group's name tells, if it is one of Assay's and tells one.
fn owner_in(name: &OsStr) -> Option<Owner> {
    let (_, owner) = name.to_str()?.strip_prefix(PREFIX)?.rsplit_once(OWNED_BY)?;
    owner.replace('_', "/").parse().ok()
}

/// Whether child processes can be held to so many processors' time each, or less, here: one group is made for it, and removed.
///
/// # Errors
/// Why they cannot.
pub fn can_be_had(processors: f64) -> Result<(), NoQuota> {
    let quotas = Quotas::here()?;
    let group = quotas.group(&format!("probe-{}", std::process::id()), "probe");
    quotas.make(&group, processors)?;
    fs::remove_dir(&group).map_err(|source| NoQuota::Refused { folder: quotas.folder, source })
}

/// Of how many processors' time the process `pid` has a quota that Assay has given it: so much it gets at most.
pub(crate) fn of_process(pid: i32) -> Option<f64> {
    let read = |name: String| fs::read_to_string(format!("/proc/{name}")).ok();
    let hierarchy = Hierarchy::in_mounts(&read("self/mountinfo".into())?)?;
    let group = hierarchy.given(&read(format!("{pid}/cgroup"))?, &read("self/cgroup".into())?)?;
    hierarchy.effective(&group)
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

    /// Where groups can be made, as a folder of files.
    fn quotas(version: Version, mount: &Path, below: &str) -> Quotas {
        let hierarchy = Hierarchy { version, root: "/".into(), mount: mount.to_owned() };
        Quotas { hierarchy, folder: mount.join(below) }
    }

    #[test]
    fn a_quota_is_read_as_it_was_written() {
        for version in [Version::One, Version::Two] {
            let folder = tempfile::tempdir().unwrap();
            let quotas = quotas(version, folder.path(), "");
            let (hierarchy, group) = (&quotas.hierarchy, quotas.group("run-r1", "capture"));
            assert_eq!(hierarchy.limit_of(&group), None, "nothing is there");
            assert!(group.starts_with(folder.path()), "{}", group.display());
            let name = group.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with("assay-run-r1-capture@"), "{name}");
            for processors in [0.25, 0.01, 1.5] {
                quotas.make(&group, processors).unwrap();
                assert_eq!(hierarchy.limit_of(&group), Some(processors));
            }
            for (name, text) in [("cpu.max", "max 100000\n"), ("cpu.cfs_quota_us", "-1\n")] {
                fs::write(group.join(name), text).unwrap();
            }
            assert_eq!(hierarchy.limit_of(&group), None, "no limit");
        }
        let missing = quotas(Version::One, Path::new("/nonexistent"), "");
        let refused = missing.make(&missing.group("run-r1", "capture"), 1.0);
        assert!(refused.unwrap_err().to_string().contains("/nonexistent"));
    }

    #[test]
    fn a_group_gets_no_more_than_those_above_it() {
        for version in [Version::One, Version::Two] {
            let folder = tempfile::tempdir().unwrap();
            let limit = |below: &str, processors: f64| {
                let quotas = quotas(version, folder.path(), below);
                fs::create_dir_all(&quotas.folder).unwrap();
                quotas.hierarchy.limit(&quotas.folder, processors).unwrap();
            };
            limit("slice/session", 2.0);
            limit("slice", 0.5);
            let quotas = quotas(version, folder.path(), "slice/session");
            let group = quotas.group("run-r1", "capture");
            quotas.make(&group, 0.25).unwrap();
            assert_eq!(quotas.hierarchy.effective(&group), Some(0.25));
            quotas.make(&group, 0.5).unwrap();
            let refused = quotas.make(&group, 1.0).unwrap_err();
            assert!(refused.to_string().contains("only 0.5 processors' time"), "{refused}");
            assert_eq!(quotas.hierarchy.limit_of(&group), Some(0.5), "nothing was changed");
            limit("slice", 0.1);
            assert_eq!(quotas.hierarchy.effective(&group), Some(0.1), "whoever limits it later");
        }
    }

    #[test]
    fn a_group_is_given_that_is_called_so_and_that_this_process_is_not_in() {
        let two = Hierarchy::in_mounts(TWO).unwrap();
        let given = |of: &str, own: &str| two.given(&format!("0::/a/{of}\n"), &format!("0::/a/{own}\n"));
        let expected = Path::new("/sys/fs/cgroup/a/assay-run-r1-capture@m_1_2");
        assert_eq!(given("assay-run-r1-capture@m_1_2", "b").as_deref(), Some(expected));
        assert_eq!(given("assay-run-r1-capture@m_1_2", "assay-run-r2-capture@m_3_4").as_deref(), Some(expected));
        assert_eq!(given("assay-run-r1-capture@m_1_2", "assay-run-r1-capture@m_1_2"), None, "it was there before");
        for others in ["assay-nightly.service", "assay-ci", "b"] {
            assert_eq!(given(others, "b"), None, "{others}");
        }
    }

    #[test]
    fn only_what_dead_owners_have_left_and_nobody_uses_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let quotas = quotas(Version::Two, folder.path(), "");
        let live = quotas.group("run-r2", "capture").file_name().unwrap().to_str().unwrap().to_owned();
        // This process's id, and another beginning: who had it before.
        let (_, owner) = live.split_once('@').unwrap();
        let dead = format!("@{}_1", owner.rsplit_once('_').unwrap().0);
        let of = |owner: &str| format!("assay-run-r1-capture{owner}");
        let (left, probe, used) = (of(&dead), format!("assay-probe-probe{dead}"), format!("assay-run-r3-x{dead}"));
        let (nobodys, elsewhere, foreign) = (of(""), of("@elsewhere_1_1"), format!("session{dead}"));
        for group in [&left, &probe, &used, &live, &nobodys, &elsewhere, &foreign] {
            fs::create_dir(folder.path().join(group)).unwrap();
        }
        // A folder that is not empty cannot be removed, as a group with processes cannot.
        fs::write(folder.path().join(&used).join("cgroup.procs"), "7").unwrap();
        quotas.sweep();
        for gone in [&left, &probe] {
            assert!(!folder.path().join(gone).exists(), "{gone}");
        }
        for stays in [&used, &live, &nobodys, &elsewhere, &foreign] {
            assert!(folder.path().join(stays).exists(), "{stays}");
        }
    }
}
