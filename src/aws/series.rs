//! Reading series in bulk: a call that is refused is cut in half until only what is wrong goes unread.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_cloudwatch::types::ScanBy;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cloudwatch::CloudWatchSignals;
use super::cloudwatch::NO_REGION;
use super::cloudwatch::endless;
use super::cloudwatch::sdk_time;
use super::config::READ_TIMEOUT;
use super::errors::call_error;
use super::errors::no_token;
use super::errors::too_late;
use super::guard::called;
use super::metrics;
use super::metrics::Answer;
use super::metrics::Call;
use crate::engine::event::FailureClass;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::Readings;
use crate::engine::evidence::reading::SeriesReading;
use crate::engine::evidence::wanted::Minutes;
use crate::engine::plan::Account;
use crate::ports::CallError;
use crate::ports::Urgency;
use crate::ports::series_within;

const METRICS: &str = "GetMetricData";
/// A call asks for no more datapoints than fit on one page; others may share it.
const METRIC_PAGES_MAX: usize = 10;
/// So many refused calls are cut in half in one reading. One bad series among 500 takes nine; what is left after so many
/// is unread as a whole.
const CUTS_MAX: usize = 100;

impl CloudWatchSignals {
    /// Reads series of all regions, each call by the deadline or not at all.
    pub(super) async fn series(
        &self,
        account: &Account,
        wanted: &BTreeMap<Query, Minutes>,
    ) -> Readings {
        let deadline = Instant::now() + series_within(wanted.len());
        let mut regions: BTreeMap<Arc<str>, BTreeMap<Query, Minutes>> = BTreeMap::new();
        let mut readings = Readings::new();
        for (query, minutes) in wanted {
            let region = query.region.as_deref().or(self.clients.region());
            let (Some(region), None) = (region, metrics::foreign(query)) else {
                let why = metrics::foreign(query).unwrap_or_else(|| NO_REGION.to_owned());
                readings.insert(query.clone(), SeriesReading::Unreadable(why));
                continue;
            };
            let series = regions.entry(region.into()).or_default();
            series.insert(query.clone(), *minutes);
        }
        let mut reads = JoinSet::new();
        let read = |region: Arc<str>, call: Call| {
            let (signals, account) = (self.clone(), account.clone());
            async move {
                let reading = signals.read_metrics(&account, &region, &call);
                let read = tokio::time::timeout_at(deadline, reading).await;
                let read = read.unwrap_or_else(|_| Err(too_late(METRICS, READ_TIMEOUT)));
                (region, call, read)
            }
        };
        for (region, series) in regions {
            for call in metrics::pack(&series) {
                reads.spawn(read(Arc::clone(&region), call));
            }
        }
        let mut cuts = 0;
        while let Some(joined) = reads.join_next().await {
            // What a call that panicked asked for stays unread, which is Unknown.
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
                reads.spawn(read(Arc::clone(&region), half));
            }
        }
        readings
    }

    /// One call of `GetMetricData`, with all its pages.
    async fn read_metrics(
        &self,
        account: &Account,
        region: &str,
        call: &Call,
    ) -> Result<Answer, CallError> {
        let client = self.clients.cloudwatch(account, region).await;
        let budgets = self.clients.alarm_budgets(account, region);
        let mut answer = Answer::default();
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

/// Whether the call was refused for what it says: then a part of it may pass.
fn is_refused(error: &CallError) -> bool {
    error.class == FailureClass::Permanent && error.code.is_some()
}
