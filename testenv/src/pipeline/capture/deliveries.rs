//! What Kafka says of a request's messages: counted together, and waited for once.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rdkafka::{ClientContext, error::KafkaError, message::DeliveryResult, producer::ProducerContext};
use tokio::sync::oneshot;

/// Which messages of a request failed, by their place in it.
pub(super) type Failures = Vec<(usize, KafkaError)>;

/// Hands each answer to the request that waits for it, and counts what Kafka has.
#[derive(Debug, Clone)]
pub(super) struct ToRequests(pub Arc<AtomicU64>);

impl ClientContext for ToRequests {}

impl ProducerContext for ToRequests {
    type DeliveryOpaque = Box<Awaited>;

    fn delivery(&self, result: &DeliveryResult<'_>, awaited: Box<Awaited>) {
        match result {
            Ok(_) => {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => awaited.request.failed().push((awaited.place, error.clone())),
        }
    }
}

/// A message that Kafka has not answered yet.
#[derive(Debug)]
pub(super) struct Awaited {
    place: usize,
    request: Arc<Request>,
}

impl Awaited {
    /// What goes with another message of the same place.
    pub(super) fn again(&self) -> Self {
        Self { place: self.place, request: Arc::clone(&self.request) }
    }
}

/// What all messages of a request share. The last of them to be answered lets go of it, which tells who waits.
#[derive(Debug)]
struct Request {
    failed: Mutex<Failures>,
    tell: Option<oneshot::Sender<Failures>>,
}

impl Request {
    fn failed(&self) -> MutexGuard<'_, Failures> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            // A client that went away waits no more.
            let _ = tell.send(std::mem::take(&mut *self.failed()));
        }
    }
}

/// The answers to a request's messages.
#[derive(Debug)]
pub(super) struct Deliveries {
    request: Arc<Request>,
    told: oneshot::Receiver<Failures>,
}

impl Deliveries {
    /// Those of a request of which nothing is produced yet.
    pub(super) fn new() -> Self {
        let (tell, told) = oneshot::channel();
        Self { request: Arc::new(Request { failed: Mutex::default(), tell: Some(tell) }), told }
    }

    /// What goes with the message at `place`.
    pub(super) fn of(&self, place: usize) -> Awaited {
        Awaited { place, request: Arc::clone(&self.request) }
    }

    /// Waits until every message is answered, which the client library does within the message time-out; tells of those that
    /// failed, in their order.
    pub(super) async fn all(self) -> Failures {
        let Self { request, told } = self;
        drop(request);
        // The sender goes with the last message, and not before it has told.
        let mut failures = told.await.unwrap_or_default();
        failures.sort_by_key(|(place, _)| *place);
        failures
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaErrorCode;

    use super::*;

    #[tokio::test]
    async fn all_are_waited_for_and_failures_told_in_order() {
        let deliveries = Deliveries::new();
        let messages: Vec<_> = (0..3).map(|place| deliveries.of(place)).collect();
        let mut all = std::pin::pin!(deliveries.all());
        let failed = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
        for (nth, awaited) in messages.into_iter().rev().enumerate() {
            assert!(futures_util::poll!(all.as_mut()).is_pending(), "{nth} were answered");
            if nth != 1 {
                awaited.request.failed().push((awaited.place, failed.clone()));
            }
        }
        assert_eq!(all.await, [(0, failed.clone()), (2, failed)]);
    }

    #[tokio::test]
    async fn of_nothing_nothing_is_waited_for() {
        assert_eq!(Deliveries::new().all().await, []);
    }
}
