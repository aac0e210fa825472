//! Preflight: whether both ends of the pipeline answer, before any load is sent.

use std::time::Duration;

use checkers::observe::clickhouse::Store;
use testenv::environment::Endpoints;

use crate::failure::{Failure, Kind};

/// An end that takes longer is not fit to be tested.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks capture whether it is ready and ClickHouse for the events table's parts; returns ClickHouse's version.
pub(super) async fn check(endpoints: &Endpoints, store: &Store) -> Result<String, Failure> {
    let url = format!("http://{}/_readiness", endpoints.capture);
    let unready = |error| {
        let help = "nothing was sent; capture's log is in the run's directory";
        Failure::caused(Kind::Unavailable, format!("capture is not ready at {url}"), help, error)
    };
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build().map_err(unready)?;
    client.get(&url).send().await.and_then(reqwest::Response::error_for_status).map_err(unready)?;
    let unreadable = |error| {
        let help = "nothing was sent; ClickHouse's log is in the run's directory";
        Failure::caused(Kind::Unavailable, "ClickHouse's events table cannot be read", help, error)
    };
    store.parts().await.map_err(unreadable)?;
    store.version().await.map_err(unreadable)
}
