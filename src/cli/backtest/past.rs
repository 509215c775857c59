//! Reads past alarms and metrics from `CloudWatch`, after a note about the number of calls and the cost.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::cli::context::Context;
use crate::cli::rehearse::progress::ProgressLine;
use crate::engine::backtest::Past as AlarmPast;
use crate::engine::backtest::{
    AlarmRecord, RECORD_VERSION, Record, SeriesPast, SeriesRecord, queries,
};
use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::{SeriesReading, floor};
use crate::engine::evidence::wanted::Minutes;
use crate::engine::observation::AlarmReading;
use crate::engine::plan::{Account, PlanSource};
use crate::engine::units::AlarmId;
use crate::ports::Clock as _;
use crate::ports::{Past, Signals};
use crate::report::text;

/// The largest number of alarm names in a call. Source: `CloudWatch` API Reference, `DescribeAlarms`.
const NAMES_PER_CALL: usize = 100;

/// The largest number of alarm histories read per second. Source: `CloudWatch` quotas, `DescribeAlarmHistory`.
const HISTORIES_A_SECOND: usize = 3;

/// The number of requests, or metrics of `GetMetricData`, that cost a US cent. Source: `CloudWatch` pricing, API requests.
const REQUESTS_A_CENT: usize = 1_000;

/// Reads the states of all alarms and the series of all metrics of the plans, from `since` to `until`.
///
/// # Errors
/// Standard error is closed. An alarm or series that cannot be read is recorded as unreadable.
pub(super) async fn read<S: Signals + Past>(
    context: &mut Context<'_>,
    sources: &[PlanSource],
    signals: &S,
    (since, until): (Timestamp, Timestamp),
) -> Result<Record> {
    let mut wanted: BTreeMap<Account, BTreeSet<AlarmId>> = BTreeMap::new();
    for source in sources {
        for (account, alarms) in source.plan.alarms_by_account() {
            wanted.entry(account).or_default().extend(alarms);
        }
    }
    let series = wanted_series(sources).values().map(BTreeSet::len).sum();
    context.note(&announcement(&wanted, series, (since, until)))?;
    let all: usize = wanted.values().map(BTreeSet::len).sum();
    // An alarm's state in the past follows from its present state and every change since.
    let now = context.clock.now().max(until);
    let mut progress = ProgressLine::new(context);
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
    let series = read_series(context, &mut progress, sources, signals, (since, until)).await?;
    progress.end(context)?;
    Ok(Record {
        version: RECORD_VERSION,
        since,
        until,
        alarms,
        series,
    })
}

/// The part of a series that is read in one call. A day fits into a call, and each call has a time limit of a few seconds.
const AT_A_TIME: SignedDuration = SignedDuration::from_hours(24);

/// Series are read from this long before the start of the past, because gates use earlier minutes too: the comparison
/// of both sides uses a day.
const READ_BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// Reads the series of all metric gates, a day at a time.
async fn read_series(
    context: &mut Context<'_>,
    progress: &mut ProgressLine,
    sources: &[PlanSource],
    signals: &impl Signals,
    (since, until): (Timestamp, Timestamp),
) -> Result<Vec<SeriesRecord>> {
    let mut series = Vec::new();
    for (account, queries) in wanted_series(sources) {
        let mut points: BTreeMap<Query, Result<BTreeMap<Timestamp, Number>, String>> = queries
            .into_iter()
            .map(|query| (query, Ok(BTreeMap::new())))
            .collect();
        let mut from = floor(since - READ_BEFORE, 60);
        while from < until {
            let minutes = Minutes {
                from,
                until: from + AT_A_TIME,
            };
            let mut wanted: BTreeMap<Query, Minutes> = BTreeMap::new();
            for (query, known) in &points {
                if known.is_ok() {
                    wanted.insert(query.clone(), minutes);
                }
            }
            let mut read = signals.read_series(&account, &wanted).await;
            for query in wanted.into_keys() {
                let reading = read.remove(&query);
                add(&mut points, query, reading);
            }
            from = minutes.until;
            let words = format!("metrics up to {}", text::minute(from.min(until)));
            progress.say(context, &words)?;
        }
        for (query, known) in points {
            let past = match known {
                Ok(points) => SeriesPast::of(&points, query.period_mins),
                Err(message) => SeriesPast::Unreadable(message),
            };
            let account = account.clone();
            series.push(SeriesRecord {
                account,
                query,
                past,
            });
        }
    }
    Ok(series)
}

/// Adds a day to a series. If one day cannot be read, the whole series is unreadable: with gaps, the past would look better than
/// it was.
fn add(
    points: &mut BTreeMap<Query, Result<BTreeMap<Timestamp, Number>, String>>,
    query: Query,
    reading: Option<SeriesReading>,
) {
    match reading {
        Some(SeriesReading::Read { points: more, .. }) => {
            if let Some(Ok(known)) = points.get_mut(&query) {
                known.extend(more.iter());
            }
        }
        Some(SeriesReading::Unreadable(message) | SeriesReading::Denied(message)) => {
            drop(points.insert(query, Err(message)));
        }
        None => drop(points.insert(query, Err("it was not read".to_owned()))),
    }
}

fn wanted_series(sources: &[PlanSource]) -> BTreeMap<Account, BTreeSet<Query>> {
    let mut wanted: BTreeMap<Account, BTreeSet<Query>> = BTreeMap::new();
    for source in sources {
        for query in queries(&source.plan.gates.measures) {
            let account = source.plan.account_of_series(&query).clone();
            wanted.entry(account).or_default().insert(query);
        }
    }
    wanted
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

/// Returns the note that says how many calls the reading makes, how long it takes and what it costs.
fn announcement(
    wanted: &BTreeMap<Account, BTreeSet<AlarmId>>,
    series: usize,
    (since, until): (Timestamp, Timestamp),
) -> String {
    let alarms: usize = wanted.values().map(BTreeSet::len).sum();
    let describe: usize = wanted
        .values()
        .map(|ids| ids.len().div_ceil(NAMES_PER_CALL))
        .sum();
    let length = until.duration_since(since - READ_BEFORE).as_hours();
    let days = usize::try_from(length.div_euclid(24) + 1).unwrap_or(usize::MAX);
    let metrics = series.saturating_mul(days);
    let cents = (alarms + describe + metrics).div_ceil(REQUESTS_A_CENT);
    let of_series = if series == 0 {
        String::new()
    } else {
        format!(", and {series} series a day at a time from GetMetricData ({metrics} metrics)")
    };
    format!(
        "reading {} since {}: {} to DescribeAlarms, at least {} to DescribeAlarmHistory at {HISTORIES_A_SECOND} a second \
         (about {}s){of_series}; at most {cents} US cents",
        text::count(alarms, "alarm"),
        text::minute(since),
        text::count(describe, "call"),
        text::count(alarms, "call"),
        alarms.div_ceil(HISTORIES_A_SECOND),
    )
}
