//! The gates of a plan in the past: what could be seen of each, and in which state it was when.

use jiff::SignedDuration;
use jiff::Timestamp;

use super::record::Past;
use super::record::Record;
use super::record::SeriesPast;
use super::record::Stretch;
use super::replay;
use crate::engine::evidence::gate::GateId;
use crate::engine::evidence::plan::Measure;
use crate::engine::evidence::plan::MetricGate;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::plan::RegressionGate;
use crate::engine::evidence::plan::TREND_PERIOD_MINS;
use crate::engine::evidence::plan::TrafficGate;
use crate::engine::observation::AlarmState;
use crate::engine::plan::AlarmGate;
use crate::engine::plan::Plan;
use crate::engine::plan::PlanSource;
use crate::engine::verdict::Verdict;

/// One gate in the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePast {
    /// Which gate.
    pub id: GateId,
    /// Whether it is a fallback alarm.
    pub fallback: bool,
    /// What could be seen of it.
    pub sight: Sight,
    /// Its states, without gaps: ALARM where it would have failed, INSUFFICIENT_DATA where it could not be judged. None of
    /// the comparison, which has no state of its own at a moment.
    pub stretches: Vec<Stretch>,
    /// How many of the starts it took back.
    pub reverted: usize,
}

/// What could be seen of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It had data.
    Seen,
    /// It never had data: an alarm in INSUFFICIENT_DATA all the time, a metric without a datapoint.
    NeverData,
    /// `CloudWatch` does not know it.
    Missing,
    /// It could not be read.
    Unreadable(String),
    /// The record has nothing of it.
    NotRecorded,
    /// It asks whether traffic follows the weights, which nobody moved then.
    NotThen,
}

impl Sight {
    /// Whether the gate takes part: what was never seen would hold every start for ever and hide all others.
    pub fn takes_part(&self) -> bool {
        *self == Self::Seen
    }
}

/// A red alarm that is over so soon is a flap: no person would have seen it.
pub const FLAP_WITHIN: SignedDuration = SignedDuration::from_mins(10);

impl GatePast {
    /// Its visits to ALARM.
    pub fn visits(&self) -> impl Iterator<Item = &Stretch> {
        let stretches = self.stretches.iter();
        stretches.filter(|stretch| stretch.state == AlarmState::Alarm)
    }

    /// How many of them were over within [`FLAP_WITHIN`].
    pub fn flaps(&self) -> usize {
        let short = |visit: &&Stretch| visit.length() <= FLAP_WITHIN;
        self.visits().filter(short).count()
    }

    /// How long it was in a state.
    pub fn time_in(&self, state: AlarmState) -> SignedDuration {
        let stretches = self.stretches.iter();
        let there = stretches.filter(|stretch| stretch.state == state);
        there.fold(SignedDuration::ZERO, |sum, stretch| {
            sum.saturating_add(stretch.length())
        })
    }
}

/// All gates of a plan, fallback alarms after the other alarms, metrics after both.
pub(super) fn of(source: &PlanSource, record: &Record) -> Vec<GatePast> {
    let plan = &source.plan;
    let gates = plan.gates.alarms.iter().map(|gate| (gate, false));
    let fallbacks = plan.gates.fallback_alarms.iter().map(|gate| (gate, true));
    let alarms = gates.chain(fallbacks);
    let alarms = alarms.map(|(gate, fallback)| of_alarm(plan, gate, fallback, record));
    alarms.chain(of_measures(source, record)).collect()
}

fn of_alarm(plan: &Plan, gate: &AlarmGate, fallback: bool, record: &Record) -> GatePast {
    let past = record.past(plan.account_of(&gate.id), &gate.id);
    let stretches = past.map_or_else(Vec::new, |past| past.stretches(record.since, record.until));
    let blind = |stretch: &Stretch| stretch.state == AlarmState::InsufficientData;
    GatePast {
        id: GateId::from(&gate.id),
        fallback,
        sight: match past {
            None => Sight::NotRecorded,
            Some(Past::Missing) => Sight::Missing,
            Some(Past::Unreadable(message)) => Sight::Unreadable(message.clone()),
            Some(Past::Known { .. }) if stretches.iter().all(blind) => Sight::NeverData,
            Some(Past::Known { .. }) => Sight::Seen,
        },
        stretches,
        reverted: 0,
    }
}

