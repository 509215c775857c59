//! Reads an alarm's changes of state with `DescribeAlarmHistory`, page by page.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{AlarmHistoryItem, AlarmType, HistoryItemType, ScanBy};
use jiff::Timestamp;

use super::config::{AwsClients, READ_TIMEOUT};
use super::errors::{call_error, endless, no_token};
use super::guard::called;
use super::sdk_times::{our_time, sdk_time};
use crate::engine::event::FailureClass;
use crate::engine::plan::Account;
use crate::ports::{CallError, Urgency};

pub(super) const HISTORY: &str = "DescribeAlarmHistory";

/// The number of items on a page: the most that AWS allows. Source: `CloudWatch` API Reference, `DescribeAlarmHistory`,
/// `MaxRecords`.
const RECORDS_PER_PAGE: i32 = 100;

/// The most pages of a history since the first write: a thousand changes of state of one alarm.
const PAGES_MAX: usize = 10;

/// The range of a history to read, and the limits for reading it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The start of the range. AWS is asked from the full second on, so earlier items of that second may be returned.
    pub(super) since: Timestamp,
    /// The end of the range, exclusive. `None` means up to now.
    pub(super) until: Option<Timestamp>,
    /// The most pages. More pages are an error.
    pub(super) pages_max: usize,
    /// The longest time that each page waits for a token of the call budget.
    pub(super) token_within: Duration,
}

impl AwsClients {
    /// Reads the changes of state of a metric or composite alarm. `read` converts each item, or returns `None` to leave
    /// it out. The order is that of the reply: oldest first.
    ///
    /// # Errors
    ///
    /// A call fails or gets no token, there are more pages than allowed, or `read` fails for an item.
    pub(super) async fn state_updates<T>(
        &self,
        account: &Account,
        region: &str,
        alarm: &str,
        bounds: Bounds,
        read: fn(&AlarmHistoryItem) -> Result<Option<T>, CallError>,
    ) -> Result<Vec<T>, CallError> {
        let client = self.cloudwatch(account, region).await;
        let budgets = self.alarm_budgets(account, region);
        let mut updates = Vec::new();
        let mut next_token = None;
        for _ in 0..bounds.pages_max {
            let token = budgets
                .history
                .acquire(HISTORY, Urgency::Normal, bounds.token_within);
            token.await.map_err(|waited| no_token(HISTORY, waited))?;
            // Without types, AWS would return only the items of metric alarms.
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

    /// Reads the times at which the alarm entered ALARM since `since`, oldest first.
    ///
    /// # Errors
    /// A call fails or gets no token, there are more than 10 pages, or an item cannot be understood.
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

/// Returns the time at which the alarm entered ALARM by this item. `None` if it entered another state. An item without
/// a state is an error, because a history that cannot be judged must not pass a gate.
fn entry_into_alarm(item: &AlarmHistoryItem) -> Result<Option<Timestamp>, CallError> {
    let (before, after) = states(item)?;
    if after != "ALARM" || before.as_deref() == Some("ALARM") {
        return Ok(None);
    }
    time_of(item).map(Some)
}

/// Returns the states before and after an item's change, from its data, otherwise from its summary. The state before
/// may be missing.
///
/// # Errors
/// The item has no state after the change.
pub(super) fn states(item: &AlarmHistoryItem) -> Result<(Option<String>, String), CallError> {
    let data = item.history_data().and_then(states_from_data);
    let states = data.or_else(|| item.history_summary().and_then(states_from_summary));
    states.ok_or_else(|| unreadable("an item of the alarm's history has no new state"))
}

/// Returns the time of the item's change of state.
///
/// # Errors
/// The item has no time, or none between 1970 and 2200.
pub(super) fn time_of(item: &AlarmHistoryItem) -> Result<Timestamp, CallError> {
    let at = item.timestamp().and_then(our_time);
    at.ok_or_else(|| unreadable("an item of the alarm's history has no time"))
}

/// Reads the states before and after from `{"oldState":{"stateValue":…},"newState":{"stateValue":…}}`.
fn states_from_data(data: &str) -> Option<(Option<String>, String)> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    let before = state_under(&data, "oldState");
    Some((before, state_under(&data, "newState")?))
}

fn state_under(data: &serde_json::Value, key: &str) -> Option<String> {
    let value = data.get(key)?.get("stateValue")?;
    value.as_str().map(str::to_owned)
}

/// Reads the states before and after from `Alarm updated from OK to ALARM`.
fn states_from_summary(summary: &str) -> Option<(Option<String>, String)> {
    let (_, states) = summary.split_once("from ")?;
    let (before, after) = states.split_once(" to ")?;
    Some((first_word(before), first_word(after)?))
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(str::to_owned)
}

/// Returns the error of a history that was read but cannot be understood.
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

    /// Returns the time at which an item with this data and summary entered ALARM.
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
