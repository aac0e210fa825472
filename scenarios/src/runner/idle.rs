//! A pipeline without traffic: what does it cost to have it?

use std::time::Duration;

use checkers::record::ComponentFacts;
use generators::identity::RunId;
use jiff::Timestamp;
use reports::progress::Progress;
use tokio::{sync::watch, time::sleep};

use super::{Environment, Request, random_bits, unavailable};
use crate::{failure::Failure, run_directory::RunDirectory};

/// What starting has stirred up comes to rest meanwhile.
const REST: Duration = Duration::from_secs(2);

/// Starts what `request` wants, sends nothing for `lasts`, and tells what each component has used meanwhile; nothing if `stop`
/// became true before.
///
/// # Errors
/// When the environment cannot be had, or fails.
pub async fn idle(
    request: &Request,
    lasts: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Vec<ComponentFacts>>, Failure> {
    let run = RunId::new(random_bits());
    let directory = RunDirectory::create(&request.out, &request.scenario.name, run, Timestamp::now())?;
    let quiet = Progress::on_stderr(true);
    let environment = tokio::select! {
        up = Environment::up(request, &[], &directory, run, &quiet) => up?,
        _ = stop.wait_for(|stop| *stop) => return Ok(None),
    };
    let watched = async {
        sleep(REST).await;
        let before = environment.usage();
        sleep(lasts).await;
        environment.used_since(&before)
    };
    let used = tokio::select! {
        used = watched => Ok(Some(used)),
        ended = environment.failed() => Err(unavailable(testenv::environment::EnvironmentError::Ended(ended))),
        _ = stop.wait_for(|stop| *stop) => Ok(None),
    };
    // What it may leave on a shared substrate goes with that.
    let _ = environment.down().await;
    used
}
