//! `CloudWatch`: a strict model of its alarms and metrics.
//!
//! The model is pure and deterministic: every call gets the time as an argument, and between calls only
//! [`CloudWatch::advance`] changes anything. Code in the same process uses it through [`crate::signals::SimSignals`],
//! and tests use it over HTTP (`tests/support`).
//!
//! Modelled: metric and composite alarms with states, timestamps and history; evaluation of M out of N datapoints with
//! missing data; metric data, statistics, percentiles and basic metric math. Not modelled: actions, anomaly detection,
//! Metrics Insights, tags, streams, dashboards.

pub mod alarm;
pub mod definition;
pub mod describe;
pub mod error;
pub mod math;
pub mod metrics;
pub mod query;
pub mod rule;
pub mod state;
pub mod statistic;

pub(crate) mod evaluate;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use self::alarm::{
    AlarmDefinition, HISTORY_KEPT, HistoryItem, HistoryKind, MetricDefinition, StoredAlarm,
};
use self::definition::{AlarmHead, PutMetricAlarm};
use self::error::{ApiError, check_count, check_length};
use self::metrics::{Datum, MetricKey, MetricStore};
use self::query::{DataResult, DataStatus, Datapoint, RawQuery};
use self::rule::Rule;
use self::state::{bad_state, parse_state};
use self::statistic::Samples;
use cutover_engine::observation::AlarmState;

/// The account of all alarms: AWS's example account.
const ACCOUNT: &str = "123456789012";
/// The time from the creation of a composite alarm to its first evaluation. AWS says only that it is short.
const COMPOSITE_FIRST_LOOK: SignedDuration = SignedDuration::from_secs(1);
/// The most alarms in one call that deletes alarms, or enables or disables their actions. Source: API Reference.
const NAMES_PER_CALL_MAX: usize = 100;

/// `CloudWatch` in all regions.
#[derive(Debug, Clone, Default)]
pub struct CloudWatch {
    regions: BTreeMap<String, Region>,
}

/// `CloudWatch` in one region.
#[derive(Debug, Clone, Default)]
pub struct Region {
    name: String,
    alarms: BTreeMap<String, StoredAlarm>,
    /// The history of each alarm, by name, oldest first. It outlives the alarm.
    history: BTreeMap<String, VecDeque<HistoryItem>>,
    store: MetricStore,
    /// Statuses of series that are not `Complete`, by metric name.
    statuses: BTreeMap<String, DataStatus>,
    /// The next evaluations, by time. The same times are in `due` of the alarms.
    schedule: BTreeSet<(Timestamp, String)>,
    /// The names of the alarms on each metric.
    watchers: BTreeMap<MetricKey, BTreeSet<String>>,
    /// The names of the composite alarms.
    composites: BTreeSet<String>,
}

impl CloudWatch {
    /// Creates an account without alarms and data.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns one region, after evaluating every alarm in it that was due until `now`.
    pub fn region(&mut self, name: &str, now: Timestamp) -> &mut Region {
        let region = self
            .regions
            .entry(name.to_owned())
            .or_insert_with(|| Region {
                name: name.to_owned(),
                ..Region::default()
            });
        region.advance(now);
        region
    }

    /// Evaluates every alarm of all regions that was due until `now`, each at its due time.
    pub fn advance(&mut self, now: Timestamp) {
        for region in self.regions.values_mut() {
            region.advance(now);
        }
    }

    /// Sets the state of an alarm. If the alarm does not exist, it is created on a metric without data, so that only
    /// this call changes its state.
    pub fn set_state(&mut self, region: &str, name: &str, state: AlarmState, now: Timestamp) {
        let region = self.region(region, now);
        if !region.alarms.contains_key(name) {
            region.insert_quiet(name, now);
        }
        region.force(name, state, "set by the simulation".to_owned(), None, now);
    }

    /// Deletes an alarm, even if a composite alarm names it.
    pub fn remove(&mut self, region: &str, name: &str, now: Timestamp) {
        self.region(region, now).drop_alarm(name, now);
    }

    /// Sets an alarm's `EvaluationState`, for example `EVALUATION_FAILURE`. `None` means a complete evaluation. Does
    /// nothing if there is no such alarm.
    pub fn set_evaluation(
        &mut self,
        region: &str,
        name: &str,
        evaluation: Option<&str>,
        now: Timestamp,
    ) {
        if let Some(alarm) = self.region(region, now).alarms.get_mut(name) {
            alarm.evaluation = evaluation.map(str::to_owned);
            alarm.updated_at = now;
        }
    }
}

