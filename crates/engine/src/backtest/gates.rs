//! The gates of a plan in the past: which of them had data, and the states of each over time.

use jiff::{SignedDuration, Timestamp};

use super::record::{Past, Record, SeriesPast, Stretch};
use super::replay;
use crate::evidence::gate::GateId;
use crate::evidence::plan::{Query, TREND_PERIOD_MINS};
use crate::observation::AlarmState;
use crate::plan::{AlarmGate, Plan, PlanSource};
use crate::verdict::Verdict;

/// One gate or fallback alarm in the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePast {
    /// The gate or fallback alarm.
    pub id: GateId,
    /// True for a fallback alarm.
    pub fallback: bool,
    /// The data that the record has of the gate.
    pub sight: Sight,
    /// The states of the gate, in order and without gaps: ALARM while it would have failed, INSUFFICIENT_DATA while it
    /// could not be judged. Empty for the comparison of both sides, which is not judged at single moments.
    pub stretches: Vec<Stretch>,
    /// The number of starts that this gate reverted.
    pub reverted: usize,
}

/// The data that a record has of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// The record has data of the gate.
    Seen,
    /// The gate never had data: its alarm was always in INSUFFICIENT_DATA, or its metric has no datapoint.
    NeverData,
    /// `CloudWatch` does not know the alarm.
    Missing,
    /// The alarm or metric could not be read, for this reason.
    Unreadable(String),
    /// The alarm or metric is not in the record.
    NotRecorded,
    /// The gate checks if traffic follows the weights, which nobody moved in the past.
    NotThen,
}

impl Sight {
    /// Returns true if the gate takes part in the backtest. A gate without data would hold every start forever and hide
    /// all other gates.
    pub fn takes_part(&self) -> bool {
        *self == Self::Seen
    }
}

/// The longest time in ALARM that counts as a flap, which nobody would have noticed.
pub const FLAP_WITHIN: SignedDuration = SignedDuration::from_mins(10);

impl GatePast {
    /// Returns the times in which the gate was in ALARM.
    pub fn visits(&self) -> impl Iterator<Item = &Stretch> {
        let stretches = self.stretches.iter();
        stretches.filter(|stretch| stretch.state == AlarmState::Alarm)
    }

    /// Returns how many of these times were at most [`FLAP_WITHIN`] long.
    pub fn flaps(&self) -> usize {
        self.visits()
            .filter(|visit| visit.length() <= FLAP_WITHIN)
            .count()
    }

    /// Returns how long the gate was in a state altogether.
    pub fn time_in(&self, state: AlarmState) -> SignedDuration {
        let mut time = SignedDuration::ZERO;
        for stretch in &self.stretches {
            if stretch.state == state {
                time = time.saturating_add(stretch.length());
            }
        }
        time
    }
}

/// Returns all gates of a plan with their past: first the alarms, then the fallback alarms, then the metric gates.
pub(super) fn of(source: &PlanSource, record: &Record) -> Vec<GatePast> {
    let plan = &source.plan;
    let mut gates = Vec::new();
    for gate in &plan.gates.alarms {
        gates.push(of_alarm(plan, gate, false, record));
    }
    for gate in &plan.gates.fallback_alarms {
        gates.push(of_alarm(plan, gate, true, record));
    }
    gates.extend(of_measures(source, record));
    gates
}

/// Returns an alarm's past.
fn of_alarm(plan: &Plan, gate: &AlarmGate, fallback: bool, record: &Record) -> GatePast {
    let past = record.past(plan.account_of(&gate.id), &gate.id);
    let stretches = past.map_or_else(Vec::new, |past| past.stretches(record.since, record.until));
    let mut states = stretches.iter().map(|stretch| stretch.state);
    let has_data = states.any(|state| state != AlarmState::InsufficientData);
    GatePast {
        id: GateId::from(&gate.id),
        fallback,
        sight: match past {
            None => Sight::NotRecorded,
            Some(Past::Missing) => Sight::Missing,
            Some(Past::Unreadable(message)) => Sight::Unreadable(message.clone()),
            Some(Past::Known { .. }) if has_data => Sight::Seen,
            Some(Past::Known { .. }) => Sight::NeverData,
        },
        stretches,
        reverted: 0,
    }
}