fn of_measures(source: &PlanSource, record: &Record) -> Vec<GatePast> {
    let measures = &source.plan.gates.measures;
    if measures.is_empty() {
        return Vec::new();
    }
    let sight = |queries: &[&Query]| sight(&source.plan, record, queries);
    let mut gates: Vec<(GateId, Sight)> = Vec::new();
    for gate in &measures.metrics {
        gates.push((gate.id(), sight(&needed(gate))));
    }
    if let Some(gate) = &measures.regression {
        // One side alone compares with nothing.
        let sides = [&gate.new.requests, &gate.old.requests];
        let [new, old] = sides.map(|requests| sight(&requests.iter().collect::<Vec<_>>()));
        gates.push((
            RegressionGate::id(),
            if new.takes_part() { old } else { new },
        ));
    }
    if measures.traffic.is_some() {
        gates.push((TrafficGate::id(), Sight::NotThen));
    }
    for gate in &measures.trends {
        gates.push((gate.id(), sight(&[&gate.query])));
    }
    let compared = |id: &GateId| *id == RegressionGate::id() || *id == TrafficGate::id();
    let mut pasts: Vec<GatePast> = gates
        .into_iter()
        .map(|(id, sight)| GatePast {
            id,
            fallback: false,
            sight,
            stretches: Vec::new(),
            reverted: 0,
        })
        .collect();
    let every = measures.metrics.iter().map(|gate| gate.every_mins).min();
    let every = every.unwrap_or(TREND_PERIOD_MINS);
    for (id, stretches) in judged(source, record, every) {
        let mut drawn = pasts.iter_mut().filter(|gate| !compared(&gate.id));
        if let Some(gate) = drawn.find(|gate| gate.id == id && gate.sight.takes_part()) {
            gate.stretches = stretches;
        }
    }
    pasts
}

/// The series without which the gate has nothing to judge by.
fn needed(gate: &MetricGate) -> Vec<&Query> {
    match &gate.new {
        Measure::Series { query, .. } => vec![query],
        Measure::Rate { requests, .. } => requests.iter().collect(),
    }
}

/// What could be seen of a gate that needs data in one of these.
fn sight(plan: &Plan, record: &Record, queries: &[&Query]) -> Sight {
    let mut pasts = Vec::new();
    for query in queries {
        match record.series(plan.account_of_series(query), query) {
            None => return Sight::NotRecorded,
            Some(SeriesPast::Unreadable(message)) => return Sight::Unreadable(message.clone()),
            Some(past) => pasts.push(past),
        }
    }
    if pasts.iter().any(|past| past.has_data()) {
        Sight::Seen
    } else {
        Sight::NeverData
    }
}

/// What each gate of metrics said, asked every so many minutes.
fn judged(source: &PlanSource, record: &Record, every_mins: u16) -> Vec<(GateId, Vec<Stretch>)> {
    let Some(mut state) = replay::watching(source, record) else {
        return Vec::new();
    };
    let period = SignedDuration::from_mins(i64::from(every_mins.max(1)));
    let mut judged: Vec<(GateId, Vec<Stretch>)> = Vec::new();
    let mut at = record.since;
    while at < record.until {
        let until = (at + period).min(record.until);
        // What failed earlier was answered then.
        state.measured.violations_from = Some(at);
        for (id, verdict) in replay::weigh_at(&state, record, at) {
            let state = match verdict {
                Verdict::Pass => AlarmState::Ok,
                Verdict::Fail(_) => AlarmState::Alarm,
                Verdict::Unknown(_) | Verdict::NotJudged(_) => AlarmState::InsufficientData,
            };
            let place = judged.iter().position(|(known, _)| *known == id);
            let place = place.unwrap_or_else(|| {
                judged.push((id, Vec::new()));
                judged.len() - 1
            });
            extend(&mut judged[place].1, state, at, until);
        }
        at = until;
    }
    judged
}

/// Goes on in the same state, or begins the next one.
fn extend(stretches: &mut Vec<Stretch>, state: AlarmState, from: Timestamp, until: Timestamp) {
    match stretches.last_mut() {
        Some(last) if last.state == state => last.until = until,
        _ => stretches.push(Stretch { state, from, until }),
    }
}

/// The plan without the gates that were never seen, and without what it comes after.
pub(super) fn seen_part(source: &PlanSource, gates: &[GatePast]) -> PlanSource {
    let mut seen = source.clone();
    let takes_part = |id: &GateId| {
        let mut gates = gates.iter();
        gates.any(|gate| gate.id == *id && gate.sight.takes_part())
    };
    let alarm = |gate: &AlarmGate| takes_part(&GateId::from(&gate.id));
    seen.plan.gates.alarms.retain(alarm);
    seen.plan.gates.fallback_alarms.retain(alarm);
    let measures = &mut seen.plan.gates.measures;
    measures.metrics.retain(|gate| takes_part(&gate.id()));
    measures.trends.retain(|gate| takes_part(&gate.id()));
    // It is always [`Sight::NotThen`].
    measures.traffic = None;
    if !takes_part(&RegressionGate::id()) {
        measures.regression = None;
    }
    seen.plan.after.clear();
    seen
}
