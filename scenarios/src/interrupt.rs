//! Ctrl-C and SIGTERM: the first stops sending, so that what was sent can be settled and judged; the second leaves at
//! once. Then the guard ends everything that was started, and what was broken in somebody else's pipeline is healed by those
//! who have it in hand ([`testenv::healer`]).

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::failure::{Failure, Kind};

/// Starts to listen; the receiver becomes true with the first signal.
///
/// # Errors
/// When the system refuses to deliver signals.
pub fn listen() -> Result<watch::Receiver<bool>, Failure> {
    let refused = |error| Failure::caused(Kind::Internal, "signals cannot be listened to", "", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        for times in 0.. {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
            if times > 0 {
                // Inconclusive: nothing was judged.
                std::process::exit(2);
            }
            // The runner may have ended already.
            let _ = sender.send(true);
        }
    });
    Ok(receiver)
}