/// Returns the past of each metric gate.
fn of_measures(source: &PlanSource, record: &Record) -> Vec<GatePast> {
    let measures = &source.plan.gates.measures;
    if measures.is_empty() {
        return Vec::new();
    }
    let plan = &source.plan;
    let mut pasts: Vec<GatePast> = Vec::new();
    for gate in measures.gates() {
        pasts.push(GatePast {
            id: gate.id(),
            fallback: false,
            sight: match gate.needed_in_past() {
                Some(needed) => sight_of_all(plan, record, &needed),
                None => Sight::NotThen,
            },
            stretches: Vec::new(),
            reverted: 0,
        });
    }
    let every = measures.metrics.iter().map(|gate| gate.every_mins).min();
    let every = every.unwrap_or(TREND_PERIOD_MINS);
    for (id, stretches) in judged(source, record, every) {
        if id.gate.counts_from_start() {
            continue;
        }
        let mut pasts = pasts.iter_mut();
        if let Some(gate) = pasts.find(|gate| gate.id == id && gate.sight.takes_part()) {
            gate.stretches = stretches;
        }
    }
    pasts
}

/// The data that the record has of a gate which needs one series of each list.
fn sight_of_all(plan: &Plan, record: &Record, needed: &[Vec<&Query>]) -> Sight {
    for queries in needed {
        let sight = sight(plan, record, queries);
        if !sight.takes_part() {
            return sight;
        }
    }
    Sight::Seen
}

/// Returns the data that the record has of a gate which needs one of these series.
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

/// Returns the states of each metric gate over the whole record, judged every `every_mins` minutes.
fn judged(source: &PlanSource, record: &Record, every_mins: u16) -> Vec<(GateId, Vec<Stretch>)> {
    let Some(mut state) = replay::watching(source, record) else {
        return Vec::new();
    };
    let period = SignedDuration::from_mins(i64::from(every_mins.max(1)));
    let mut judged: Vec<(GateId, Vec<Stretch>)> = Vec::new();
    let mut at = record.since;
    while at < record.until {
        let until = (at + period).min(record.until);
        // A failure in an earlier window was reported for that window.
        state.measured.violations_from = Some(at);
        for (id, verdict) in replay::weigh_at(&state, record, at) {
            let state = match verdict {
                Verdict::Pass => AlarmState::Ok,
                Verdict::Fail(_) => AlarmState::Alarm,
                Verdict::Unknown(_) | Verdict::NotJudged(_) => AlarmState::InsufficientData,
            };
            if let Some((_, stretches)) = judged.iter_mut().find(|(known, _)| *known == id) {
                extend(stretches, state, at, until);
            } else {
                let from = at;
                judged.push((id, vec![Stretch { state, from, until }]));
            }
        }
        at = until;
    }
    judged
}

/// Extends the last stretch if the state is the same, or begins the next one.
fn extend(stretches: &mut Vec<Stretch>, state: AlarmState, from: Timestamp, until: Timestamp) {
    match stretches.last_mut() {
        Some(last) if last.state == state => last.until = until,
        Some(_) | None => stretches.push(Stretch { state, from, until }),
    }
}

/// Returns the plan without the gates that have no data, and without its `after`.
pub(super) fn seen_part(source: &PlanSource, gates: &[GatePast]) -> PlanSource {
    let mut seen = source.clone();
    let plan = &mut seen.plan;
    let alarms = [&mut plan.gates.alarms, &mut plan.gates.fallback_alarms];
    for alarms in alarms {
        alarms.retain(|gate| takes_part(gates, &GateId::from(&gate.id)));
    }
    plan.gates.measures.retain(|gate| takes_part(gates, gate));
    plan.after.clear();
    seen
}

/// Returns true if this gate takes part in the backtest.
fn takes_part(gates: &[GatePast], id: &GateId) -> bool {
    let mut gates = gates.iter();
    gates.any(|gate| gate.id == *id && gate.sight.takes_part())
}
