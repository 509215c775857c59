//! The evaluation of alarms: M of N datapoints, missing data, and rules over other alarms.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::Region;
use super::alarm::{AlarmDefinition, AlarmSource, MetricDefinition, MissingData};
use super::metrics::{MetricKey, floor};
use super::query::series_of;
use super::state::state_text;
use cutover_engine::observation::AlarmState;

/// The number of periods beyond N that are evaluated. AWS gives no number. In its examples 5 periods are evaluated if N
/// is 3.
const EXTRA_PERIODS: u32 = 2;

/// Returns the state that these datapoints give. `None` means that the alarm keeps its state.
///
/// `points` are newest first: true is breaching, false is not, and `None` is a missing datapoint. `periods` is N and
/// `to_alarm` is M.
///
/// Source: `CloudWatch` User Guide, "Configuring how alarms treat missing data", with its tables, and "Avoiding
/// premature transitions to alarm state".
pub(crate) fn verdict(
    points: &[Option<bool>],
    periods: usize,
    to_alarm: usize,
    missing: MissingData,
) -> Option<AlarmState> {
    let real: Vec<bool> = points.iter().flatten().copied().take(periods).collect();
    let breaching = real.iter().filter(|breaching| **breaching).count();
    let filled = periods - real.len();
    if filled == 0 || breaching >= to_alarm {
        return Some(alarm_if(breaching >= to_alarm));
    }
    match missing {
        MissingData::NotBreaching => Some(AlarmState::Ok),
        MissingData::Breaching => Some(alarm_if(breaching + filled >= to_alarm)),
        MissingData::Missing if real.is_empty() => Some(AlarmState::InsufficientData),
        MissingData::Ignore if real.is_empty() => None,
        MissingData::Missing | MissingData::Ignore if breaching < real.len() => {
            Some(AlarmState::Ok)
        }
        MissingData::Ignore => None,
        // All datapoints breach, but they are fewer than M: ALARM if the oldest of them is at least M periods old.
        MissingData::Missing => {
            let oldest = points.iter().rposition(|point| *point == Some(true));
            let old_enough = oldest.is_some_and(|newer| newer + 1 >= to_alarm);
            old_enough.then_some(AlarmState::Alarm)
        }
    }
}

/// Returns ALARM if the condition holds, otherwise OK.
fn alarm_if(alarm: bool) -> AlarmState {
    if alarm {
        AlarmState::Alarm
    } else {
        AlarmState::Ok
    }
}

impl Region {
    /// Evaluates every alarm that was due until `now`, each at its due time, oldest first.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while let Some((at, name)) = self.schedule.first().cloned() {
            if at > now {
                return;
            }
            self.evaluate(&name, at);
        }
    }

    /// Evaluates the alarms that watch one of these metrics.
    pub(super) fn evaluate_watchers(&mut self, touched: &[MetricKey], now: Timestamp) {
        let names: std::collections::BTreeSet<String> = touched
            .iter()
            .filter_map(|metric| self.watchers.get(metric))
            .flatten()
            .cloned()
            .collect();
        for name in names {
            self.evaluate(&name, now);
        }
    }

    /// Evaluates one alarm. Does nothing if there is no alarm of this name.
    fn evaluate(&mut self, name: &str, now: Timestamp) {
        self.reschedule(name, None);
        let Some(alarm) = self.alarms.get(name) else {
            return;
        };
        match alarm.definition.clone() {
            AlarmDefinition::Metric(definition) => self.evaluate_metric(name, &definition, now),
            AlarmDefinition::Composite(rule) => {
                let holds = rule.holds(&|child| self.alarms.get(child).map(|alarm| alarm.state));
                let value = if holds { "TRUE" } else { "FALSE" };
                let reason = format!("The alarm rule of {name} evaluates to {value}");
                self.change(name, alarm_if(holds), reason, None, now);
            }
        }
    }

    /// Evaluates a metric alarm, and schedules the next evaluation if there is data in range.
    fn evaluate_metric(&mut self, name: &str, definition: &MetricDefinition, now: Timestamp) {
        let period = definition.watched.period_secs().max(1);
        let newest = self.newest_period(&definition.watched, period, now);
        let count = definition.evaluation_periods + EXTRA_PERIODS;
        let oldest = newest - period * i64::from(count - 1);
        let series = self.series(&definition.watched, (oldest, newest + period));
        let values: Vec<Option<f64>> = (0..i64::from(count))
            .map(|back| series.get(&(newest - back * period)).copied())
            .collect();
        let points: Vec<Option<bool>> = values
            .iter()
            .map(|value| value.map(|v| definition.comparison.breaches(v, definition.threshold)))
            .collect();
        let periods = usize::try_from(definition.evaluation_periods).unwrap_or(usize::MAX);
        let to_alarm = definition.datapoints_to_alarm.map_or(periods, |number| {
            usize::try_from(number).unwrap_or(usize::MAX)
        });
        let missing = definition.treat_missing.unwrap_or(MissingData::Missing);
        if let Some(state) = verdict(&points, periods, to_alarm, missing) {
            let recent: Vec<f64> = values.iter().rev().flatten().copied().collect();
            let reason = reason(state, &recent, definition);
            let data = json!({
                "version": "1.0",
                "queryDate": now.to_string(),
                "period": period,
                "recentDatapoints": recent,
                "threshold": definition.threshold,
            });
            self.change(name, state, reason, Some(data.to_string()), now);
        }
        // Without data in range, every later evaluation gives the same state. Only new data or a call can change it.
        let metrics = definition.watched.metrics();
        let in_sight = metrics
            .into_iter()
            .any(|metric| self.store.has_data(metric, (oldest, i64::MAX)));
        if in_sight {
            self.reschedule(name, Some(definition.watched.next_evaluation(now)));
        }
    }

    /// Returns the start of the newest period that counts: the current period if it has data, otherwise the one before.
    /// Seconds since 1970.
    fn newest_period(&self, watched: &AlarmSource, period: i64, now: Timestamp) -> i64 {
        let current = floor(now.as_second(), period);
        let under_way = (current, current + period);
        let metrics = watched.metrics();
        let has_data = metrics
            .into_iter()
            .any(|metric| self.store.has_data(metric, under_way));
        if has_data { current } else { current - period }
    }

    /// Returns the values of the watched metric or expression, by the start of the period in seconds since 1970.
    fn series(&self, watched: &AlarmSource, range: (i64, i64)) -> BTreeMap<i64, f64> {
        match watched {
            AlarmSource::Metric(stat) => self.store.series(stat, range),
            AlarmSource::Math(queries) => match queries.iter().find(|query| query.returns_data) {
                Some(query) => series_of(&self.store, queries, query, range),
                None => BTreeMap::new(),
            },
        }
    }

    /// Sets the state that an evaluation gave. If it differs from the old one, evaluates the composite alarms over this
    /// one.
    fn change(
        &mut self,
        name: &str,
        state: AlarmState,
        reason: String,
        data: Option<String>,
        now: Timestamp,
    ) {
        let Some(alarm) = self.alarms.get_mut(name) else {
            return;
        };
        if alarm.state == state {
            return;
        }
        if let Some(item) = alarm.enter(state, reason, data, now) {
            self.remember(item);
            self.evaluate_parents(name, now);
        }
    }

    /// Evaluates the composite alarms whose rules name this alarm. A composite alarm is evaluated only if a child
    /// changes, so a state that was set by a call lasts until then. Source: API Reference, `SetAlarmState`.
    pub(super) fn evaluate_parents(&mut self, child: &str, now: Timestamp) {
        for parent in self.parents(child) {
            self.evaluate(&parent, now);
        }
    }
}

