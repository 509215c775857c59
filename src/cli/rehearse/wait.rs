//! Waits in simulated time: until a time, or for an entry of the journal.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::ports::Clock;
use crate::sim::world::SimClock;

/// Waits until the time `until`, or until the journal has a new entry. If `until` is `None`, waits only for an entry.
pub(super) async fn wait(
    until: Option<Timestamp>,
    clock: &SimClock,
    heard: &mut watch::Receiver<u64>,
) {
    let sleep = async {
        match until {
            Some(until) => {
                let wait = until.duration_since(clock.now());
                tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = sleep => {}
        changed = heard.changed() => if changed.is_err() {
            // Nobody can write to the journal any longer, so no entry will come.
            std::future::pending::<()>().await;
        },
    }
}
