//! The port `Past` over `CloudWatch`: what alarms have been through.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::AlarmHistoryItem;
use aws_sdk_cloudwatch::types::AlarmType;
use aws_sdk_cloudwatch::types::HistoryItemType;
use aws_sdk_cloudwatch::types::ScanBy;
use jiff::Timestamp;

use super::cloudwatch::CloudWatchSignals;
use super::cloudwatch::NO_REGION;
use super::cloudwatch::endless;
use super::cloudwatch::our_time;
use super::cloudwatch::sdk_time;
use super::cloudwatch::states;
use super::errors::call_error;
use super::errors::no_token;
use crate::engine::backtest::Change;
use crate::engine::event::FailureClass;
use crate::engine::observation::AlarmState;
use crate::engine::plan::Account;
use crate::engine::units::AlarmId;
use crate::ports::CallError;
use crate::ports::Past;
use crate::ports::Urgency;

const HISTORY: &str = "DescribeAlarmHistory";

/// Source: `CloudWatch` API Reference, `DescribeAlarmHistory`, `MaxRecords`.
const RECORDS_PER_PAGE: i32 = 100;

/// Ten thousand changes of state: an alarm that changes every two minutes of a fortnight.
const PAGES_MAX: usize = 100;

/// A page waits for its turn as long as all pages before it may take at three a second.
const TOKEN_WITHIN: Duration = Duration::from_mins(10);

#[async_trait]
impl Past for CloudWatchSignals {
    async fn alarm_changes(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Change>, CallError> {
        let region = self.region_of(alarm);
        let region = region.ok_or_else(|| failed(NO_REGION))?;
        let (client, budgets) = self.history_access(account, &region).await;
        let mut changes = Vec::new();
        let mut next_token = None;
        for _ in 0..PAGES_MAX {
            let token = budgets
                .history
                .acquire(HISTORY, Urgency::Normal, TOKEN_WITHIN);
            token.await.map_err(|waited| no_token(HISTORY, waited))?;
            let request = client
                .describe_alarm_history()
                .alarm_name(&alarm.name)
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .history_item_type(HistoryItemType::StateUpdate)
                .start_date(sdk_time(since))
                .end_date(sdk_time(until))
                .scan_by(ScanBy::TimestampAscending)
                .max_records(RECORDS_PER_PAGE)
                .set_next_token(next_token);
            let reply = request.send().await;
            let reply = reply.map_err(|error| call_error(HISTORY, &error))?;
            for item in reply.alarm_history_items() {
                changes.push(change(item)?);
            }
            match reply.next_token {
                Some(token) if !token.is_empty() => next_token = Some(token),
                _ => {
                    changes.retain(|change: &Change| change.at >= since && change.at < until);
                    changes.sort_by_key(|change| change.at);
                    return Ok(changes);
                }
            }
        }
        Err(endless(HISTORY))
    }
}

/// The change that an item tells of. One that does not say is an error: a past with holes would look better than it was.
fn change(item: &AlarmHistoryItem) -> Result<Change, CallError> {
    let (before, after) = states(item).ok_or_else(|| {
        failed("an item of the alarm's history does not say which state followed")
    })?;
    let to = state(&after).ok_or_else(|| failed(&format!("unknown alarm state {after}")))?;
    let at = item.timestamp().and_then(our_time);
    Ok(Change {
        at: at.ok_or_else(|| failed("an item of the alarm's history has no time"))?,
        from: before.as_deref().and_then(state),
        to,
    })
}

fn state(name: &str) -> Option<AlarmState> {
    match name {
        "OK" => Some(AlarmState::Ok),
        "ALARM" => Some(AlarmState::Alarm),
        "INSUFFICIENT_DATA" => Some(AlarmState::InsufficientData),
        _ => None,
    }
}

fn failed(message: &str) -> CallError {
    CallError::new(HISTORY, FailureClass::Permanent, message)
}