/// Returns the text that explains the state. `recent` are the values, oldest first.
fn reason(state: AlarmState, recent: &[f64], definition: &MetricDefinition) -> String {
    match state {
        AlarmState::InsufficientData => "Insufficient Data: no datapoints were received".to_owned(),
        AlarmState::Ok | AlarmState::Alarm => format!(
            "Threshold Crossed: datapoints {recent:?} against {} {} ({})",
            definition.comparison.text(),
            definition.threshold,
            state_text(state)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the user guide's tables for "3 of 3": datapoints, oldest first (`0` is good, `X` is breaching, `-` is
    /// missing), then the states for missing, ignore, breaching and notBreaching (`O` is OK, `X` is ALARM, `I` is
    /// insufficient data, `=` is unchanged).
    const THREE_OF_THREE: [(&str, &str); 5] = [
        ("0 - X - X", "O O O O"),
        ("0 - - - -", "O O O O"),
        ("- - - - -", "I = X O"),
        ("0 X X - X", "X X X X"),
        ("- - X - -", "X = X O"),
    ];
    /// The same for "2 of 3".
    const TWO_OF_THREE: [(&str, &str); 5] = [
        ("0 - X - X", "X X X X"),
        ("0 0 X 0 X", "X X X X"),
        ("0 - X - -", "O O X O"),
        ("- - - - 0", "O O X O"),
        ("- - - X -", "X = X O"),
    ];

    fn agrees(row: &str, wanted: &str, to_alarm: usize) {
        let points: Vec<_> = row
            .split(' ')
            .rev()
            .map(|point| (point != "-").then_some(point == "X"))
            .collect();
        let kinds = [
            MissingData::Missing,
            MissingData::Ignore,
            MissingData::Breaching,
            MissingData::NotBreaching,
        ];
        for (kind, wanted) in kinds.into_iter().zip(wanted.split(' ')) {
            let state = verdict(&points, 3, to_alarm, kind);
            let wanted = match wanted {
                "O" => Some(AlarmState::Ok),
                "X" => Some(AlarmState::Alarm),
                "I" => Some(AlarmState::InsufficientData),
                _ => None,
            };
            assert_eq!(state, wanted, "{row} {kind:?}");
        }
    }

    #[test]
    fn missing_data_is_treated_as_in_the_user_guides_tables() {
        for (row, wanted) in THREE_OF_THREE {
            agrees(row, wanted, 3);
        }
        for (row, wanted) in TWO_OF_THREE {
            agrees(row, wanted, 2);
        }
    }

    #[test]
    fn a_single_new_breaching_point_of_three_is_not_red_yet() {
        agrees("- - - - X", "= = X O", 3);
        agrees("- - - X -", "= = X O", 3);
    }
}
