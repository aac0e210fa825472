//! Kafka and the ClickHouse engine, fetched once with the user's own `mvn` and `npm`.
//!
//! Versions and digests are pinned in `testenv/artefacts/`: a sha256 list for the jars (Maven itself checks none), and an
//! npm lock file with `integrity`. Both are unpacked beside their place and renamed into it, so that what is there is
//! whole; what is unfinished starts again. A lock makes parallel runs prepare once. Once prepared, neither tool nor
//! network is needed; only Java is.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use sha2::{Digest, Sha256};

/// The version of Apache Kafka.
pub const KAFKA_VERSION: &str = "4.4.0";
/// The version of the ClickHouse engine's package.
pub const CLICKHOUSE_PACKAGE_VERSION: &str = "26.5.3";
const UNFINISHED: &str = ".unfinished";
const MAVEN_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/// The oldest Java that this Kafka runs on.
const JAVA_VERSION: u32 = 17;

const POM: &str = include_str!("../../artefacts/kafka/pom.xml");
const SHA256SUMS: &str = include_str!("../../artefacts/kafka/sha256sums");
const PACKAGE: &str = include_str!("../../artefacts/clickhouse/package.json");
const PACKAGE_LOCK: &str = include_str!("../../artefacts/clickhouse/package-lock.json");
const LIBRARY: &str = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// What the embedded environment is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefacts {
    /// The Java executable.
    pub java: PathBuf,
    /// Its version, as it says it: `17.0.15`.
    pub java_version: String,
    /// The folder of Kafka's jars.
    pub kafka_libs: PathBuf,
    /// The ClickHouse engine.
    pub clickhouse_library: PathBuf,
}

/// The parts could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A program is missing.
    #[error("`{tool}` is not there, and {purpose}")]
    NoTool {
        /// The program.
        tool: &'static str,
        /// What it is needed for.
        purpose: &'static str,
        /// How to get it.
        help: &'static str,
    },
    /// Java is there, but too old or silent about its version.
    #[error("`{java}` is {found}, and Kafka {KAFKA_VERSION} needs Java {JAVA_VERSION} or newer")]
    OldJava {
        /// The executable.
        java: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// There is no engine for this platform.
    #[error("there is no embedded ClickHouse for {0}: it is there for x86-64 Linux with glibc only")]
    Platform(String),
    /// A download failed.
    #[error("`{tool}` could not fetch {what}:\n{output}")]
    Fetch {
        /// The program.
        tool: &'static str,
        /// What was to be fetched.
        what: String,
        /// The last lines of what the program said.
        output: String,
    },
    /// What came is not what was asked for.
    #[error("{file} is not the file that was asked for: its sha256 is {found}, expected {expected}")]
    Digest {
        /// The file.
        file: String,
        /// The pinned digest, or "no such file".
        expected: String,
        /// The digest of what came, or "missing".
        found: String,
    },
    /// The cache folder cannot be used.
    #[error("the cache folder {path} cannot be used")]
    Cache {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PrepareError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::NoTool { help, .. } => (*help).to_owned(),
            Self::OldJava { .. } => "install Java 17 or newer, or set JAVA_HOME to one".into(),
            Self::Platform(_) => "run on x86-64 Linux".into(),
            Self::Fetch { tool, .. } => format!(
                "see whether the network and `{tool}`'s settings (mirror, proxy) are right, then try again: what is \
                 finished is kept"
            ),
            Self::Digest { .. } => {
                "nothing was kept. See which mirror answered; if it serves other files on purpose, do not use it".into()
            }
            Self::Cache { .. } => {
                "make room on the disk (1 GB is enough), or name another folder in ASSAY_CACHE".into()
            }
        }
    }
}

/// Where things are looked for and kept; the tests use others than the user's.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder that things are kept in.
    pub cache: PathBuf,
    /// The folders that programs are looked for in, as in `PATH`.
    pub path: std::ffi::OsString,
    /// The home of Java, if it is named.
    pub java_home: Option<PathBuf>,
}