impl Region {
    /// Returns the alarm of that name.
    pub fn alarm(&self, name: &str) -> Option<&StoredAlarm> {
        self.alarms.get(name)
    }

    /// Runs `PutMetricAlarm`. A new alarm is in `INSUFFICIENT_DATA`; an existing one keeps its state.
    ///
    /// # Errors
    /// A parameter is wrong, or a composite alarm has this name.
    pub fn put_metric_alarm(
        &mut self,
        put: &PutMetricAlarm,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let definition = put.definition()?;
        let due = definition.watched.next_evaluation(now);
        self.put(&put.head, AlarmDefinition::Metric(definition), now)?;
        self.reschedule(&put.head.name, Some(due));
        Ok(())
    }

    /// Runs `PutCompositeAlarm`. All alarms that the rule names must exist.
    ///
    /// # Errors
    /// The rule is wrong, names an unknown alarm, or depends on the alarm itself; or a metric alarm has this name.
    pub fn put_composite_alarm(
        &mut self,
        head: &AlarmHead,
        rule: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        head.check()?;
        let rule = Rule::parse(rule).map_err(ApiError::validation)?;
        let unknown: Vec<_> = rule
            .children()
            .into_iter()
            .filter(|child| *child != head.name && !self.alarms.contains_key(*child))
            .collect();
        if !unknown.is_empty() {
            return Err(ApiError::validation(format!(
                "Could not save the composite alarm as alarms [{}] in the alarm rule do not exist",
                unknown.join(", ")
            )));
        }
        if self.reaches(&rule, &head.name) {
            return Err(ApiError::validation(
                "Could not save the composite alarm as its alarm rule refers to itself",
            ));
        }
        self.put(head, AlarmDefinition::Composite(rule), now)?;
        let due = now
            .checked_add(COMPOSITE_FIRST_LOOK)
            .unwrap_or(Timestamp::MAX);
        self.reschedule(&head.name, Some(due));
        Ok(())
    }

    /// Runs `SetAlarmState`. A metric alarm keeps the state until its next evaluation, a composite one until a child
    /// changes.
    ///
    /// # Errors
    /// The state or the alarm is unknown, a text is too long, or the reason's data is not JSON.
    pub fn set_alarm_state(
        &mut self,
        name: &str,
        state: &str,
        reason: &str,
        reason_data: Option<&str>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let state = parse_state(state).ok_or_else(|| bad_state(state))?;
        check_length("stateReason", reason, 0..=1023)?;
        if let Some(data) = reason_data {
            check_length("stateReasonData", data, 0..=4000)?;
            if serde_json::from_str::<serde_json::Value>(data).is_err() {
                let message = "StateReasonData was not a valid JSON document.";
                let shape = "InvalidFormatFault";
                return Err(ApiError {
                    shape,
                    code: "InvalidFormat",
                    message: message.to_owned(),
                });
            }
        }
        if !self.alarms.contains_key(name) {
            return Err(ApiError::not_found(format!("Unknown alarm: {name}")));
        }
        self.force(
            name,
            state,
            reason.to_owned(),
            reason_data.map(str::to_owned),
            now,
        );
        Ok(())
    }

    /// Runs `DeleteAlarms`: deletes all of these alarms or none.
    ///
    /// # Errors
    /// An alarm is unknown or named by a composite alarm, more than one is composite, or there are more than 100.
    pub fn delete_alarms(&mut self, names: &[String], now: Timestamp) -> Result<(), ApiError> {
        check_count("alarmNames", names.len(), NAMES_PER_CALL_MAX)?;
        if let Some(unknown) = names.iter().find(|name| !self.alarms.contains_key(*name)) {
            return Err(ApiError::not_found(format!("Unknown alarm: {unknown}")));
        }
        let composite = names.iter().filter(|name| self.composites.contains(*name));
        if composite.count() > 1 {
            return Err(ApiError::validation(
                "Only one composite alarm can be deleted in one operation.",
            ));
        }
        for name in names {
            if !self.parents(name).is_empty() {
                return Err(ApiError::validation(format!(
                    "Cannot delete {name} as there are composite alarm(s) depending on it."
                )));
            }
        }
        for name in names {
            self.drop_alarm(name, now);
        }
        Ok(())
    }

    /// Runs `EnableAlarmActions` or `DisableAlarmActions`. Unknown names are ignored.
    ///
    /// # Errors
    /// There are more than 100 names.
    pub fn enable_actions(&mut self, names: &[String], enabled: bool) -> Result<(), ApiError> {
        check_count("alarmNames", names.len(), NAMES_PER_CALL_MAX)?;
        for name in names {
            if let Some(alarm) = self.alarms.get_mut(name) {
                alarm.actions_enabled = enabled;
            }
        }
        Ok(())
    }

