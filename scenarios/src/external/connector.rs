//! ClickHouse's client over a target of ours, so that it trusts the same CAs by the same TLS stack as the sender.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use clickhouse::Client;
use generators::client::target::{Stream, Target, TargetError};
use hyper::{
    Request, Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use tower_service::Service;

/// ClickHouse ends idle connections after three seconds.
const IDLE: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A client that asks `target`.
pub(super) fn client(target: Target) -> Client {
    let url = target.to_string();
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(Connector(target));
    Client::with_http_client(http).with_url(url)
}

/// The status that `target` answers a POST of `json` to `path` with; `None` if it does not answer.
pub(super) async fn post(target: Target, path: &str, json: String) -> Option<u16> {
    let request =
        Request::post(format!("{target}{path}")).header("content-type", "application/json").body(json).ok()?;
    let http = HttpClient::builder(TokioExecutor::new()).build(Connector(target));
    let answer = tokio::time::timeout(ANSWER_WITHIN, http.request(request)).await.ok()?;
    answer.ok().map(|answer| answer.status().as_u16())
}

#[derive(Debug, Clone)]
struct Connector(Target);

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = TargetError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, TargetError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TargetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let target = self.0.clone();
        Box::pin(async move { Ok(Wire(TokioIo::new(target.connect().await?))) })
    }
}

/// A connection as the client library takes it.
#[derive(Debug)]
struct Wire(TokioIo<Stream>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig,
            crypto::ring,
            pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        },
    };

    use super::*;

    /// One column of text, as `RowBinaryWithNamesAndTypes` has it.
    fn answer(text: &str) -> Vec<u8> {
        let mut body = vec![1];
        for part in ["version()", "String", text] {
            body.push(part.len() as u8);
            body.extend_from_slice(part.as_bytes());
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body].concat()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clickhouse_is_asked_over_tls_by_whom_its_ca_is_named() {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, issuer.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Who does not trust it goes away.
                let Ok(mut stream) = TlsAcceptor::from(Arc::clone(&config)).accept(stream).await else { continue };
                // Head and body may come one after the other.
                let (mut bytes, mut asked) = (Vec::new(), String::new());
                while !asked.contains("select version()") {
                    assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the whole question");
                    asked = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                }
                let is_right = asked.contains("x-clickhouse-user: me") && asked.contains("x-clickhouse-key: secret");
                // No setting goes along, which a user with readonly = 1 could not have.
                let target = asked.split(' ').nth(1).unwrap();
                let plain = target == "/?default_format=rowbinarywithnamesandtypes";
                let text = if is_right && plain { "26.1" } else { target };
                stream.write_all(&answer(text)).await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        let trusted = Target::resolve(&url, Some(&ca)).unwrap();
        let client = client(trusted).with_user("me").with_password("secret");
        let version = client.with_compression(clickhouse::Compression::None).query("SELECT version()");
        assert_eq!(version.fetch_one::<String>().await.unwrap(), "26.1");
        let stranger = Target::resolve(&url, None).unwrap();
        let error = stranger.connect().await.unwrap_err().to_string();
        assert!(error.contains("name the CA's file"), "{error}");
    }
}
