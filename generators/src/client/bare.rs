//! The peer that sending is measured against: hyper's http1 connections in a closed loop, with bytes that were made before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::task::JoinSet;

use super::{
    Head, SendError,
    connection::{Unavailable, connect},
    http_request,
    target::Target,
};
use crate::wire::Encoded;

/// Sends each of `requests` so often that there are `count` of them, over so many connections to `target`, each as soon as the
/// one before it on its connection is answered; returns how long that took.
///
/// # Errors
/// When a connection cannot be had or breaks, or an answer is not 200.
pub fn closed_loop(
    target: &Target,
    requests: Vec<Encoded>,
    count: u64,
    connections: usize,
) -> Result<Duration, SendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SendError::Start)?;
    let requests: Arc<[_]> = requests
        .into_iter()
        .map(|request| {
            let (head, body) = Head::of(request);
            (head, Bytes::from(body))
        })
        .collect();

    let began = Instant::now();
    runtime.block_on(async {
        let mut loops = JoinSet::new();
        for number in 0..connections as u64 {
            let own = count / connections as u64 + u64::from(number < count % connections as u64);
            let (requests, target) = (Arc::clone(&requests), target.clone());
            loops.spawn(async move {
                let mut connection = connect(&target).await?;
                for at in 0..own as usize {
                    let request = &requests[(at + number as usize) % requests.len()];
                    let http = http_request(target.host(), request.0.clone(), request.1.clone())
                        .map_err(|error| Unavailable(error.to_string()))?;
                    let broken = |error: hyper::Error| Unavailable(crate::error_chain::told(&error));
                    let reply = connection.send_request(http).await.map_err(broken)?;
                    let status = reply.status();
                    http_body_util::BodyExt::collect(reply.into_body()).await.map_err(broken)?;
                    if status != StatusCode::OK {
                        return Err(Unavailable(format!("was answered {status}")));
                    }
                }
                Ok(())
            });
        }
        while let Some(ended) = loops.join_next().await {
            ended.map_err(|_| SendError::Crashed)?.map_err(|Unavailable(what)| SendError::Peer(what))?;
        }
        Ok(began.elapsed())
    })
}
