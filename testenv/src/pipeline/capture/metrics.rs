//! `/metrics`: what a capture has answered and produced, in Prometheus' text form, by the names that PostHog's own has
//! (rust/common/metrics, rust/capture/src/sinks/producer.rs).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::header::HeaderValue;

/// What Prometheus wants to be told of the text.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");
/// How a path that there is none of is called: whatever is asked for, there are no more series.
const UNKNOWN: &str = "unknown";

/// The counters of one capture.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By path and status.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// What Kafka has.
    pub(super) ingested: Arc<AtomicU64>,
}

/// All paths, without the slash at their end.
const PATHS: [&str; 15] = [
    "/",
    "/_readiness",
    "/_liveness",
    "/metrics",
    "/s",
    "/batch",
    "/e",
    "/i/v0/e",
    "/capture",
    "/track",
    "/engage",
    "/test/black_hole",
    "/i/v1/analytics/events",
    "/i/v1/ai/events",
    "/i/v0/ai",
];

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, path: &str, status: u16) {
        let path = match path.trim_end_matches('/') {
            "" => "/",
            path => PATHS.into_iter().find(|known| *known == path).unwrap_or(UNKNOWN),
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((path, status)).or_default() += 1;
    }

    /// All of them, as Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = String::from("# TYPE http_requests_total counter\n");
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for ((path, status), count) in &*answers {
            // Writing into a string does not fail.
            let _ = writeln!(text, "http_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}");
        }
        let ingested = self.ingested.load(Ordering::Relaxed);
        let _ =
            writeln!(text, "# TYPE capture_events_ingested_total counter\ncapture_events_ingested_total {ingested}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_there_are_no_more_series_than_paths() {
        let metrics = Metrics::default();
        for path in ["/batch/", "/batch", "/i/v1/ai/events", "/", "/<script>", "/wp-admin/"] {
            metrics.answered(path, if path.len() > 12 { 200 } else { 404 });
        }
        metrics.answered("/batch", 200);
        metrics.ingested.fetch_add(42, Ordering::Relaxed);
        assert_eq!(
            metrics.text(),
            "# TYPE http_requests_total counter\n\
             http_requests_total{path=\"/\",status=\"404\"} 1\n\
             http_requests_total{path=\"/batch\",status=\"200\"} 1\n\
             http_requests_total{path=\"/batch\",status=\"404\"} 2\n\
             http_requests_total{path=\"/i/v1/ai/events\",status=\"200\"} 1\n\
             http_requests_total{path=\"unknown\",status=\"404\"} 2\n\
             # TYPE capture_events_ingested_total counter\n\
             capture_events_ingested_total 42\n"
        );
    }
}
