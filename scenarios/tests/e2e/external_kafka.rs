//! Against a pipeline whose Kafka demands a password and TLS of those who read it: the real broker, with further listeners.
//! The pipeline itself uses the plain one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use testenv::environment::port::ReservedPort;

use super::{
    external::told,
    harness::{Bench, Finished, UP_WITHIN, alone, assay, wait_until},
};

const USER: &str = "reads-topics";
const PASSWORD: &str = "opens-topics-7391";
const WRONG: &str = "opens-nothing-1937";
/// A password that is refused is told well before a broker that does not answer is given up.
const SOON: Duration = Duration::from_secs(8);

/// A pipeline, and the listeners of its Kafka.
struct Standing {
    /// Lies there as long as it stands.
    #[cfg_attr(not(feature = "kafka-tls"), expect(dead_code, reason = "only the tests with TLS look into it"))]
    folder: TempDir,
    /// What `--external` takes.
    text: String,
    /// Kafka's address in that.
    plain: String,
    /// Where a password is demanded, and where TLS is as well.
    sasl: ReservedPort,
    tls: ReservedPort,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    // Whose name is the same as its issuer's counts as signed by itself.
    params.distinguished_name.push(DnType::CommonName, "A CA for tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Kafka's settings for the two listeners, with what they need in `folder`.
fn kafka_settings(folder: &Path, sasl: u16, tls: u16) -> PathBuf {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("stranger.pem"), self::authority().pem()).unwrap();
    let keystore = folder.join("kafka.pem");
    fs::write(&keystore, key.serialize_pem() + &certificate.pem()).unwrap();
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";");
    let listeners = format!("SASL://127.0.0.1:{sasl},SECURED://127.0.0.1:{tls}");
    let path = folder.join("further.properties");
    let text = format!(
        "listeners={listeners}
advertised.listeners={listeners}
listener.security.protocol.map=SASL:SASL_PLAINTEXT,SECURED:SASL_SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config={plain}
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={}
scram=SCRAM-SHA-512=[name={USER},password={PASSWORD}]
",
        keystore.display()
    );
    fs::write(&path, text).unwrap();
    path
}

fn standing() -> &'static Standing {
    static STANDING: OnceLock<Standing> = OnceLock::new();
    STANDING.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (sasl, tls) = (ReservedPort::new(None).unwrap(), ReservedPort::new(None).unwrap());
        let settings = kafka_settings(folder.path(), sasl.get(), tls.get());
        let file = folder.path().join("environment.json");
        let path = file.clone();
        // It goes down when the thread that has started it ends: this one, with the test binary.
        std::thread::spawn(move || {
            let mut up = assay(["env", "up", "--pipeline", "--with-parent", "--env", "embedded", "--file"]);
            let mut up = up.arg(&path).arg("--kafka-settings").arg(settings).spawn().unwrap();
            up.wait().unwrap();
        });
        assert!(wait_until(UP_WITHIN, || file.exists()), "the pipeline did not come up");
        let text = fs::read_to_string(folder.path().join("environment.external.toml")).unwrap();
        let reader = folder.path().join("environment.password").display().to_string();
        let text = text.replace("environment.password", &reader);
        let line = text.lines().find(|line| line.starts_with("brokers = ")).unwrap();
        let plain = line.split('"').nth(1).unwrap().to_owned();
        Standing { folder, text, plain, sasl, tls }
    })
}

/// The external file with Kafka read over the listener `port`, with further keys of `[kafka]` and with `[kafka.sasl]`.
fn external(bench: &Bench, port: u16, keys: &str, sasl: &str) -> PathBuf {
    let Standing { text, plain, .. } = standing();
    let from = format!("brokers = \"{plain}\"\n");
    assert!(text.contains(&from), "{text}");
    let text = text.replacen(&from, &format!("brokers = \"127.0.0.1:{port}\"\n{keys}\n"), 1);
    let path = bench.tmp().join("external.toml");
    fs::write(&path, format!("{text}\n{sasl}")).unwrap();
    path
}

fn sasl(mechanism: &str, user: &str, password: &str) -> String {
    format!("[kafka.sasl]\nmechanism = \"{mechanism}\"\nuser = \"{user}\"\n{password}\n")
}

const BY_VARIABLE: &str = "password_env = \"ASSAY_TEST_KAFKA_PASSWORD\"";

fn run(bench: &Bench, external: &Path, password: &str) -> Output {
    let mut command = bench.run_command();
    command.args(["--env", "external", "--yes", "--external"]).arg(external).env("ASSAY_TEST_KAFKA_PASSWORD", password);
    command.output().unwrap()
}

