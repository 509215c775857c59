//! Simulated metric alarms. They read the minutes of a service and return changes of their states.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::cloudwatch::alarm::MissingData;
use crate::cloudwatch::evaluate::verdict;
use crate::scenario::{self, Evaluation, Measure, Scenario, Side};
use crate::traffic::{MINUTE, Metrics, Sample};
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::Plan;
use cutover_engine::units::AlarmId;

/// The number of periods beyond N that are evaluated, as in the model of CloudWatch.
const EXTRA_PERIODS: usize = 2;

/// The part of failed requests above which an alarm breaches, if the scenario gives none (0 to 1).
const ERRORS_ABOVE: f64 = 0.05;

/// The multiple of the cluster's usual response time above which an alarm breaches, if the scenario gives none.
const LATENCY_TIMES: f64 = 4.0;

/// Words in the names of alarms that measure latency. An alarm without any of them counts errors.
const LATENCY_WORDS: [&str; 8] = [
    "latency",
    "p99",
    "p95",
    "p90",
    "slow",
    "duration",
    "response-time",
    "responsetime",
];

/// The quantity that an alarm measures, with its threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measured {
    /// The part of the requests that failed (0 to 1). A datapoint above the threshold breaches.
    Errors(f64),
    /// The 99th percentile of response times, in milliseconds. A datapoint above the threshold breaches.
    Latency(f64),
}

/// A simulated metric alarm.
#[derive(Debug, Clone)]
pub struct AlarmWatch {
    /// The identity of the alarm in CloudWatch.
    pub id: AlarmId,
    /// The quantity that the alarm measures.
    pub measured: Measured,
    /// The cluster that the alarm watches.
    pub side: Side,
    /// The state by the datapoints so far.
    pub state: AlarmState,
    evaluation: Evaluation,
    /// The last datapoints, newest first: true is breaching, false is not, and `None` is missing.
    points: VecDeque<Option<bool>>,
    /// The metrics of the current period.
    gathered: Metrics,
}

/// A datapoint that breaches, or that changes the alarm's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmTurn {
    /// The time at which the datapoint can be seen.
    pub at: Timestamp,
    /// True if the datapoint breaches.
    pub breaching: bool,
    /// The new state. `None` if the state stays.
    pub state: Option<AlarmState>,
}

impl AlarmWatch {
    /// Creates an alarm of a plan or of a composite alarm. The scenario decides what it measures. If the scenario does
    /// not say, the alarm's name does. `fallback` alarms watch the old side by default, others the new one.
    pub fn new(id: AlarmId, fallback: bool, scenario: &Scenario) -> Self {
        let said = scenario.alarms.iter().find(|alarm| alarm.name == id.name);
        let default = if fallback { Side::Old } else { Side::New };
        let side = said.and_then(|alarm| alarm.side).unwrap_or(default);
        let cluster = match side {
            Side::New => &scenario.new,
            Side::Old => &scenario.old,
        };
        let usual = cluster.p99_ms * LATENCY_TIMES;
        let measured = match said.and_then(|alarm| alarm.measures) {
            Some(Measure::Errors { above }) => Measured::Errors(above.unwrap_or(ERRORS_ABOVE)),
            Some(Measure::Latency { above_ms }) => Measured::Latency(above_ms.unwrap_or(usual)),
            None if sounds_like_latency(&id.name) => Measured::Latency(usual),
            None => Measured::Errors(ERRORS_ABOVE),
        };
        Self {
            id,
            measured,
            side,
            state: AlarmState::Ok,
            evaluation: said.map(|alarm| alarm.evaluation).unwrap_or_default(),
            points: VecDeque::new(),
            gathered: Metrics::default(),
        }
    }

    /// Adds one minute. The end of a period gives a datapoint (or a missing one) and a new evaluation.
    ///
    /// Returns `None` within a period, and if the datapoint neither breaches nor changes the state.
    pub fn minute(&mut self, sample: &Sample) -> Option<AlarmTurn> {
        let metrics = match self.side {
            Side::New => &sample.metrics[0],
            Side::Old => &sample.metrics[1],
        };
        if metrics.requests > 0.0 {
            let (before, more) = (self.gathered.requests, metrics.requests);
            // The percentile of a longer period is close to the mean of its minutes, weighted by requests.
            self.gathered.p99_ms =
                (self.gathered.p99_ms * before + metrics.p99_ms * more) / (before + more);
            self.gathered.requests += more;
            self.gathered.failed += metrics.failed;
        }
        let period = i64::from(self.evaluation.period_mins);
        if (sample.from / MINUTE + 1) % period != 0 {
            return None;
        }
        let point = self.point();
        self.gathered = Metrics::default();
        let periods = usize::try_from(self.evaluation.out_of).unwrap_or(1);
        self.points.push_front(point);
        self.points.truncate(periods + EXTRA_PERIODS);
        let to_alarm = usize::try_from(self.evaluation.datapoints).unwrap_or(1);
        let missing = missing(self.evaluation.missing);
        let points = self.points.make_contiguous();
        let state = match verdict(points, periods, to_alarm, missing) {
            Some(new) if new != self.state => Some(new),
            Some(_) | None => None,
        };
        self.state = state.unwrap_or(self.state);
        let breaching = point == Some(true);
        if !breaching && state.is_none() {
            return None;
        }
        let closed = Timestamp::from_second(sample.from + MINUTE).ok()?;
        let at = closed.saturating_add(self.evaluation.delay).ok()?;
        Some(AlarmTurn {
            at,
            breaching,
            state,
        })
    }

