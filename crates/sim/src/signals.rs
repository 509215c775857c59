//! The model of `CloudWatch` as an implementation of the [`Signals`] port, with faults at every call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;

use super::cloudwatch::CloudWatch;
use super::cloudwatch::alarm::StoredAlarm;
use super::cloudwatch::describe::{ALARM_NAMES_MAX, DescribeAlarms, DescribeHistory};
use super::cloudwatch::metrics::MetricKey;
use super::cloudwatch::query::{DataStatus, QUERIES_MAX, RawQuery, RawStat};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::Query;
use cutover_engine::evidence::reading::{Readings, SeriesReading};
use cutover_engine::evidence::wanted::Minutes;
use cutover_engine::observation::{AlarmReading, HistoryReading};
use cutover_engine::plan::Account;
use cutover_engine::units::AlarmId;
use cutover_ports::{AlarmPage, Clock, Signals};

/// A model that several adapters may share.
pub type SharedCloudWatch = Arc<Mutex<CloudWatch>>;

/// The active faults of the adapter's calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignalFaults {
    /// The message with which every call fails. `None` if calls succeed.
    pub down: Option<String>,
    /// The alarms that cannot be read, each with the message. Other alarms on the same page can be read.
    pub unreadable: BTreeMap<String, String>,
    /// The message with which reading the history fails. `None` if it succeeds.
    pub history_down: Option<String>,
    /// How long every call takes, by tokio's clock.
    pub delay: Duration,
    /// The service's clock minus the clock of this process.
    pub skew: SignedDuration,
}

/// A simulated `CloudWatch`. Clones share the model, the faults and the counts.
#[derive(Clone)]
pub struct SimSignals {
    model: SharedCloudWatch,
    clock: Arc<dyn Clock>,
    default_region: String,
    state: Arc<Mutex<SignalState>>,
}

/// The state that belongs to the adapter, not to the model.
#[derive(Default)]
struct SignalState {
    /// The active faults.
    faults: SignalFaults,
    /// The number of calls, by operation.
    calls: BTreeMap<&'static str, u64>,
    /// True once a reply has arrived. Before that the clock skew is unknown.
    answered: bool,
}

impl SimSignals {
    /// Creates an adapter over `model`. An alarm without a region belongs to `default_region`.
    pub fn new(model: SharedCloudWatch, clock: Arc<dyn Clock>, default_region: &str) -> Self {
        Self {
            model,
            clock,
            default_region: default_region.to_owned(),
            state: Arc::default(),
        }
    }

    /// Locks the model.
    pub fn model(&self) -> MutexGuard<'_, CloudWatch> {
        lock(&self.model)
    }

    /// Changes the active faults.
    pub fn faults(&self, change: impl FnOnce(&mut SignalFaults)) {
        change(&mut lock(&self.state).faults);
    }

    /// Returns the number of calls so far, by operation. Each page is a call.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.state).calls.clone()
    }

    /// Returns the alarm's region, or the default region.
    fn region_of(&self, alarm: &AlarmId) -> String {
        let region = alarm.region.as_ref();
        region.unwrap_or(&self.default_region).clone()
    }

    /// Counts a call, waits for the delay, and returns the faults that were active when the call began.
    async fn call(&self, operation: &'static str) -> SignalFaults {
        let faults = {
            let mut state = lock(&self.state);
            *state.calls.entry(operation).or_default() += 1;
            state.faults.clone()
        };
        if !faults.delay.is_zero() {
            tokio::time::sleep(faults.delay).await;
        }
        if faults.down.is_none() {
            lock(&self.state).answered = true;
        }
        faults
    }

    /// Reads one series. Returns [`SeriesReading::Unreadable`] unless its status is `Complete`.
    fn one_series(&self, region: &str, query: &Query, minutes: Minutes) -> SeriesReading {
        let (queries, id) = raw_queries(query);
        let now = self.clock.now();
        let mut model = lock(&self.model);
        let answer = model
            .region(region, now)
            .metric_data(&queries, minutes.from, minutes.until);
        let results = match answer {
            Ok(results) => results,
            Err(error) => return SeriesReading::Unreadable(error.to_string()),
        };
        let Some(result) = results.into_iter().find(|result| result.id == id) else {
            return SeriesReading::Unreadable("CloudWatch returned nothing for it".to_owned());
        };
        if result.status != DataStatus::Complete {
            return SeriesReading::Unreadable(result.status.text().to_owned());
        }
        let mut points = BTreeMap::new();
        for (at, value) in result.points {
            let within = at >= minutes.from && at < minutes.until;
            if within && let Some(value) = Number::new(value) {
                points.insert(at, value);
            }
        }
        SeriesReading::Read {
            from: minutes.from,
            until: minutes.until,
            points: Arc::new(points),
        }
    }

    /// Divides alarms into calls. Each call has one region and at most 100 names.
    fn pages<'a>(&self, wanted: &'a BTreeSet<AlarmId>) -> Vec<(String, Vec<&'a AlarmId>)> {
        let mut by_region: BTreeMap<String, Vec<&AlarmId>> = BTreeMap::new();
        for alarm in wanted {
            let region = self.region_of(alarm);
            by_region.entry(region).or_default().push(alarm);
        }
        let mut pages = Vec::new();
        for (region, alarms) in by_region {
            for page in alarms.chunks(ALARM_NAMES_MAX) {
                pages.push((region.clone(), page.to_vec()));
            }
        }
        pages
    }

    /// Reads one page of alarms: at most 100 names of one region, in one call.
    async fn page(&self, region: &str, page: &[&AlarmId]) -> Vec<(AlarmId, AlarmReading)> {
        let faults = self.call("DescribeAlarms").await;
        let ask = DescribeAlarms {
            names: page.iter().map(|alarm| alarm.name.clone()).collect(),
            types: vec!["MetricAlarm".to_owned(), "CompositeAlarm".to_owned()],
            max_records: i64::try_from(ALARM_NAMES_MAX).ok(),
            ..DescribeAlarms::default()
        };
        let now = self.clock.now();
        let answer = lock(&self.model).region(region, now).describe_alarms(&ask);
        let mut readings = Vec::new();
        for alarm in page {
            let failure = faults
                .down
                .as_ref()
                .or_else(|| faults.unreadable.get(&alarm.name));
            let reading = match (failure, &answer) {
                (Some(why), _) => AlarmReading::Unreadable(why.clone()),
                (None, Err(error)) => AlarmReading::Unreadable(error.to_string()),
                (None, Ok(found)) => reading_of(&alarm.name, &found.items),
            };
            readings.push(((*alarm).clone(), reading));
        }
        readings
    }
}