impl Places {
    /// The user's: `ASSAY_CACHE`, or `assay` in `XDG_CACHE_HOME` or `~/.cache`; `PATH`; `JAVA_HOME`.
    pub fn of_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("ASSAY_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("assay")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/assay")))
            .unwrap_or_else(|| std::env::temp_dir().join("assay-cache"));
        Self { cache, path: std::env::var_os("PATH").unwrap_or_default(), java_home: folder("JAVA_HOME") }
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path).map(|folder| folder.join(program)).find(|path| is_executable(path))
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Makes sure that everything is there, and says where. `progress` gets a line for whatever takes a while.
///
/// # Errors
/// When a tool is missing, a download fails or is not what was pinned, or the cache cannot be written.
pub fn prepare(places: &Places, progress: &dyn Fn(&str)) -> Result<Artefacts, PrepareError> {
    let (java, java_version) = find_java(places)?;
    let kafka = places.cache.join(format!("kafka-{KAFKA_VERSION}"));
    let clickhouse = places.cache.join(format!("clickhouse-{CLICKHOUSE_PACKAGE_VERSION}"));
    let (kafka_libs, clickhouse_library) = (kafka.join("libs"), clickhouse.join(LIBRARY));
    let artefacts = Artefacts { java, java_version, kafka_libs, clickhouse_library };
    if kafka.is_dir() && clickhouse.is_dir() {
        return Ok(artefacts);
    }
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))) {
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        return Err(PrepareError::Platform(platform));
    }
    let cache = |source| PrepareError::Cache { path: places.cache.clone(), source };
    fs::create_dir_all(&places.cache).map_err(cache)?;
    // Held until it is closed, also when this process dies.
    let lock = File::create(places.cache.join("prepare.lock")).map_err(cache)?;
    if lock.try_lock().is_err() {
        progress("waiting for another run that prepares the environment");
        lock.lock().map_err(cache)?;
    }
    if !kafka.is_dir() {
        install(&kafka, |folder| fetch_kafka(places, folder, progress))?;
    }
    if !clickhouse.is_dir() {
        install(&clickhouse, |folder| fetch_clickhouse(places, folder, progress))?;
    }
    Ok(artefacts)
}

/// Fills a folder beside `place`, and puts it there once it is whole.
fn install(place: &Path, fill: impl FnOnce(&Path) -> Result<(), PrepareError>) -> Result<(), PrepareError> {
    let cache = |source| PrepareError::Cache { path: place.to_owned(), source };
    let beside = |suffix: &str| {
        let mut path = place.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let stale = beside(UNFINISHED);
    for entry in stale.parent().into_iter().flat_map(fs::read_dir).flatten().flatten() {
        let same = stale.file_name().is_some_and(|name| entry.file_name().as_bytes().starts_with(name.as_bytes()));
        if same {
            fs::remove_dir_all(entry.path()).map_err(cache)?;
        }
    }
    // A tool that outlived an `assay` that was killed may still be writing: into a folder of its own, not into ours.
    let unfinished = beside(&format!("{UNFINISHED}-{}", std::process::id()));
    fs::create_dir_all(&unfinished).map_err(cache)?;
    if let Err(error) = fill(&unfinished) {
        // What is left of it would be removed by the next attempt anyway.
        let _ = fs::remove_dir_all(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, place).map_err(cache)
}

/// The Java executable and its version.
fn find_java(places: &Places) -> Result<(PathBuf, String), PrepareError> {
    let named = places.java_home.as_ref().map(|home| home.join("bin/java")).filter(|java| is_executable(java));
    let java = named.or_else(|| places.find("java")).ok_or(PrepareError::NoTool {
        tool: "java",
        purpose: "the embedded Kafka runs on it",
        help: "install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME",
    })?;
    let found = match Command::new(&java).arg("-version").stdin(Stdio::null()).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            said.lines().find(|line| line.contains("version")).unwrap_or("silent about its version").to_owned()
        }
        Err(error) => format!("not to be started ({error})"),
    };
    match java_version(&found) {
        Some((major, version)) if major >= JAVA_VERSION => Ok((java, version)),
        _ => Err(PrepareError::OldJava { java, found }),
    }
}

/// `openjdk version "17.0.15" 2025-04-15` → 17 and `17.0.15`; `java version "1.8.0"` → 1 and `1.8.0`.
fn java_version(line: &str) -> Option<(u32, String)> {
    let quoted = line.split('"').nth(1)?;
    let major = quoted.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    // It becomes part of a file's name.
    Some((major, quoted.chars().filter(|c| c.is_ascii_alphanumeric() || ".+-_".contains(*c)).collect()))
}

fn fetch_kafka(places: &Places, folder: &Path, progress: &dyn Fn(&str)) -> Result<(), PrepareError> {
    let maven = places.find("mvn").ok_or(PrepareError::NoTool {
        tool: "mvn",
        purpose: "Kafka is fetched with it, once",
        help: "install Maven (Debian: apt-get install maven); after `assay env prepare` it is not needed any more",
    })?;
    write(&folder.join("pom.xml"), POM)?;
    let libs = folder.join("libs");
    let mut command = Command::new(maven);
    command.args(["--batch-mode", "--no-transfer-progress", MAVEN_PLUGIN, "-DincludeScope=runtime"]);
    command.arg(format!("-DoutputDirectory={}", libs.display())).current_dir(folder).env("PATH", &places.path);
    run(command, "mvn", &format!("Apache Kafka {KAFKA_VERSION} (43 MB)"), &libs, progress)?;
    progress("checking the digests of Kafka's jars");
    check_digests(&libs, SHA256SUMS)
}