    /// Runs `PutMetricData`. The alarms on these metrics are evaluated at once; AWS takes up to a period longer.
    ///
    /// # Errors
    /// The data is empty, too large or out of range; then nothing is stored.
    pub fn put_metric_data(
        &mut self,
        namespace: &str,
        data: &[Datum],
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let touched = self.store.put(namespace, data, now)?;
        self.evaluate_watchers(&touched, now);
        Ok(())
    }

    /// Adds samples to the minute that begins at `at` (seconds since 1970), as AWS services do for their own metrics.
    /// Alarms are evaluated at their next due time, not at once.
    pub fn record(&mut self, metric: &MetricKey, at: i64, samples: &Samples) {
        self.store.record(metric, at, samples);
    }

    /// Sets the status of every series on a metric with this name. `None` restores the default, `Complete`.
    pub fn set_data_status(&mut self, metric: &str, status: Option<DataStatus>) {
        match status {
            Some(status) => drop(self.statuses.insert(metric.to_owned(), status)),
            None => drop(self.statuses.remove(metric)),
        }
    }

    /// Runs `GetMetricData` over `[start, end)`. The datapoints of each series are oldest first.
    ///
    /// # Errors
    /// A query is wrong, there are none or more than 500 of them, or the range is empty.
    pub fn metric_data(
        &self,
        queries: &[RawQuery],
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<DataResult>, ApiError> {
        query::metric_data(&self.store, &self.statuses, queries, (start, end))
    }

    /// Runs `GetMetricStatistics` over `[start, end)`, oldest first.
    ///
    /// # Errors
    /// A parameter is wrong, the range is empty, or more than 1,440 datapoints are asked for.
    pub fn metric_statistics(
        &self,
        metric: &MetricKey,
        (start, end): (Timestamp, Timestamp),
        period_secs: i64,
        statistics: &[String],
    ) -> Result<Vec<Datapoint>, ApiError> {
        query::metric_statistics(&self.store, metric, (start, end), period_secs, statistics)
    }

    /// Runs `ListMetrics`: returns a page of metrics, and the token of the next page, if there is one.
    ///
    /// # Errors
    /// This service did not issue the token.
    pub fn list_metrics(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
        dimensions: &[(String, Option<String>)],
        token: Option<&str>,
    ) -> Result<(Vec<MetricKey>, Option<String>), ApiError> {
        query::list(&self.store, namespace, name, dimensions, token)
    }

    /// Creates or replaces an alarm. Refuses the name of an alarm of the other kind.
    fn put(
        &mut self,
        head: &AlarmHead,
        definition: AlarmDefinition,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let composite = matches!(definition, AlarmDefinition::Composite(_));
        let old = self.alarms.remove(&head.name);
        if let Some(old) = &old
            && old.is_composite() != composite
        {
            let message = format!("{} exists already as an alarm of the other kind.", old.name);
            self.alarms.insert(old.name.clone(), old.clone());
            return Err(ApiError::validation(message));
        }
        if old.is_some() {
            self.unwatch(&head.name);
        }
        let what = if old.is_some() { "Update" } else { "Create" };
        let mut alarm = old.unwrap_or_else(|| self.new_alarm(&head.name, &definition, now));
        alarm.description.clone_from(&head.description);
        alarm.actions_enabled = head.actions_enabled.unwrap_or(true);
        alarm.ok_actions.clone_from(&head.ok_actions);
        alarm.alarm_actions.clone_from(&head.alarm_actions);
        alarm
            .insufficient_data_actions
            .clone_from(&head.insufficient_data_actions);
        alarm.configured_at = now;
        alarm.definition = definition;
        self.watch(&alarm);
        self.alarms.insert(head.name.clone(), alarm);
        self.remember(configuration_item(&head.name, composite, what, now));
        Ok(())
    }

    /// Returns a new alarm in `INSUFFICIENT_DATA`.
    fn new_alarm(&self, name: &str, definition: &AlarmDefinition, now: Timestamp) -> StoredAlarm {
        StoredAlarm {
            name: name.to_owned(),
            arn: format!("arn:aws:cloudwatch:{}:{ACCOUNT}:alarm:{name}", self.name),
            description: None,
            actions_enabled: true,
            ok_actions: Vec::new(),
            alarm_actions: Vec::new(),
            insufficient_data_actions: Vec::new(),
            configured_at: now,
            state: AlarmState::InsufficientData,
            reason: "Unchecked: Initial alarm creation".to_owned(),
            reason_data: None,
            updated_at: now,
            transitioned_at: now,
            evaluation: None,
            definition: definition.clone(),
            due: None,
        }
    }

    /// Creates an alarm whose state only [`CloudWatch::set_state`] changes.
    fn insert_quiet(&mut self, name: &str, now: Timestamp) {
        let definition = AlarmDefinition::Metric(MetricDefinition::quiet(name));
        let alarm = self.new_alarm(name, &definition, now);
        self.watch(&alarm);
        self.alarms.insert(name.to_owned(), alarm);
    }

    /// Sets the state of an alarm without evaluating it.
    fn force(
        &mut self,
        name: &str,
        state: AlarmState,
        reason: String,
        reason_data: Option<String>,
        now: Timestamp,
    ) {
        let Some(alarm) = self.alarms.get_mut(name) else {
            return;
        };
        let due = match &alarm.definition {
            AlarmDefinition::Metric(definition) => Some(definition.watched.next_evaluation(now)),
            AlarmDefinition::Composite(_) => None,
        };
        let item = alarm.enter(state, reason, reason_data, now);
        self.reschedule(name, due);
        if let Some(item) = item {
            self.remember(item);
            self.evaluate_parents(name, now);
        }
    }

    /// Deletes an alarm and adds the deletion to its history.
    fn drop_alarm(&mut self, name: &str, now: Timestamp) {
        self.reschedule(name, None);
        self.unwatch(name);
        if let Some(alarm) = self.alarms.remove(name) {
            self.remember(configuration_item(
                name,
                alarm.is_composite(),
                "Delete",
                now,
            ));
        }
    }

    /// Adds an item to the history, and drops items that are too old.
    fn remember(&mut self, item: HistoryItem) {
        let items = self.history.entry(item.alarm.clone()).or_default();
        while items
            .front()
            .is_some_and(|old| item.at.duration_since(old.at) > HISTORY_KEPT)
        {
            items.pop_front();
        }
        items.push_back(item);
    }

    /// Sets the time of an alarm's next evaluation. `None` means that none is due.
    fn reschedule(&mut self, name: &str, due: Option<Timestamp>) {
        let Some(alarm) = self.alarms.get_mut(name) else {
            return;
        };
        if let Some(old) = std::mem::replace(&mut alarm.due, due) {
            self.schedule.remove(&(old, name.to_owned()));
        }
        if let Some(due) = due {
            self.schedule.insert((due, name.to_owned()));
        }
    }

    /// Adds an alarm to the indexes.
    fn watch(&mut self, alarm: &StoredAlarm) {
        match &alarm.definition {
            AlarmDefinition::Metric(definition) => {
                for metric in definition.watched.metrics() {
                    let names = self.watchers.entry(metric.clone()).or_default();
                    names.insert(alarm.name.clone());
                }
            }
            AlarmDefinition::Composite(_) => {
                self.composites.insert(alarm.name.clone());
            }
        }
    }

    /// Removes an alarm from the indexes.
    fn unwatch(&mut self, name: &str) {
        self.composites.remove(name);
        self.watchers.retain(|_, names| {
            names.remove(name);
            !names.is_empty()
        });
    }

    /// Returns the composite alarms whose rules name this alarm.
    fn parents(&self, child: &str) -> Vec<String> {
        let mut parents = Vec::new();
        for name in &self.composites {
            if let Some(alarm) = self.alarms.get(name)
                && let AlarmDefinition::Composite(rule) = &alarm.definition
                && rule.children().contains(child)
            {
                parents.push(name.clone());
            }
        }
        parents
    }

    /// Returns true if a rule depends on an alarm, directly or through other composite alarms.
    fn reaches(&self, rule: &Rule, wanted: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = rule.children().into_iter().collect();
        while let Some(name) = open.pop() {
            if name == wanted {
                return true;
            }
            if let Some(AlarmDefinition::Composite(rule)) =
                self.alarms.get(name).map(|alarm| &alarm.definition)
                && seen.insert(name)
            {
                open.extend(rule.children());
            }
        }
        false
    }
}

/// Returns the history item of a created, changed or deleted alarm.
fn configuration_item(name: &str, composite: bool, what: &str, now: Timestamp) -> HistoryItem {
    let done = match what {
        "Create" => "created",
        "Delete" => "deleted",
        _ => "updated",
    };
    HistoryItem {
        alarm: name.to_owned(),
        composite,
        at: now,
        kind: HistoryKind::ConfigurationUpdate,
        summary: format!("Alarm \"{name}\" {done}"),
        data: json!({ "version": "1.0", "type": what }).to_string(),
        entered: None,
    }
}

#[cfg(test)]
mod tests;
