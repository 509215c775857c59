//! Reads the past from `CloudWatch`: first it says what that takes, then how far it has come.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::Result;
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::rehearse::progress::Progress;
use crate::engine::backtest::AlarmRecord;
use crate::engine::backtest::Past as AlarmPast;
use crate::engine::backtest::RECORD_VERSION;
use crate::engine::backtest::Record;
use crate::engine::observation::AlarmReading;
use crate::engine::plan::Account;
use crate::engine::plan::PlanSource;
use crate::engine::units::AlarmId;
use crate::ports::Clock as _;
use crate::ports::Past;
use crate::ports::Signals;
use crate::report::text;

/// How many names fit into a call. Source: `CloudWatch` API Reference, `DescribeAlarms`.
const NAMES_PER_CALL: usize = 100;

/// How many histories may be asked for in a second. Source: `CloudWatch` quotas, `DescribeAlarmHistory`.
const HISTORIES_A_SECOND: usize = 3;

/// A thousand requests cost a US cent, beyond a million a month that are free. Source: `CloudWatch` pricing, API requests.
const REQUESTS_A_CENT: usize = 1_000;

/// Reads what all alarms of the plans were in, from `since` to `until`.
///
/// # Errors
/// Standard error is closed. What cannot be read is part of the record.
pub(super) async fn read<S: Signals + Past>(
    context: &mut Context<'_>,
    sources: &[PlanSource],
    signals: &S,
    (since, until): (Timestamp, Timestamp),
) -> Result<Record> {
    let mut wanted: BTreeMap<Account, BTreeSet<AlarmId>> = BTreeMap::new();
    for source in sources {
        let alarms = source.plan.alarms().map(|gate| gate.id.clone());
        let account = source.plan.aws.account.clone();
        wanted.entry(account).or_default().extend(alarms);
    }
    context.note(&announcement(&wanted, since))?;
    let all: usize = wanted.values().map(BTreeSet::len).sum();
    // What an alarm is now says what it was then only together with all that happened since.
    let now = context.clock.now().max(until);
    let mut progress = Progress::new(context);
    let mut alarms = Vec::new();
    for (account, ids) in wanted {
        let states = signals.read_alarms(&account, &ids).await;
        for id in ids {
            let reading = states.get(&id).cloned().unwrap_or(AlarmReading::Missing);
            let past = read_one(signals, &account, &id, reading, (since, now)).await;
            alarms.push(AlarmRecord {
                account: account.clone(),
                id,
                past,
            });
            let words = format!("{} of {} read", alarms.len(), text::count(all, "alarm"));
            progress.say(context, &words)?;
        }
    }
    progress.end(context)?;
    Ok(Record {
        version: RECORD_VERSION,
        since,
        until,
        alarms,
        series: Vec::new(),
    })
}

async fn read_one(
    past: &impl Past,
    account: &Account,
    id: &AlarmId,
    reading: AlarmReading,
    (since, until): (Timestamp, Timestamp),
) -> AlarmPast {
    if !matches!(reading, AlarmReading::Found { .. }) {
        return AlarmPast::of(&reading, Vec::new(), since);
    }
    match past.alarm_changes(account, id, since, until).await {
        Ok(changes) => AlarmPast::of(&reading, changes, since),
        Err(error) => AlarmPast::Unreadable(error.to_string()),
    }
}

/// What reading takes: calls, time, money.
fn announcement(wanted: &BTreeMap<Account, BTreeSet<AlarmId>>, since: Timestamp) -> String {
    let alarms: usize = wanted.values().map(BTreeSet::len).sum();
    let describe: usize = wanted
        .values()
        .map(|ids| ids.len().div_ceil(NAMES_PER_CALL))
        .sum();
    let cents = (alarms + describe).div_ceil(REQUESTS_A_CENT);
    format!(
        "reading {} since {}: {} to DescribeAlarms, at least {} to DescribeAlarmHistory at {HISTORIES_A_SECOND} a second \
         (about {}s), at most {cents} US cents",
        text::count(alarms, "alarm"),
        text::minute(since),
        text::count(describe, "call"),
        text::count(alarms, "call"),
        alarms.div_ceil(HISTORIES_A_SECOND),
    )
}
