//! Reads series in bulk. A refused call is cut in half, until only the wrong series are left unread.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_cloudwatch::types::ScanBy;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cloudwatch::{CloudWatchSignals, NO_REGION};
use super::config::READ_TIMEOUT;
use super::errors::{call_error, endless, no_token, too_late};
use super::guard::called;
use super::metrics::{self, DataCall, SeriesAnswer};
use super::sdk_times::sdk_time;
use crate::engine::event::FailureClass;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::{Readings, SeriesReading};
use crate::engine::evidence::wanted::Minutes;
use crate::engine::plan::Account;
use crate::ports::{CallError, Urgency, series_within};

const METRICS: &str = "GetMetricData";
/// The most pages of a call. Its datapoints fit on one page, but AWS may use more.
const METRIC_PAGES_MAX: usize = 10;
/// The most refused calls that are cut in half in one reading. One wrong series among 500 takes nine cuts. Once all
/// cuts are used, a refused call is left unread as a whole.
const CUTS_MAX: usize = 100;

impl CloudWatchSignals {
    /// Reads series of all regions. The series of a call that fails or misses the deadline are unreadable.
    pub(super) async fn series(
        &self,
        account: &Account,
        wanted: &BTreeMap<Query, Minutes>,
    ) -> Readings {
        let deadline = Instant::now() + series_within(wanted.len());
        let mut regions: BTreeMap<Arc<str>, BTreeMap<Query, Minutes>> = BTreeMap::new();
        let mut readings = Readings::new();
        for (query, minutes) in wanted {
            if let Some(why) = metrics::refusal(query) {
                readings.insert(query.clone(), SeriesReading::Unreadable(why));
                continue;
            }
            let Some(region) = query.region.as_deref().or(self.clients.region()) else {
                let why = NO_REGION.to_owned();
                readings.insert(query.clone(), SeriesReading::Unreadable(why));
                continue;
            };
            let series = regions.entry(region.into()).or_default();
            series.insert(query.clone(), *minutes);
        }
        let mut reads = JoinSet::new();
        for (region, series) in regions {
            for call in metrics::pack(&series) {
                let (signals, account) = (self.clone(), account.clone());
                reads.spawn(signals.read_by(deadline, account, Arc::clone(&region), call));
            }
        }
        let mut cuts = 0;
        while let Some(joined) = reads.join_next().await {
            // The series of a call that panicked get no reading. A gate without a reading is unknown.
            let Ok((region, call, answer)) = joined else {
                continue;
            };
            let error = match answer {
                Ok(answer) => {
                    readings.extend(call.readings(&answer));
                    continue;
                }
                Err(error) => error,
            };
            let halves = if is_refused(&error) && cuts < CUTS_MAX {
                call.halves()
            } else {
                Vec::new()
            };
            if halves.is_empty() {
                readings.extend(call.unread(&error));
            } else {
                cuts += 1;
            }
            for half in halves {
                let (signals, account) = (self.clone(), account.clone());
                reads.spawn(signals.read_by(deadline, account, Arc::clone(&region), half));
            }
        }
        readings
    }

    /// Makes one call before the deadline. Also returns the region and the call, so that the caller can cut it in half.
    async fn read_by(
        self,
        deadline: Instant,
        account: Account,
        region: Arc<str>,
        call: DataCall,
    ) -> (Arc<str>, DataCall, Result<SeriesAnswer, CallError>) {
        let reading = self.read_metrics(&account, &region, &call);
        let read = tokio::time::timeout_at(deadline, reading).await;
        let read = read.unwrap_or_else(|_| Err(too_late(METRICS, READ_TIMEOUT)));
        (region, call, read)
    }

    /// Makes one call of `GetMetricData` and reads all its pages.
    ///
    /// # Errors
    /// The call fails or gets no token, or the pages do not end.
    async fn read_metrics(
        &self,
        account: &Account,
        region: &str,
        call: &DataCall,
    ) -> Result<SeriesAnswer, CallError> {
        let client = self.clients.cloudwatch(account, region).await;
        let budgets = self.clients.alarm_budgets(account, region);
        let mut answer = SeriesAnswer::default();
        let Some(minutes) = call.minutes() else {
            return Ok(answer);
        };
        let mut next_token = None;
        for _ in 0..METRIC_PAGES_MAX {
            let token = budgets
                .metrics
                .acquire(METRICS, Urgency::Normal, READ_TIMEOUT);
            token.await.map_err(|waited| no_token(METRICS, waited))?;
            let request = client
                .get_metric_data()
                .set_metric_data_queries(Some(call.queries()))
                .start_time(sdk_time(minutes.from))
                .end_time(sdk_time(minutes.until))
                .scan_by(ScanBy::TimestampAscending)
                .set_next_token(next_token);
            let reply = called(request.send()).await;
            let reply = reply.map_err(|error| call_error(METRICS, &error))?;
            answer.take(&reply);
            match reply.next_token {
                Some(token) if !token.is_empty() => next_token = Some(token),
                _ => return Ok(answer),
            }
        }
        Err(endless(METRICS))
    }
}

/// Returns true if AWS refused the call because of its contents. Then a part of it may be accepted.
fn is_refused(error: &CallError) -> bool {
    error.class == FailureClass::Permanent && error.code.is_some()
}
