//! What a browser asks before it lets a script send to another origin (Fetch standard, CORS-preflight fetch).

use std::io::Write;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::connection::receive;
use crate::{ledger::Answer, wire::Encoded};

/// Where the script comes from.
pub(super) const ORIGIN: &str = "https://shop.example";

/// Asks over `stream`, a connection to `host` that ends with it, whether the request may be sent.
///
/// # Errors
/// The answer that the request has come to, where it may not: a browser sends nothing then.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    encoded: &Encoded,
) -> Result<(), Answer> {
    let mut question = Vec::new();
    // Writing into memory does not fail.
    let _ = write!(
        question,
        "OPTIONS {} HTTP/1.1\r\nhost: {host}\r\norigin: {ORIGIN}\r\naccess-control-request-method: {}\r\n\
         access-control-request-headers: content-type\r\nconnection: close\r\n\r\n",
        encoded.target,
        encoded.method.name(),
    );
    let not_sent = |why: String| Answer::NeverLeft { error: format!("a browser would not send this: {why}") };
    let asked = async {
        stream.write_all(&question).await?;
        stream.flush().await?;
        receive(stream, &mut Vec::new(), |reply| (reply.status, reply.allowed_origin)).await
    };
    match asked.await {
        Ok((200..=299, Some(origin))) if origin == "*" || origin == ORIGIN => Ok(()),
        Ok((200..=299, _)) => Err(not_sent("the preflight's reply does not allow its origin".into())),
        Ok((status, _)) => Err(not_sent(format!("the preflight was answered with {status}"))),
        Err(error) => Err(not_sent(format!("the preflight was not answered: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::wire::Method;

    #[tokio::test]
    async fn nothing_is_sent_where_a_browser_would_not() {
        let encoded = Encoded {
            method: Method::Post,
            target: "/e/".into(),
            content_type: "application/json".into(),
            headers: Vec::new(),
            body: Vec::new(),
            events: 1,
        };
        for (reply, fine) in [
            ("HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://shop.example\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://x.example\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.1 405 No\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n\r\n", false),
            ("", false),
        ] {
            let (mut client, mut server) = tokio::io::duplex(1 << 16);
            let serving = tokio::spawn(async move {
                let mut asked = vec![0; 4_096];
                let length = server.read(&mut asked).await.unwrap();
                server.write_all(reply.as_bytes()).await.unwrap();
                String::from_utf8_lossy(&asked[..length]).into_owned()
            });
            let answer = ask(&mut client, "h:1", &encoded).await;
            let asked = serving.await.unwrap();
            assert!(
                asked.starts_with("OPTIONS /e/ HTTP/1.1\r\nhost: h:1\r\norigin: https://shop.example\r\n"),
                "{asked}"
            );
            assert_eq!(answer.is_ok(), fine, "{reply:?}: {answer:?}");
            assert!(fine || matches!(answer, Err(Answer::NeverLeft { .. })), "nothing left");
        }
    }
}
