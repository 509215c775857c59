//! The calls to AWS that a preview makes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::controller::around_now;
use crate::engine::account::Account;
use crate::engine::around::AroundReading;
use crate::engine::decide;
use crate::engine::event::FailureClass;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::Readings as Series;
use crate::engine::evidence::wanted::{Minutes, wanted};
use crate::engine::hold::HoldReason;
use crate::engine::observation::{ChangeReading, GroupReading, HistoryReading};
use crate::engine::plan::{Group, Plan};
use crate::engine::state::State;
use crate::engine::units::{ChangeId, ZoneId};
use crate::ports::{CallError, Dns, Signals, Urgency};

/// How far back series are read. A service in use has had a request in the last hour.
const METRICS_OVER: SignedDuration = SignedDuration::from_hours(1);

/// The ID of a change that does not exist. A caller with permission gets the answer that there is no such change.
const NO_CHANGE: &str = "C00000000000000000000";

/// Reads the series that a round would read, over at least the last hour.
pub(super) async fn read_series(state: &State, signals: &dyn Signals, now: Timestamp) -> Series {
    let mut by_account: BTreeMap<Account, BTreeMap<Query, Minutes>> = BTreeMap::new();
    for (query, minutes) in wanted(state, now) {
        let hour = minutes.until.checked_sub(METRICS_OVER);
        let minutes = Minutes {
            from: minutes.from.min(hour.unwrap_or(minutes.from)),
            until: minutes.until,
        };
        let account = state.plan().account_of_series(&query).clone();
        let of_account = by_account.entry(account).or_default();
        of_account.insert(query, minutes);
    }
    let mut series = Series::new();
    for (account, wanted) in by_account {
        series.extend(signals.read_series(&account, &wanted).await);
    }
    series
}

/// Makes the calls that a controller needs only later: the status of a change, and the history of an alarm. Returns a
/// hold for each call that was denied.
pub(super) async fn probe(
    plan: &Plan,
    dns: &dyn Dns,
    signals: &dyn Signals,
    now: Timestamp,
) -> Vec<HoldReason> {
    let mut denied = Vec::new();
    let change = ChangeId::from(NO_CHANGE);
    let mut accounts = BTreeSet::new();
    for index in 0..plan.records.len() {
        let account = plan.account_of_group(index);
        if !accounts.insert(account) {
            continue;
        }
        if let ChangeReading::Denied(message) = dns.change_status(account, &change).await {
            denied.push(decide::denied_hold(decide::GET_CHANGE, &message));
        }
    }
    let mut places = BTreeSet::new();
    for gate in plan.alarms() {
        let account = plan.account_of(&gate.id);
        if !places.insert((account, gate.id.region.clone())) {
            continue;
        }
        let history = signals.alarm_history(account, &gate.id, now).await;
        if let HistoryReading::Denied(message) = history {
            denied.push(decide::denied_hold(decide::ALARM_HISTORY, &message));
        }
    }
    denied
}

pub(super) async fn read_group(
    account: &Account,
    group: &Group,
    dns: &dyn Dns,
    now: Timestamp,
) -> (GroupReading, Option<ZoneId>, AroundReading) {
    let zone = match dns.find_zone(account, &group.zone).await {
        Ok(zone) => zone,
        Err(error) => return (unreadable(&error, now), None, AroundReading::NotRead),
    };
    let id = zone.id.clone();
    let wanted = BTreeSet::from([group.name.clone()]);
    let mut read = dns
        .read_groups(account, &id, &wanted, Urgency::Normal)
        .await;
    let reading = match read.remove(&group.name) {
        Some(Ok(members)) => GroupReading::Read {
            zone: id.clone(),
            members,
            at: now,
        },
        Some(Err(error)) => unreadable(&error, now),
        None => GroupReading::NotRead,
    };
    let around = around_now(dns, account, &group.zone, zone, &group.name).await;
    (reading, Some(id), around)
}

fn unreadable(error: &CallError, now: Timestamp) -> GroupReading {
    let denied = error.class == FailureClass::Denied;
    GroupReading::Unreadable {
        message: error.to_string(),
        permanent: denied || error.class == FailureClass::Permanent,
        since: now,
        denied: denied.then(|| format!("route53:{}", error.operation)),
    }
}
