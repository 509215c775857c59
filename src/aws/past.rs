//! Implements the port `Past` with `CloudWatch`: reads the past changes of alarms.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::AlarmHistoryItem;
use jiff::Timestamp;

use super::alarm_history::{Bounds, states, time_of, unreadable};
use super::cloudwatch::{CloudWatchSignals, NO_REGION};
use crate::engine::backtest::AlarmChange;
use crate::engine::observation::AlarmState;
use crate::engine::plan::Account;
use crate::engine::units::AlarmId;
use crate::ports::{CallError, Past};

/// The most pages of one alarm: ten thousand changes of state. An alarm that changes every two minutes for two weeks
/// has as many.
const PAGES_MAX: usize = 100;

/// The longest wait of a page for a token. The pages of all alarms share one budget, which may have to let hundreds of
/// pages go first.
const TOKEN_WITHIN: Duration = Duration::from_mins(10);

#[async_trait]
impl Past for CloudWatchSignals {
    async fn alarm_changes(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<AlarmChange>, CallError> {
        let region = self.region_of(alarm);
        let region = region.ok_or_else(|| unreadable(NO_REGION))?;
        let bounds = Bounds {
            since,
            until: Some(until),
            pages_max: PAGES_MAX,
            token_within: TOKEN_WITHIN,
        };
        let changes =
            self.clients
                .state_updates(account, &region, alarm.bare_name(), bounds, change);
        let mut changes = changes.await?;
        changes.retain(|change| change.at >= since && change.at < until);
        changes.sort_by_key(|change| change.at);
        Ok(changes)
    }
}

/// The change in an item. An item without one is an error: a history with gaps would look better than it was.
fn change(item: &AlarmHistoryItem) -> Result<Option<AlarmChange>, CallError> {
    let (before, after) = states(item)?;
    let to = state(&after).ok_or_else(|| unreadable(&format!("unknown alarm state {after}")))?;
    Ok(Some(AlarmChange {
        at: time_of(item)?,
        from: before.as_deref().and_then(state),
        to,
    }))
}

/// Reads the API's name of a state. `None` if it is unknown.
fn state(name: &str) -> Option<AlarmState> {
    match name {
        "OK" => Some(AlarmState::Ok),
        "ALARM" => Some(AlarmState::Alarm),
        "INSUFFICIENT_DATA" => Some(AlarmState::InsufficientData),
        _ => None,
    }
}