/// Returns the reading of an alarm from a reply of `DescribeAlarms`, which leaves out unknown names.
fn reading_of(name: &str, found: &[StoredAlarm]) -> AlarmReading {
    match found.iter().find(|alarm| alarm.name == name) {
        None => AlarmReading::Missing,
        Some(alarm) => AlarmReading::Found {
            state: alarm.state,
            transitioned_at: Some(alarm.transitioned_at),
            evaluation: alarm.evaluation.clone(),
        },
    }
}

#[async_trait]
impl Signals for SimSignals {
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    ) {
        for (region, page) in self.pages(wanted) {
            let page = self.page(&region, &page).await;
            // Sending fails only if the receiver is gone. Then the readings are not needed.
            drop(told.send((account.clone(), page)));
        }
    }

    async fn alarm_history(
        &self,
        _account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading {
        let mut ask = DescribeHistory {
            name: Some(alarm.name.clone()),
            types: vec!["MetricAlarm".to_owned(), "CompositeAlarm".to_owned()],
            kind: Some("StateUpdate".to_owned()),
            start: Some(since),
            ascending: true,
            ..DescribeHistory::default()
        };
        let mut entered = Vec::new();
        loop {
            let faults = self.call("DescribeAlarmHistory").await;
            let failure = [
                faults.down.as_ref(),
                faults.history_down.as_ref(),
                faults.unreadable.get(&alarm.name),
            ];
            if let Some(why) = failure.into_iter().flatten().next() {
                return HistoryReading::Unreadable(why.clone());
            }
            let now = self.clock.now();
            let answer = lock(&self.model)
                .region(&self.region_of(alarm), now)
                .describe_history(&ask, now);
            let page = match answer {
                Ok(page) => page,
                Err(error) => return HistoryReading::Unreadable(error.to_string()),
            };
            for item in page.items {
                if item.entered_alarm() && item.at > since {
                    entered.push(item.at);
                }
            }
            match page.next_token {
                Some(token) => ask.next_token = Some(token),
                None => return HistoryReading::EnteredAlarm(entered),
            }
        }
    }

    async fn read_series(&self, _account: &Account, wanted: &BTreeMap<Query, Minutes>) -> Readings {
        let mut by_region: BTreeMap<&str, Vec<(&Query, Minutes)>> = BTreeMap::new();
        for (query, minutes) in wanted {
            let region = query.region.as_ref().unwrap_or(&self.default_region);
            by_region.entry(region).or_default().push((query, *minutes));
        }
        let mut readings = Readings::new();
        for (region, series) in by_region {
            let mut queries = 0_usize;
            for (query, _) in &series {
                // The inputs of an expression are queries too.
                queries += query.inputs.len() + usize::from(query.expression.is_some());
            }
            let mut down = None;
            for _ in 0..queries.div_ceil(QUERIES_MAX) {
                down = self.call("GetMetricData").await.down;
            }
            for (query, minutes) in series {
                let reading = match &down {
                    Some(why) => SeriesReading::Unreadable(why.clone()),
                    None => self.one_series(region, query, minutes),
                };
                readings.insert(query.clone(), reading);
            }
        }
        readings
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        let state = lock(&self.state);
        state.answered.then_some(state.faults.skew)
    }
}