    /// Returns true if the datapoint of the current period breaches. `None` if there were no requests.
    fn point(&self) -> Option<bool> {
        let gathered = &self.gathered;
        if gathered.requests <= 0.0 {
            return None;
        }
        match self.measured {
            Measured::Errors(above) => Some(gathered.failed / gathered.requests > above),
            Measured::Latency(above) => Some(gathered.p99_ms > above),
        }
    }
}

/// Returns the alarms of a plan, gates first. The flag is true for fallback alarms.
pub fn alarms_of(plan: &Plan) -> impl Iterator<Item = (&AlarmId, bool)> {
    let gates = plan.gates.alarms.iter().map(|gate| (&gate.id, false));
    let fallback = plan.gates.fallback_alarms.iter();
    gates.chain(fallback.map(|gate| (&gate.id, true)))
}

/// Returns true if an alarm of this name measures latency, by the words in the name.
fn sounds_like_latency(name: &str) -> bool {
    let name = name.to_lowercase();
    let errors = ["5xx", "error", "fault"];
    !errors.iter().any(|word| name.contains(word))
        && LATENCY_WORDS.iter().any(|word| name.contains(word))
}

/// Converts the scenario's treatment of missing data to the model's.
fn missing(missing: scenario::Missing) -> MissingData {
    match missing {
        scenario::Missing::Missing => MissingData::Missing,
        scenario::Missing::Breaching => MissingData::Breaching,
        scenario::Missing::NotBreaching => MissingData::NotBreaching,
        scenario::Missing::Ignore => MissingData::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::cluster::Bearing;

    fn watch(missing: scenario::Missing, period_mins: u32) -> AlarmWatch {
        let alarm = scenario::Alarm {
            name: "a-5xx".to_owned(),
            measures: None,
            side: None,
            evaluation: Evaluation {
                period_mins,
                missing,
                ..Evaluation::default()
            },
            rule: None,
        };
        let scenario = Scenario {
            alarms: vec![alarm],
            ..Scenario::default()
        };
        let id = AlarmId {
            region: None,
            name: "a-5xx".to_owned(),
        };
        AlarmWatch::new(id, false, &scenario)
    }

    /// The state after each minute: `X` is a bad minute, `0` a good one, `-` one without requests.
    fn states(watch: &mut AlarmWatch, minutes: &str) -> String {
        let mut states = String::new();
        for (minute, kind) in (0_i64..).zip(minutes.chars()) {
            let metrics = Metrics {
                requests: if kind == '-' { 0.0 } else { 100.0 },
                failed: if kind == 'X' { 20.0 } else { 0.0 },
                p99_ms: 200.0,
            };
            let sample = Sample {
                from: minute * MINUTE,
                requests: 100.0,
                intended: 1.0,
                observed: 1.0,
                sides: [Bearing::default(); 2],
                metrics: [metrics; 2],
                failed: [0.0; 3],
                observed_unreverted: 1.0,
            };
            if let Some(seen) = watch.minute(&sample) {
                assert_eq!(seen.at.as_second(), (minute + 1) * MINUTE + 60);
            }
            states.push(match watch.state {
                AlarmState::Ok => 'o',
                AlarmState::Alarm => 'A',
                AlarmState::InsufficientData => '?',
            });
        }
        states
    }

    #[test]
    fn three_of_five_bad_minutes_turn_it_red_and_it_clears_again() {
        let mut watch = watch(scenario::Missing::NotBreaching, 1);
        assert_eq!(states(&mut watch, "00000X0X0X00000"), "oooooooooAooooo");
    }

    #[test]
    fn minutes_without_data_count_as_the_alarm_says() {
        let silent = "00000-------";
        let treated = |missing| states(&mut watch(missing, 1), silent);
        assert!(treated(scenario::Missing::NotBreaching).ends_with('o'));
        assert!(treated(scenario::Missing::Missing).ends_with('?'));
        assert!(treated(scenario::Missing::Breaching).ends_with('A'));
        assert!(treated(scenario::Missing::Ignore).ends_with('o'));
    }

    #[test]
    fn a_longer_period_gives_a_datapoint_only_at_its_end() {
        let mut watch = watch(scenario::Missing::Missing, 5);
        let states = states(&mut watch, &"X".repeat(16));
        assert_eq!(states.find('A'), Some(14));
    }

    #[test]
    fn a_name_says_what_an_alarm_measures() {
        for (name, latency) in [
            ("recipe-api-p99-latency", true),
            ("orders-slow-5xx", false),
            ("RequestDuration", true),
            ("healthy-hosts", false),
        ] {
            assert_eq!(sounds_like_latency(name), latency, "{name}");
        }
    }
}
