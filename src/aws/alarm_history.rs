//! `DescribeAlarmHistory`: into which states an alarm went and when, page by page.

use std::time::Duration;

use aws_sdk_cloudwatch::types::AlarmHistoryItem;
use aws_sdk_cloudwatch::types::AlarmType;
use aws_sdk_cloudwatch::types::HistoryItemType;
use aws_sdk_cloudwatch::types::ScanBy;
use jiff::Timestamp;

use super::cloudwatch::CloudWatchSignals;
use super::cloudwatch::endless;
use super::cloudwatch::our_time;
use super::cloudwatch::sdk_time;
use super::config::READ_TIMEOUT;
use super::errors::call_error;
use super::errors::no_token;
use super::guard::called;
use crate::engine::event::FailureClass;
use crate::engine::plan::Account;
use crate::ports::CallError;
use crate::ports::Urgency;

pub(super) const HISTORY: &str = "DescribeAlarmHistory";

/// Source: `CloudWatch` API Reference, `DescribeAlarmHistory`, `MaxRecords`.
const RECORDS_PER_PAGE: i32 = 100;

/// A thousand changes of state of one alarm since the first write.
const PAGES_MAX: usize = 10;

/// Which changes of state are read, and how much that may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The first of them is not before this; AWS is asked from the full second on.
    pub(super) since: Timestamp,
    /// The last of them is before this; none: all that there are.
    pub(super) until: Option<Timestamp>,
    /// More pages are an error.
    pub(super) pages_max: usize,
    /// How long a page waits for its turn.
    pub(super) token_within: Duration,
}

impl CloudWatchSignals {
    /// What `read` makes of each change of state of a metric or composite alarm, in the order in which they were told.
    ///
    /// # Errors
    ///
    /// A call that fails, pages that do not end, or what `read` says of the first item that it cannot read.
    pub(super) async fn state_updates<T>(
        &self,
        account: &Account,
        region: &str,
        alarm: &str,
        bounds: Bounds,
        read: fn(&AlarmHistoryItem) -> Result<Option<T>, CallError>,
    ) -> Result<Vec<T>, CallError> {
        let client = self.clients.cloudwatch(account, region).await;
        let budgets = self.clients.alarm_budgets(account, region);
        let mut updates = Vec::new();
        let mut next_token = None;
        for _ in 0..bounds.pages_max {
            let token = budgets
                .history
                .acquire(HISTORY, Urgency::Normal, bounds.token_within);
            token.await.map_err(|waited| no_token(HISTORY, waited))?;
            // Without types only metric alarms' items would be returned.
            let request = client
                .describe_alarm_history()
                .alarm_name(alarm)
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .history_item_type(HistoryItemType::StateUpdate)
                .start_date(sdk_time(bounds.since))
                .set_end_date(bounds.until.map(sdk_time))
                .scan_by(ScanBy::TimestampAscending)
                .max_records(RECORDS_PER_PAGE)
                .set_next_token(next_token);
            let reply = called(request.send()).await;
            let reply = reply.map_err(|error| call_error(HISTORY, &error))?;
            for item in reply.alarm_history_items() {
                updates.extend(read(item)?);
            }
            match reply.next_token {
                Some(token) if !token.is_empty() => next_token = Some(token),
                _ => return Ok(updates),
            }
        }
        Err(endless(HISTORY))
    }

    /// When the alarm entered ALARM since `since`, the first entry first.
    pub(super) async fn read_history(
        &self,
        account: &Account,
        region: &str,
        alarm: &str,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, CallError> {
        let bounds = Bounds {
            since,
            until: None,
            pages_max: PAGES_MAX,
            token_within: READ_TIMEOUT,
        };
        let entered = self.state_updates(account, region, alarm, bounds, entry_into_alarm);
        let mut entered = entered.await?;
        entered.retain(|at| *at >= since);
        entered.sort_unstable();
        Ok(entered)
    }
}

/// When the alarm entered ALARM by this item; none if it went elsewhere. An item that does not say is an error, for
/// what cannot be judged must not pass.
fn entry_into_alarm(item: &AlarmHistoryItem) -> Result<Option<Timestamp>, CallError> {
    let (before, after) = states(item)?;
    if after != "ALARM" || before.as_deref() == Some("ALARM") {
        return Ok(None);
    }
    time_of(item).map(Some)
}

/// The states before and after, from wherever the item has them.
pub(super) fn states(item: &AlarmHistoryItem) -> Result<(Option<String>, String), CallError> {
    let data = item.history_data().and_then(states_from_data);
    let states = data.or_else(|| item.history_summary().and_then(states_from_summary));
    states.ok_or_else(|| {
        unreadable("an item of the alarm's history does not say which state followed")
    })
}

/// When the item's change of state was.
pub(super) fn time_of(item: &AlarmHistoryItem) -> Result<Timestamp, CallError> {
    let at = item.timestamp().and_then(our_time);
    at.ok_or_else(|| unreadable("an item of the alarm's history has no time"))
}

/// The states before and after from `{"oldState":{"stateValue":…},"newState":{"stateValue":…}}`.
fn states_from_data(data: &str) -> Option<(Option<String>, String)> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    let state = |key: &str| {
        let value = data.get(key)?.get("stateValue")?;
        value.as_str().map(str::to_owned)
    };
    Some((state("oldState"), state("newState")?))
}

/// The states before and after from `Alarm updated from OK to ALARM`.
fn states_from_summary(summary: &str) -> Option<(Option<String>, String)> {
    let (_, states) = summary.split_once("from ")?;
    let (before, after) = states.split_once(" to ")?;
    let word = |text: &str| text.split_whitespace().next().map(str::to_owned);
    Some((word(before), word(after)?))
}

/// A history that is here and says too little.
pub(super) fn unreadable(message: &str) -> CallError {
    CallError::new(HISTORY, FailureClass::Permanent, message)
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    fn item(data: Option<&str>, summary: Option<&str>) -> AlarmHistoryItem {
        AlarmHistoryItem::builder()
            .timestamp(DateTime::from_secs(1_000))
            .set_history_data(data.map(str::to_owned))
            .set_history_summary(summary.map(str::to_owned))
            .build()
    }

    /// When an item that says this entered ALARM.
    fn entered(data: Option<&str>, summary: Option<&str>) -> Option<Timestamp> {
        entry_into_alarm(&item(data, summary)).expect("it says which state followed")
    }

    #[test]
    fn an_entry_into_alarm_is_read_from_data_or_summary() {
        let at = Timestamp::from_second(1_000).ok();
        let data =
            r#"{"version":"1.0","oldState":{"stateValue":"OK"},"newState":{"stateValue":"ALARM"}}"#;
        assert_eq!(entered(Some(data), None), at);
        let summary = "Alarm updated from INSUFFICIENT_DATA to ALARM";
        assert_eq!(entered(None, Some(summary)), at);
        assert_eq!(
            entered(Some("{}"), Some(summary)),
            at,
            "data that says nothing falls back to the summary"
        );
    }

    #[test]
    fn leaving_alarm_is_no_entry_and_silence_is_an_error() {
        assert_eq!(entered(None, Some("Alarm updated from ALARM to OK")), None);
        assert!(entry_into_alarm(&item(None, None)).is_err());
    }
}
