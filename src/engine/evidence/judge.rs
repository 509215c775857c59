//! All gates of metrics, judged in one round.

use super::gate::{Attribution, GateId};
use super::number::Number;
use super::plan::{Query, RegressionGate, TrafficGate};
use super::reading::{Readings, SeriesReading};
use super::tally::{self, Latest, Tally};
use super::{metrics, regression, traffic, trend};
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::units::Share;
use crate::engine::verdict::{Unknown, Verdict};

pub use super::traffic::{Observed, observed};

/// What one gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) verdict: Verdict,
    /// Whether the old side shows the same, so that going back would not help.
    pub(super) old_too: bool,
    /// What it read, if it is a metric.
    pub(super) latest: Option<Latest>,
    /// What keeps the next step from being taken although the gate passes.
    pub(super) near: Option<HoldReason>,
}

impl Said {
    pub(super) fn only(verdict: Verdict) -> Self {
        Self {
            verdict,
            old_too: false,
            latest: None,
            near: None,
        }
    }

    pub(super) fn with(verdict: Verdict, latest: Latest) -> Self {
        Self {
            latest: Some(latest),
            ..Self::only(verdict)
        }
    }
}

/// What all gates of metrics say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weighed {
    /// The gates, in the plan's order: metrics, the comparison, the traffic, trends.
    pub gates: Vec<(GateId, Verdict)>,
    /// Those that fail on the old side too.
    pub old_too: Vec<GateId>,
    /// Metrics with datapoints beyond their bounds, but not so many yet that the gate fails: no step is taken meanwhile.
    pub near: Vec<HoldReason>,
    /// What was counted of minutes that change no more, with what the metrics read: what is journaled.
    pub settled: Option<Tally>,
    /// What was counted so far, with what the metrics read; none before the first write.
    pub tally: Option<Tally>,
    /// The share of the requests; none where they are not counted.
    pub observed: Option<Observed>,
}

/// Judges all gates of metrics. It depends on the state and the readings alone.
pub fn weigh(state: &State, readings: &Readings) -> Weighed {
    let measures = &state.plan().gates.measures;
    if measures.is_empty() {
        return Weighed::default();
    }
    let counted = tally::up_to_date(state, readings);
    let tally = counted.as_ref().map(|counted| &counted.all);
    let seen = observed(state, readings);
    let mut said: Vec<(GateId, Said)> = Vec::new();
    for gate in &measures.metrics {
        said.push((gate.id(), metrics::judge(state, readings, gate)));
    }
    if let Some(gate) = &measures.regression {
        let judged = regression::judge(state, readings, gate, tally);
        said.push((RegressionGate::id(), judged));
    }
    if let Some(gate) = &measures.traffic {
        let judged = traffic::judge(state, readings, gate, tally, seen.as_ref());
        said.push((TrafficGate::id(), judged));
    }
    for gate in &measures.trends {
        said.push((gate.id(), trend::judge(state, readings, gate)));
    }
    let mut weighed = Weighed {
        observed: seen,
        ..Weighed::default()
    };
    let mut latest = Vec::new();
    for (id, said) in said {
        latest.extend(said.latest);
        weighed.near.extend(said.near);
        if said.old_too {
            weighed.old_too.push(id.clone());
        }
        weighed.gates.push((id, said.verdict));
    }
    if let Some(counted) = counted {
        weighed.settled = Some(Tally {
            readings: latest.clone(),
            ..counted.settled
        });
        weighed.tally = Some(Tally {
            readings: latest,
            ..counted.all
        });
    }
    weighed
}

/// What was seen at the moment of a revert; none for plans that watch only alarms.
pub fn attribution(state: &State, weighed: &Weighed, gate: Option<&GateId>) -> Option<Attribution> {
    let measures = &state.plan().gates.measures;
    if measures.is_empty() {
        return None;
    }
    let intended = state.plan().step(state.step).map(|step| step.share);
    let readings = weighed
        .tally
        .as_ref()
        .map(|tally| tally.readings.as_slice());
    let measured = gate.and_then(|gate| measures.metrics.iter().find(|it| it.id() == *gate));
    let sided = measured.filter(|it| it.old.is_some());
    let observed = weighed.observed.and_then(|seen: Observed| seen.share);
    let observed: Option<Number> = observed;
    Some(Attribution {
        gate: gate.cloned(),
        step: state.step,
        intended: intended.unwrap_or(Share::ZERO),
        observed,
        readings: tally::before_and_after(state, readings.unwrap_or_default()),
        old_too: sided.map(|it| weighed.old_too.contains(&it.id())),
    })
}

/// Why one of these series cannot be judged by, if it cannot.
pub(super) fn unread<'q>(
    mut queries: impl Iterator<Item = &'q Query>,
    readings: &Readings,
) -> Option<Unknown> {
    queries.find_map(|query| match readings.get(query) {
        Some(SeriesReading::Read { .. }) => None,
        Some(SeriesReading::Unreadable(why)) => Some(Unknown::Other(why.clone())),
        Some(SeriesReading::Denied(why)) => Some(Unknown::Denied(why.clone())),
        None => Some(Unknown::Other("it was not read".to_owned())),
    })
}
