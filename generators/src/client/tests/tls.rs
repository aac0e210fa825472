//! The sender over TLS, with a CA of the test's own.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;

/// A CA, and its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What a server needs to be `name`.
    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

#[test]
fn who_is_who_it_should_be_is_sent_to() {
    let authority = Authority::new("one");
    let server = Server::with(Some(authority.server("localhost")), |request| {
        let port = request.host.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
        let is_right = request.server_name.as_deref() == Some("localhost") && port.is_some() && request.events == 4;
        if is_right { ok() } else { status(400, "") }
    });
    let url = format!("https://localhost:{}", server.port());
    let target = Target::resolve(&url, Some(&authority.file())).unwrap();
    assert_eq!(target.to_string(), url);
    target.check().unwrap();
    for slow in [0.0, 1.0] {
        let workload = workload(40, |traffic| {
            traffic.client.faults.slow_body = crate::random::Share::new(slow).unwrap();
            traffic.client.faults.slow_over = Duration::from_millis(20);
        });
        let (end, sent) = Sending::start(workload, target.clone(), LONG).end();
        assert_eq!((end, sent.len()), (End::Complete, 10));
        for (_, outcome) in sent {
            let answer = outcome.unwrap().answer;
            assert!(matches!(answer, Answer::Reply { status: 200, .. }), "{answer:?}");
        }
    }
    assert_eq!(server.end().len(), 20);
}

#[test]
fn who_is_not_is_told_before_anything_is_sent() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    for (name, ca, expected) in [
        ("127.0.0.1", &authority, None),
        ("127.0.0.1", &other, Some("UnknownIssuer; if it is signed by a CA of your own, name the CA's file")),
        ("other.example", &authority, Some("not valid for name")),
    ] {
        let server = Server::with(Some(authority.server(name)), |_| ok());
        let url = format!("https://127.0.0.1:{}", server.port());
        let target = Target::resolve(&url, Some(&ca.file())).unwrap();
        let checked = target.check().map_err(|error| error.to_string());
        match (checked, expected) {
            (Ok(()), None) => (),
            (Err(error), Some(expected)) => {
                assert!(error.starts_with(&format!("no connection to {url}: ")), "{error}");
                assert!(error.contains(expected), "{error}");
                // A sender that is started all the same sends nothing either.
                let (_, sent) = Sending::start(workload(4, |_| ()), target, LONG).end();
                assert!(matches!(sent[0].1.as_ref().unwrap().answer, Answer::NeverLeft { .. }), "{sent:?}");
            }
            (checked, expected) => panic!("{checked:?} in the place of {expected:?}"),
        }
        assert_eq!(server.end(), []);
    }
    // What speaks no TLS is no target for it.
    let plain = Server::start(|_| ok());
    let target = Target::resolve(&format!("https://127.0.0.1:{}", plain.port()), Some(&authority.file())).unwrap();
    assert!(target.check().is_err());
}
