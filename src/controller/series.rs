//! Reading the series that gates of metrics need: once for all who want them, and only when there is more to read.

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

/// What has not been wanted for so long is forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// What was read in earlier rounds. A minute that is complete does not change any more, so that a series is asked for
/// again only when another period is: what was not read is asked for in the next round.
#[derive(Default)]
pub(super) struct SeriesMemory {
    read: BTreeMap<(Account, Query), (Minutes, SeriesReading)>,
}

/// Series on their way here.
pub(super) struct SeriesRead(JoinSet<(Account, BTreeMap<Query, Minutes>, Readings)>);

impl SeriesMemory {
    /// Begins to read what these cutovers want at `now` and do not know.
    pub(super) fn begin(&self, eyes: &Eyes, states: &[&State], now: Timestamp) -> SeriesRead {
        let mut all: BTreeMap<Account, BTreeMap<Query, Minutes>> = BTreeMap::new();
        for state in states {
            for (query, minutes) in wanted(state, now) {
                let account = state.plan().account_of_series(&query).clone();
                let known = all.entry(account).or_default();
                let both = known.get(&query).map_or(minutes, |other| Minutes {
                    from: minutes.from.min(other.from),
                    until: minutes.until.max(other.until),
                });
                known.insert(query, both);
            }
        }
        self.read_new(eyes, &all)
    }

    /// Waits for what is being read.
    pub(super) async fn finish(&mut self, mut reads: SeriesRead, now: Timestamp) {
        while let Some(joined) = reads.0.join_next().await {
            // A panic of the adapter leaves its series unread, which is Unknown.
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
            let news = |query: &Query, minutes: &Minutes| {
                let known = self.read.get(&(account.clone(), query.clone()));
                !known.is_some_and(|(read, reading)| {
                    let covers = read.from <= minutes.from && read.until >= minutes.until;
                    covers && matches!(reading, SeriesReading::Read { .. })
                })
            };
            let new: BTreeMap<Query, Minutes> = series
                .iter()
                .filter(|(query, minutes)| news(query, minutes))
                .map(|(query, minutes)| (query.clone(), *minutes))
                .collect();
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
}
