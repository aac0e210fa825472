//! What Kafka still has to say of a batch that was produced, and what went wrong with it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rdkafka::{ClientContext, error::KafkaError, message::DeliveryResult, producer::ProducerContext};

/// Counts the deliveries that are still to come, and remembers the first that failed.
#[derive(Clone, Default)]
pub(super) struct Deliveries(Arc<(Mutex<Awaited>, Condvar)>);

#[derive(Default)]
struct Awaited {
    /// Enqueued minus delivered; a delivery may come before its enqueuing is counted.
    open: i64,
    failed: Option<KafkaError>,
}

impl Deliveries {
    /// One more is to come.
    pub(super) fn expect_one(&self) {
        self.lock().open += 1;
    }

    /// Waits for all deliveries, which the client library ends within the message time-out; tells the first failure.
    pub(super) fn wait(&self) -> Result<(), KafkaError> {
        let mut awaited = self.lock();
        while awaited.open > 0 {
            awaited = self.0.1.wait(awaited).unwrap_or_else(PoisonError::into_inner);
        }
        awaited.failed.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Awaited> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut awaited = self.lock();
        awaited.open -= 1;
        if let Err((error, _)) = result {
            awaited.failed.get_or_insert_with(|| error.clone());
        }
        if awaited.open <= 0 {
            self.0.1.notify_all();
        }
    }
}
