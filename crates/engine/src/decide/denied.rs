//! Calls that AWS denies. Each is a hold of its own, because only a person can allow it (semantics L15).

use std::collections::BTreeMap;

use super::view::View;
use crate::around::AroundReading;
use crate::evidence::reading::SeriesReading;
use crate::hold::HoldReason;
use crate::observation::{AlarmReading, ChangeReading, GroupReading, HistoryReading};

/// The IAM action to read if a change is in sync.
pub const GET_CHANGE: &str = "route53:GetChange";

/// The IAM action to read alarms.
pub const DESCRIBE_ALARMS: &str = "cloudwatch:DescribeAlarms";

/// The IAM action to read when alarms changed their states.
pub const ALARM_HISTORY: &str = "cloudwatch:DescribeAlarmHistory";

/// The IAM action to read metrics.
pub const METRIC_DATA: &str = "cloudwatch:GetMetricData";

/// Returns the hold of a denied IAM action. `message` is the message of the refusal.
pub fn hold(action: &str, message: &str) -> HoldReason {
    HoldReason::Denied {
        action: action.to_owned(),
        needed_for: needed_for(action).to_owned(),
        message: message.to_owned(),
    }
}

/// Returns the purpose of an IAM action, for people.
fn needed_for(action: &str) -> &'static str {
    match action {
        GET_CHANGE => "to know when a change is on all of Route 53's name servers",
        DESCRIBE_ALARMS => "to read the alarms",
        ALARM_HISTORY => "to know if an alarm was red between two readings",
        METRIC_DATA => "to read the metrics of the gates",
        _ => "to find the hosted zone and to read the records",
    }
}

/// Returns a hold for each IAM action that was denied in this round.
pub(super) fn holds(view: &View<'_>) -> Vec<HoldReason> {
    let seen = view.observation;
    let mut denied: BTreeMap<&str, &str> = BTreeMap::new();
    for reading in &seen.groups {
        if let GroupReading::Unreadable {
            message,
            denied: Some(action),
            ..
        } = reading
        {
            denied.entry(action).or_insert(message);
        }
    }
    for reading in &seen.around {
        if let AroundReading::Unreadable {
            message,
            denied: Some(action),
        } = reading
        {
            denied.entry(action).or_insert(message);
        }
    }
    for reading in seen.changes.values() {
        if let ChangeReading::Denied(message) = reading {
            denied.entry(GET_CHANGE).or_insert(message);
        }
    }
    for reading in seen.alarms.values() {
        if let AlarmReading::Denied(message) = reading {
            denied.entry(DESCRIBE_ALARMS).or_insert(message);
        }
    }
    for reading in seen.histories.values() {
        if let HistoryReading::Denied(message) = reading {
            denied.entry(ALARM_HISTORY).or_insert(message);
        }
    }
    for reading in seen.series.values() {
        if let SeriesReading::Denied(message) = reading {
            denied.entry(METRIC_DATA).or_insert(message);
        }
    }
    let mut holds = Vec::new();
    for (action, message) in denied {
        holds.push(hold(action, message));
    }
    holds
}
