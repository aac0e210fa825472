//! Where requests go: an address, and the name and trust that go with it where it speaks TLS.
//!
//! A name is resolved once, so that all requests of a run go to one place; of its addresses the first of IPv4 is taken, which
//! more hosts have a way to. TLS is rustls with ring; it trusts what the system trusts, and a CA of one's own beside it.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::{Uri, header::HeaderValue};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

pub use super::connection::Stream;
use super::connection::Unavailable;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    /// What the header `host` says.
    host: HeaderValue,
    tls: Option<Tls>,
}

/// What TLS needs to know of a target.
#[derive(Clone)]
pub(super) struct Tls {
    pub connector: TlsConnector,
    pub name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

/// A target that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is not written as one.
    #[error("`{0}` is no target: write http://HOST:PORT or https://HOST:PORT, and no path")]
    NoTarget(String),
    /// There is no such host.
    #[error("{host} has no address")]
    Unresolved {
        /// The host.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A CA is for https.
    #[error("a CA is of use for https only: write https://HOST:PORT, or leave it out")]
    NeedlessCa,
    /// The file of a CA cannot be used.
    #[error("{} holds no certificate that can be used: {what}; a CA is a file in PEM", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Nothing is trusted.
    #[error("this system trusts no CA, so no certificate can be checked: install ca-certificates, or name a CA's file")]
    NoRoots,
    /// It does not answer, or not as who it should be.
    #[error("no connection to {target}: {what}{help}")]
    Unavailable {
        /// The target.
        target: String,
        /// What the connection said.
        what: String,
        /// What may help.
        help: &'static str,
    },
}

/// What helps against a certificate that is not trusted.
const OWN_CA: &str = "; if it is signed by a CA of your own, name the CA's file";

impl Target {
    /// Plain HTTP to an address.
    pub fn http(address: SocketAddr) -> Self {
        // An address and a port are no more than visible ASCII.
        let host = HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Self { address, host, tls: None }
    }

    /// The target that is written `url`, with the CAs in the PEM file `ca` trusted beside those of the system.
    ///
    /// # Errors
    /// When it is no target, has no address, or a CA cannot be read. Nothing is sent yet: see [`check`](Self::check).
    pub fn resolve(url: &str, ca: Option<&Path>) -> Result<Self, TargetError> {
        let wrong = || TargetError::NoTarget(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (scheme, authority) = (uri.scheme_str().ok_or_else(wrong)?, uri.authority().ok_or_else(wrong)?);
        let is_bare = uri.path_and_query().is_none_or(|path| path == "/");
        let (is_secured, usual_port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(wrong()),
        };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        if !is_bare || name.is_empty() {
            return Err(wrong());
        }
        let unresolved = |source| TargetError::Unresolved { host: name.to_owned(), source };
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => usual_port,
            Some(port) => port.trim_start_matches(':').parse().map_err(|_| wrong())?,
            None => return Err(wrong()),
        };
        let addresses: Vec<SocketAddr> = (name, port).to_socket_addrs().map_err(unresolved)?.collect();
        let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        let address = *address.ok_or_else(|| unresolved(std::io::ErrorKind::NotFound.into()))?;
        let tls = match (is_secured, ca) {
            (true, ca) => Some(Tls {
                connector: connector(ca)?,
                name: ServerName::try_from(name.to_owned()).map_err(|_| wrong())?,
            }),
            (false, None) => None,
            (false, Some(_)) => return Err(TargetError::NeedlessCa),
        };
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| wrong())?;
        Ok(Self { address, host, tls })
    }

    /// Makes a connection and lets it go: whether somebody is there, and is who it should be. Blocks; not to be called in a
    /// runtime.
    ///
    /// # Errors
    /// When there is no connection, or its certificate is not trusted.
    pub fn check(&self) -> Result<(), TargetError> {
        let unavailable = |what: String| TargetError::Unavailable { target: self.to_string(), what, help: "" };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unavailable(error.to_string()))?;
        runtime.block_on(self.connect()).map(drop)
    }

    /// A new connection, with TLS where it speaks that.
    ///
    /// # Errors
    /// When there is none, or its certificate is not trusted.
    pub async fn connect(&self) -> Result<Stream, TargetError> {
        Stream::to(self).await.map_err(|Unavailable(what)| {
            let is_unknown = what.contains("UnknownIssuer") || what.contains("BadSignature");
            let help = if is_unknown { OWN_CA } else { "" };
            TargetError::Unavailable { target: self.to_string(), what, help }
        })
    }

    /// Its address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the header `host` says.
    pub(super) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// What TLS needs to know, where it speaks it.
    pub(super) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host.to_str().unwrap_or_default())
    }
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, TargetError> {
    let mut roots = RootCertStore::empty();
    // Some of a system's may be of a kind that nobody uses any more.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let wrong = |what: String| TargetError::Ca { path: path.to_owned(), what };
        let own = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        let mut count = 0;
        for certificate in own {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(wrong("there is none in it".into()));
        }
    }
    if roots.is_empty() {
        return Err(TargetError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        // ring has all that they ask for.
        .map_err(|_| TargetError::NoRoots)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_scheme_a_host_and_a_port() {
        let address = |url| Target::resolve(url, None).map(|target| target.address().to_string());
        assert_eq!(address("http://127.0.0.1:8000").unwrap(), "127.0.0.1:8000");
        assert_eq!(address("http://127.0.0.1:8000/").unwrap(), "127.0.0.1:8000");
        assert_eq!(address("http://127.0.0.1").unwrap(), "127.0.0.1:80");
        assert_eq!(address("http://[::1]:9").unwrap(), "[::1]:9");
        for wrong in [
            "",
            "127.0.0.1:8000",
            "localhost",
            "ftp://127.0.0.1:8000",
            "http://",
            "http://:80",
            "http://127.0.0.1:8000/capture",
            "http://127.0.0.1:8000/?a=1",
            "http://user@127.0.0.1:8000",
            "http://127.0.0.1:99999",
        ] {
            let error = Target::resolve(wrong, None).unwrap_err();
            assert!(matches!(error, TargetError::NoTarget(_)), "{wrong}: {error}");
        }
        let plain = Target::http("127.0.0.1:8000".parse().unwrap());
        assert_eq!(
            (plain.to_string(), plain.host().as_bytes()),
            ("http://127.0.0.1:8000".into(), &b"127.0.0.1:8000"[..])
        );
    }

    #[test]
    fn a_ca_must_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let error = |url| Target::resolve(url, Some(&file)).unwrap_err().to_string();
        assert!(error("https://127.0.0.1:1").contains("ca.pem holds no certificate that can be used"));
        for wrong in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(error("https://127.0.0.1:1").contains("holds no certificate that can be used"), "{wrong}");
        }
        assert!(error("http://127.0.0.1:1").contains("for https only"));
    }

    #[test]
    fn nobody_there_is_told_before_anything_is_sent() {
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Target::http(address).check().unwrap_err().to_string();
        assert!(error.starts_with(&format!("no connection to http://{address}: ")), "{error}");
    }
}