/// All files of the bench's runs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let entries = entries.filter(|path| !path.is_symlink());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Neither password is in what was said, or in any file of a run.
fn kept_to_itself(bench: &Bench, output: &[&[u8]]) {
    let of_files: Vec<Vec<u8>> = files(&bench.out()).iter().map(|file| fs::read(file).unwrap()).collect();
    for text in output.iter().copied().chain(of_files.iter().map(Vec::as_slice)) {
        for password in [PASSWORD, WRONG] {
            let is_there = text.windows(password.len()).any(|part| part == password.as_bytes());
            assert!(!is_there, "{password} is in {}", String::from_utf8_lossy(text));
        }
    }
}

/// A run passes, and its taps saw every event in both topics.
fn passes_with_both_topics_read(bench: &Bench, external: &Path) {
    let room = alone();
    let output = run(bench, external, PASSWORD);
    drop(room);
    kept_to_itself(bench, &[&output.stdout, &output.stderr]);
    let run = Finished::new(output, bench.latest());
    assert_eq!((run.code, run.count("visible")), (Some(0), 6_000), "{}", run.told());
    let stages = &run.verdict["stages"];
    assert_eq!(stages["complete"], true, "{}", run.told());
    let times = stages["times"].as_array().unwrap();
    assert!(times.len() >= 2 && times.iter().all(|time| time["n"] == 6_000), "{stages:#}");
}

/// A run is refused soon, with one error that holds `part`, and has sent nothing.
fn refused(bench: &Bench, external: &Path, password: &str, code: i32, part: &str) {
    let _room = alone();
    let began = Instant::now();
    let output = run(bench, external, password);
    let (took, text) = (began.elapsed(), told(&output));
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(part) && text.contains("nothing was sent"), "`{part}` is not in: {text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches('×').count(), 1, "{text}");
    assert!(took < SOON, "{took:?}: {text}");
    assert!(files(&bench.out()).iter().all(|file| file.file_name().is_none_or(|name| name != "ledger")), "{text}");
    kept_to_itself(bench, &[&output.stdout, &output.stderr]);
}

#[test]
fn a_kafka_that_demands_a_password_is_read() {
    let bench = Bench::new("");
    let password = bench.tmp().join("kafka.password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let by_file = sasl("PLAIN", USER, &format!("password_file = \"{}\"", password.display()));
    let external = external(&bench, standing().sasl.get(), "", &by_file);
    let status = assay(["env", "status", "--external"]).arg(&external).output().unwrap();
    assert!(status.status.success(), "{}", told(&status));
    passes_with_both_topics_read(&bench, &external);
}

#[test]
fn a_wrong_password_is_told_before_anything_is_sent() {
    let bench = Bench::new("");
    let port = standing().sasl.get();
    for (user, password) in [(USER, WRONG), ("nobody", PASSWORD)] {
        let external = external(&bench, port, "", &sasl("PLAIN", user, BY_VARIABLE));
        refused(&bench, &external, password, 64, &format!("Kafka does not let the user {user} in: wrong password"));
    }
}

#[cfg(not(feature = "kafka-tls"))]
#[test]
fn a_build_without_tls_says_how_to_get_it() {
    let bench = Bench::new("");
    for (keys, mechanism) in [("tls = true", "PLAIN"), ("", "SCRAM-SHA-512")] {
        let external = external(&bench, standing().tls.get(), keys, &sasl(mechanism, USER, BY_VARIABLE));
        let output = run(&bench, &external, PASSWORD);
        assert_eq!(output.status.code(), Some(64), "{}", told(&output));
        assert!(told(&output).contains("cargo build --release --features kafka-tls"), "{}", told(&output));
    }
}

#[cfg(feature = "kafka-tls")]
mod tls {
    use super::*;

    /// The external file for the secured listener, with the CA in `ca`.
    fn secured(bench: &Bench, ca: &str, mechanism: &str) -> PathBuf {
        let standing = standing();
        let keys = format!("tls = true\nca = \"{}\"", standing.folder.path().join(ca).display());
        external(bench, standing.tls.get(), &keys, &sasl(mechanism, USER, BY_VARIABLE))
    }

    #[test]
    fn a_kafka_that_demands_tls_and_a_password_is_read() {
        let bench = Bench::new("");
        passes_with_both_topics_read(&bench, &secured(&bench, "ca.pem", "SCRAM-SHA-512"));
    }

    #[test]
    fn what_is_wrong_is_told_before_anything_is_sent() {
        let bench = Bench::new("");
        refused(&bench, &secured(&bench, "stranger.pem", "SCRAM-SHA-512"), PASSWORD, 69, "TLS with Kafka fails");
        refused(&bench, &secured(&bench, "none.pem", "SCRAM-SHA-512"), PASSWORD, 64, "none.pem");
        let external = secured(&bench, "ca.pem", "SCRAM-SHA-512");
        refused(&bench, &external, WRONG, 64, &format!("Kafka does not let the user {USER} in: wrong password"));
        let external = secured(&bench, "ca.pem", "PLAIN");
        refused(&bench, &external, PASSWORD, 64, "mechanism");
    }
}
