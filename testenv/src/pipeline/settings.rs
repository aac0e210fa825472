//! Settings of the roles: environment variables, with PostHog's names where they exist.

use std::{io::Write, path::Path, process::ExitCode, str::FromStr};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A variable is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// It must be set.
    #[error("the environment variable {0} is missing")]
    Missing(&'static str),
    /// It cannot be read.
    #[error("the environment variable {name} cannot be read: {what}")]
    Wrong {
        /// Its name.
        name: &'static str,
        /// Why.
        what: String,
    },
}

/// The value of `name`.
///
/// # Errors
/// When it is not set.
pub fn required(name: &'static str) -> Result<String, SettingError> {
    std::env::var(name).map_err(|_| SettingError::Missing(name))
}

/// The value of `name`, or `default`.
///
/// # Errors
/// When it is set and cannot be read.
pub fn or<T: FromStr>(name: &'static str, default: T) -> Result<T, SettingError>
where
    T::Err: std::fmt::Display,
{
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|error: T::Err| SettingError::Wrong { name, what: error.to_string() }),
        Err(_) => Ok(default),
    }
}

/// The JSON value of `name`, or the default where it is not set.
///
/// # Errors
/// When it is no such JSON.
pub fn json<T: serde::de::DeserializeOwned + Default>(name: &'static str) -> Result<T, SettingError> {
    match std::env::var(name) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| SettingError::Wrong { name, what: error.to_string() }),
        Err(_) => Ok(T::default()),
    }
}

/// The variable that says on how many processors a role runs.
pub const PROCESSORS: &str = "ASSAY_PROCESSORS";

/// The variable that names the folder of the control group in which a role runs.
pub const CONTROL_GROUP: &str = "ASSAY_CONTROL_GROUP";

/// Has this process run in the control group that [`CONTROL_GROUP`] names, and on so many processors as [`PROCESSORS`] says, and
/// on no others: the last of those that it may use, so that all who are told the same share the same. Threads take it from who
/// starts them, so it comes before all others.
///
/// # Errors
/// When there are not so many, or the system refuses.
pub fn confine() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let group: String = or(CONTROL_GROUP, String::new())?;
    if !group.is_empty() {
        let joined = std::fs::write(Path::new(&group).join("cgroup.procs"), std::process::id().to_string());
        joined.map_err(|error| format!("the control group {group} cannot be joined: {error}"))?;
    }
    match or(PROCESSORS, 0)? {
        0 => Ok(()),
        wanted => confine_to(wanted),
    }
}

fn confine_to(wanted: usize) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let allowed = allowed()?;
    let too_few = || format!("{PROCESSORS} is {wanted}, and only {} may be used here", allowed.len());
    let mut own = CpuSet::new();
    for processor in last_of(&allowed, wanted).ok_or_else(too_few)? {
        own.set(*processor);
    }
    Ok(sched_setaffinity(None, &own)?)
}

/// The processors that this process may use, by their numbers.
///
/// # Errors
/// When the system does not say.
pub fn allowed() -> std::io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect())
}

/// Those of the `allowed` processors that `wanted` of them are, if there are so many: the last ones.
pub fn last_of(allowed: &[usize], wanted: usize) -> Option<&[usize]> {
    allowed.get(allowed.len().checked_sub(wanted)?..)
}

/// Says that the role can serve now.
///
/// # Errors
/// When nobody listens.
pub fn say_ready(port: u16) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ready {port}")?;
    stdout.flush()
}

/// Writes a line to the role's log.
pub fn log(line: &str) {
    // Without a log there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Ends the role `name` with `result`.
pub fn end(name: &str, result: Result<(), Box<dyn std::error::Error + Send + Sync>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("assay serve {name}: {error}"));
            ExitCode::from(69)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_those_that_it_starts_share_the_last_processors() {
        let confined = std::thread::spawn(|| {
            confine_to(1).unwrap();
            std::thread::spawn(|| sched_getaffinity(None).unwrap()).join().unwrap()
        });
        let (own, all) = (confined.join().unwrap(), sched_getaffinity(None).unwrap());
        let last = (0..CpuSet::MAX_CPU).rev().find(|processor| all.is_set(*processor));
        assert_eq!((own.count(), last.map(|last| own.is_set(last))), (1, Some(true)));
        let error = std::thread::spawn(|| confine_to(CpuSet::MAX_CPU + 1).unwrap_err().to_string()).join().unwrap();
        assert!(error.starts_with("ASSAY_PROCESSORS is "), "{error}");
    }
}