fn fetch_clickhouse(places: &Places, folder: &Path, progress: &dyn Fn(&str)) -> Result<(), PrepareError> {
    let npm = places.find("npm").ok_or(PrepareError::NoTool {
        tool: "npm",
        purpose: "the ClickHouse engine is fetched with it, once",
        help: "install npm (Debian: apt-get install npm); after `assay env prepare` it is not needed any more",
    })?;
    write(&folder.join("package.json"), PACKAGE)?;
    write(&folder.join("package-lock.json"), PACKAGE_LOCK)?;
    let mut command = Command::new(npm);
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    command.current_dir(folder).env("PATH", &places.path);
    let what = format!("the ClickHouse engine {CLICKHOUSE_PACKAGE_VERSION} (559 MB unpacked)");
    run(command, "npm", &what, folder, progress)?;
    if folder.join(LIBRARY).is_file() {
        Ok(())
    } else {
        let (file, expected) = (LIBRARY.to_owned(), "no such file in the package".to_owned());
        Err(PrepareError::Digest { file, expected, found: "missing".into() })
    }
}

fn write(path: &Path, text: &str) -> Result<(), PrepareError> {
    fs::write(path, text).map_err(|source| PrepareError::Cache { path: path.to_owned(), source })
}

/// How Maven and npm say that the disk is full.
const DISK_FULL: [&str; 2] = ["No space left on device", "ENOSPC"];

/// Runs `command`, telling every few seconds how much of `target` has come.
fn run(
    mut command: Command,
    tool: &'static str,
    what: &str,
    target: &Path,
    progress: &dyn Fn(&str),
) -> Result<(), PrepareError> {
    progress(&format!("fetching {what} with {tool}"));
    let failed = |output: String| PrepareError::Fetch { tool, what: what.to_owned(), output };
    let (mut reader, writer) = io::pipe().map_err(|error| failed(error.to_string()))?;
    let errors = writer.try_clone().map_err(|error| failed(error.to_string()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    // The command holds the pipe's other ends until it is dropped.
    drop(command);
    let output = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read is told; a broken pipe ends it.
        let _ = reader.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut waited = 0;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => (),
            Err(error) => return Err(failed(error.to_string())),
        }
        std::thread::sleep(Duration::from_millis(100));
        waited += 1;
        if waited % 30 == 0 {
            // Maven fills its own repository first, so there may be nothing to be seen for a while.
            let come = match size_of(target) / 1_000_000 {
                0 => String::new(),
                megabytes => format!("{megabytes} MB so far, "),
            };
            progress(&format!("fetching {what}: {come}{} s", waited / 10));
        }
    };
    let output = output.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    if DISK_FULL.iter().any(|text| output.contains(text)) {
        return Err(PrepareError::Cache { path: target.to_owned(), source: io::ErrorKind::StorageFull.into() });
    }
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    Err(failed(lines[lines.len().saturating_sub(12)..].join("\n")))
}

/// How many bytes the files below `folder` hold.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Checks that `folder` holds exactly the files of `list` (`sha256  name` lines), each with its digest.
fn check_digests(folder: &Path, list: &str) -> Result<(), PrepareError> {
    let cache = |source| PrepareError::Cache { path: folder.to_owned(), source };
    let mut expected: BTreeMap<&OsStr, &str> = list
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| (OsStr::new(name.trim()), digest))
        .collect();
    for entry in fs::read_dir(folder).map_err(cache)? {
        let entry = entry.map_err(cache)?;
        let found = sha256(&entry.path()).map_err(cache)?;
        let wanted = expected.remove(entry.file_name().as_os_str()).unwrap_or("no such file");
        if wanted != found {
            let file = entry.file_name().to_string_lossy().into_owned();
            return Err(PrepareError::Digest { file, expected: wanted.to_owned(), found });
        }
    }
    match expected.into_iter().next() {
        None => Ok(()),
        Some((name, digest)) => Err(PrepareError::Digest {
            file: name.to_string_lossy().into_owned(),
            expected: digest.to_owned(),
            found: "missing".into(),
        }),
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut digest = Sha256::new();
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        digest.update(bytes);
        let read = bytes.len();
        reader.consume(read);
    }
    let digest: Vec<String> = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digest.concat())
}

#[cfg(test)]
mod tests;