/// Returns the queries that ask `GetMetricData` for a series, and the id of the result.
fn raw_queries(query: &Query) -> (Vec<RawQuery>, String) {
    let mut queries = Vec::new();
    for (name, metric) in &query.inputs {
        queries.push(RawQuery {
            id: name.clone(),
            stat: Some(RawStat {
                metric: MetricKey {
                    namespace: metric.namespace.clone(),
                    name: metric.metric.clone(),
                    dimensions: metric.dimensions.clone(),
                },
                period_secs: i64::from(query.period_mins) * 60,
                statistic: metric.stat.clone(),
                unit: None,
            }),
            returns_data: Some(query.expression.is_none()),
            ..RawQuery::default()
        });
    }
    let mut id = query.inputs.keys().next().cloned().unwrap_or_default();
    if let Some(expression) = &query.expression {
        "resultOfAll".clone_into(&mut id);
        queries.push(RawQuery {
            id: id.clone(),
            expression: Some(expression.clone()),
            ..RawQuery::default()
        });
    }
    (queries, id)
}

/// Locks a mutex. A poisoned lock is usable, because the data behind it is plain.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_engine::observation::AlarmState;

    struct FixedClock(Mutex<Timestamp>);

    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            *lock(&self.0)
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn signals() -> SimSignals {
        let clock = Arc::new(FixedClock(Mutex::new(at(1_000))));
        SimSignals::new(SharedCloudWatch::default(), clock, "eu-west-1")
    }

    fn id(name: &str, region: Option<&str>) -> AlarmId {
        let region = region.map(str::to_owned);
        AlarmId {
            region,
            name: name.to_owned(),
        }
    }

    fn found(state: AlarmState, second: i64) -> AlarmReading {
        AlarmReading::Found {
            state,
            transitioned_at: Some(at(second)),
            evaluation: None,
        }
    }

    async fn history_since(signals: &SimSignals, second: i64) -> HistoryReading {
        signals
            .alarm_history(&account(), &id("a", None), at(second))
            .await
    }

    fn account() -> Account {
        Account::default()
    }

    #[tokio::test]
    async fn every_wanted_alarm_is_answered_in_pages_of_a_hundred_a_region() {
        let signals = signals();
        signals
            .model()
            .set_state("eu-west-1", "a7", AlarmState::Alarm, at(5));
        signals
            .model()
            .set_state("us-east-1", "far", AlarmState::Ok, at(6));
        let mut wanted: BTreeSet<_> = (0..150)
            .map(|number| id(&format!("a{number}"), None))
            .collect();
        wanted.insert(id("far", Some("us-east-1")));
        wanted.insert(id("a7", Some("us-east-1")));
        let readings = signals.read_alarms(&account(), &wanted).await;
        assert_eq!(readings.len(), 152);
        assert_eq!(signals.calls(), BTreeMap::from([("DescribeAlarms", 3)]));
        assert_eq!(readings[&id("a7", None)], found(AlarmState::Alarm, 5));
        assert_eq!(
            readings[&id("a7", Some("us-east-1"))],
            AlarmReading::Missing
        );
        assert_eq!(
            readings[&id("far", Some("us-east-1"))],
            found(AlarmState::Ok, 6)
        );
    }

    #[tokio::test]
    async fn history_gives_each_entry_into_alarm_after_the_given_time() {
        let signals = signals();
        for (second, state) in [
            (1, AlarmState::Alarm),
            (2, AlarmState::Ok),
            (3, AlarmState::Alarm),
        ] {
            signals
                .model()
                .set_state("eu-west-1", "a", state, at(second));
        }
        assert_eq!(
            history_since(&signals, 0).await,
            HistoryReading::EnteredAlarm(vec![at(1), at(3)])
        );
        assert_eq!(
            history_since(&signals, 1).await,
            HistoryReading::EnteredAlarm(vec![at(3)])
        );
        assert_eq!(
            history_since(&signals, 3).await,
            HistoryReading::EnteredAlarm(vec![])
        );
    }

    #[tokio::test]
    async fn faults_make_readings_unreadable_never_missing() {
        let signals = signals();
        signals
            .model()
            .set_state("eu-west-1", "a", AlarmState::Ok, at(1));
        assert_eq!(signals.clock_skew(), None);
        signals.faults(|faults| faults.down = Some("timed out".to_owned()));
        let wanted = BTreeSet::from([id("a", None), id("b", None)]);
        let unreadable = AlarmReading::Unreadable("timed out".to_owned());
        for reading in signals.read_alarms(&account(), &wanted).await.values() {
            assert_eq!(*reading, unreadable);
        }
        signals.faults(|faults| {
            faults.down = None;
            faults
                .unreadable
                .insert("b".to_owned(), "AccessDenied".to_owned());
        });
        let readings = signals.read_alarms(&account(), &wanted).await;
        assert!(matches!(
            readings[&id("a", None)],
            AlarmReading::Found { .. }
        ));
        assert!(matches!(
            readings[&id("b", None)],
            AlarmReading::Unreadable(_)
        ));
        assert_eq!(signals.clock_skew(), Some(SignedDuration::ZERO));
    }
}
