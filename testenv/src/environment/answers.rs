//! Waiting until a server answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use super::EnvironmentError;

/// How long one question may take.
const ASK_FOR: Duration = Duration::from_millis(250);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until Kafka answers a metadata request. Dropped before, it stops asking: the thread that asks would otherwise keep
/// the whole program from ending.
pub(crate) async fn kafka(brokers: String) -> Result<(), EnvironmentError> {
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = StopOnDrop(Arc::default());
    let stopped = Arc::clone(&stop.0);
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "50")
            .set("log_level", "0")
            .create()?;
        // The library connects again and again by itself until each request's time is over.
        while !stopped.load(Ordering::Relaxed) {
            if consumer.fetch_metadata(None, ASK_FOR).is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                break;
            }
        }
        Ok(())
    });
    let asked = asked.await.map_err(|error| EnvironmentError::System {
        what: "Kafka cannot be asked".into(),
        source: std::io::Error::other(error),
    })?;
    asked.map_err(|source| EnvironmentError::Kafka { what: "a client".into(), source })
}

/// Waits until `url` answers with success.
pub(crate) async fn http(url: &str) {
    loop {
        let asked = async { reqwest::Client::builder().no_proxy().timeout(ASK_FOR * 4).build()?.get(url).send().await };
        if asked.await.and_then(reqwest::Response::error_for_status).is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
