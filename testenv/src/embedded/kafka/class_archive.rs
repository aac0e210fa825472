//! Kafka's classes as Java has them in memory, read and checked: with them Kafka starts in little more than half the time.
//!
//! Java writes such an archive when a process ends that was told to (JEP 350), and reads it only if it is that very Java
//! with the very same jars (otherwise it starts without). So a Kafka that nobody uses is started for it, once for each
//! version of Java, and the archive is kept beside the jars.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Further, Listener, Node, reserve, system};
use crate::{
    embedded::{artefacts::Artefacts, children::Guard},
    environment::EnvironmentError,
};

/// Java looks through ten thousand classes before it ends.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);
const READ_WITHIN: Duration = Duration::from_secs(20);
const READING: &str = "kafka (reading the archive of its classes)";

/// Where the archive is, if there is one.
pub(super) struct ClassArchive(PathBuf);

impl ClassArchive {
    /// That of these jars and this Java.
    pub(super) fn of(artefacts: &Artefacts) -> Self {
        Self(artefacts.kafka_libs.with_file_name(format!("classes-{}.jsa", artefacts.java_version)))
    }

    /// What Java is told in order to use it; nothing where there is none.
    pub(super) fn used(&self) -> Vec<OsString> {
        let is_one = self.0.metadata().is_ok_and(|metadata| metadata.len() > 0);
        is_one.then(|| option("SharedArchiveFile", &self.0)).into_iter().collect()
    }
}

fn option(name: &str, file: &Path) -> OsString {
    let mut option = OsString::from(format!("-XX:{name}="));
    option.push(file);
    option
}

/// Starts Kafka and ends it, unless that was done before, so that Java keeps its classes; `executable` plays the guard's role,
/// and `tell` gets a line if it is done. Where nothing can be kept, nothing is done.
///
/// # Errors
/// When Kafka cannot be started.
pub async fn rehearse(
    executable: &Path,
    artefacts: &Artefacts,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<(), EnvironmentError> {
    let archive = ClassArchive::of(artefacts);
    let name = format!("assay-rehearsal-{}", std::process::id());
    let unfinished = archive.0.with_extension(&name);
    // A Java that writes none leaves it empty, and that is kept, too: it is not asked again.
    if archive.0.exists() || fs::write(&unfinished, "").is_err() {
        return Ok(());
    }
    tell("starting Kafka once for Java to keep its classes: from now on it starts quicker");
    let written = write(executable, artefacts, &std::env::temp_dir().join(name), &unfinished).await;
    let is_kept = matches!(written, Ok(true)) && fs::rename(&unfinished, &archive.0).is_ok();
    if !is_kept {
        // It is in nobody's way, and the next one has a name of its own.
        let _ = fs::remove_file(&unfinished);
    }
    if !is_kept && written.is_ok() {
        tell("the archive of Kafka's classes could not be kept: Kafka starts without it");
    }
    written.map(drop)
}

/// Has an archive made in `folder`, and copies it to `place` if Java then takes it for whole: a part of one would crash it.
/// Whether that was so; nothing is copied where Java writes none.
async fn write(
    executable: &Path,
    artefacts: &Artefacts,
    folder: &Path,
    place: &Path,
) -> Result<bool, EnvironmentError> {
    fs::create_dir_all(folder).map_err(|error| system("a folder for Kafka cannot be made", error))?;
    let guard = Guard::start(executable)?;
    guard.delete_at_end(folder)?;
    let node = Node { guard: &guard, artefacts, folder, log: folder.join("kafka.log") };
    let written = async {
        let archive = folder.join("classes.jsa");
        let port = reserve(None)?;
        let advertised = SocketAddr::from((Ipv4Addr::LOCALHOST, port.get()));
        let listeners = [Listener { name: "BROKER".into(), port: port.get(), advertised }];
        let options = [option("ArchiveClassesAtExit", &archive)];
        let component = node.start(&listeners, vec![port], &Further::default(), &options).await?;
        component.stop(WRITTEN_WITHIN).await?;
        if !archive.exists() {
            return Ok(true);
        }
        let options = ["-Xshare:on".into(), "-XX:+VerifySharedSpaces".into(), option("SharedArchiveFile", &archive)];
        let reads = guard.spawn(&node.java(READING, &options, &["-version"]))?.success(READ_WITHIN).await;
        Ok(reads.is_ok() && fs::copy(&archive, place).is_ok())
    };
    let written = written.await;
    guard.end().await;
    written
}
