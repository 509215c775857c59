//! Reads the series that metric gates need: once for all cutovers that need them, and only if there is more to read.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::observe::{Eyes, Seen};
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::{Readings, SeriesReading};
use crate::engine::evidence::wanted::{Minutes, wanted};
use crate::engine::plan::Account;
use crate::engine::state::State;
use crate::ports::series_within;

/// How long a reading is kept after its last minute.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// The series that were read in earlier rounds. A complete minute no longer changes, so a series is read again only if
/// other minutes are needed, or if it could not be read.
#[derive(Default)]
pub(super) struct SeriesMemory {
    read: BTreeMap<(Account, Query), (Minutes, SeriesReading)>,
}

/// Readings of series that are in progress.
pub(super) struct SeriesRead(JoinSet<(Account, BTreeMap<Query, Minutes>, Readings)>);

impl SeriesMemory {
    /// Starts to read the series that these cutovers need at `now` and that were not read yet.
    pub(super) fn begin(&self, eyes: &Eyes, states: &[&State], now: Timestamp) -> SeriesRead {
        let mut all: BTreeMap<Account, BTreeMap<Query, Minutes>> = BTreeMap::new();
        for state in states {
            for (query, minutes) in wanted(state, now) {
                let account = state.plan().account_of_series(&query).clone();
                let series = all.entry(account).or_default();
                let both = series.entry(query).or_insert(minutes);
                both.from = both.from.min(minutes.from);
                both.until = both.until.max(minutes.until);
            }
        }
        self.read_new(eyes, &all)
    }

    /// Waits for the readings and keeps them. Forgets those older than [`FORGOTTEN_AFTER`].
    pub(super) async fn finish(&mut self, mut reads: SeriesRead, now: Timestamp) {
        while let Some(joined) = reads.0.join_next().await {
            // If the adapter panics, its series stay unread, which is Unknown.
            let Ok((account, asked, mut readings)) = joined else {
                continue;
            };
            for (query, minutes) in asked {
                let reading = readings.remove(&query).unwrap_or_else(|| {
                    SeriesReading::Unreadable("CloudWatch did not answer in time".to_owned())
                });
                self.read
                    .insert((account.clone(), query), (minutes, reading));
            }
        }
        self.read
            .retain(|_, (minutes, _)| now.duration_since(minutes.until) < FORGOTTEN_AFTER);
    }

    /// Gives each cutover the readings of its own series.
    pub(super) fn hand_out(&self, states: &[&State], seen: &mut Seen, now: Timestamp) {
        for state in states {
            let Some(observation) = seen.get_mut(&state.name) else {
                continue;
            };
            for query in wanted(state, now).into_keys() {
                let account = state.plan().account_of_series(&query).clone();
                let key = (account, query);
                if let Some((_, reading)) = self.read.get(&key) {
                    observation.series.insert(key.1, reading.clone());
                }
            }
        }
    }

    fn read_new(
        &self,
        eyes: &Eyes,
        all: &BTreeMap<Account, BTreeMap<Query, Minutes>>,
    ) -> SeriesRead {
        let mut tasks = JoinSet::new();
        for (account, series) in all {
            let mut new: BTreeMap<Query, Minutes> = BTreeMap::new();
            for (query, minutes) in series {
                if !self.is_known(account, query, *minutes) {
                    new.insert(query.clone(), *minutes);
                }
            }
            if new.is_empty() {
                continue;
            }
            let (signals, account) = (Arc::clone(&eyes.signals), account.clone());
            tasks.spawn(async move {
                let read = signals.read_series(&account, &new);
                let readings = tokio::time::timeout(series_within(new.len()), read).await;
                let readings = readings.unwrap_or_default();
                (account, new, readings)
            });
        }
        SeriesRead(tasks)
    }

    /// Returns true if a series has been read for all of these minutes.
    fn is_known(&self, account: &Account, query: &Query, minutes: Minutes) -> bool {
        let Some((read, reading)) = self.read.get(&(account.clone(), query.clone())) else {
            return false;
        };
        let covers = read.from <= minutes.from && read.until >= minutes.until;
        covers && matches!(reading, SeriesReading::Read { .. })
    }
}
