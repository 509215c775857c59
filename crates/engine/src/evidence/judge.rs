//! Judges all metric gates in one round.

use super::counting;
use super::gate::{Attribution, GateId};
use super::reading::Readings;
use super::tally::Tally;
use super::verdict::{GateResult, Verdict};
use crate::hold::HoldReason;
use crate::state::State;
use crate::units::Share;

pub use super::share::Observed;
pub use super::traffic::observed;

/// The judgements of all metric gates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weighed {
    /// Each gate with its verdict: first the metrics, then the comparison, the traffic and the trends.
    pub gates: Vec<(GateId, Verdict)>,
    /// The gates that fail on the old side too.
    pub old_too: Vec<GateId>,
    /// The holds of metrics with datapoints beyond their bounds, but too few for the gate to fail. No step is taken
    /// meanwhile.
    pub near: Vec<HoldReason>,
    /// The counts of the minutes that no longer change, and the metrics' last values. These are journaled. `None`
    /// before the first write.
    pub settled: Option<Tally>,
    /// The counts of all minutes so far, and the metrics' last values. `None` before the first write.
    pub tally: Option<Tally>,
    /// The observed share of the requests. `None` if requests are not counted or could not be read.
    pub observed: Option<Observed>,
}

/// Judges all metric gates. The result depends only on the state and the readings.
pub fn weigh(state: &State, readings: &Readings) -> Weighed {
    let measures = &state.plan().gates.measures;
    if measures.is_empty() {
        return Weighed::default();
    }
    let counted = counting::up_to_date(state, readings);
    let tally = counted.as_ref().map(|counted| &counted.all);
    let seen = observed(state, readings);
    let mut said: Vec<(GateId, GateResult)> = Vec::new();
    for gate in measures.gates() {
        said.push((gate.id(), gate.judge(state, readings, tally, seen.as_ref())));
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

/// Returns the gate, shares and values at the moment of a revert. `None` for a plan that watches only alarms.
pub fn attribution(state: &State, weighed: &Weighed, gate: Option<&GateId>) -> Option<Attribution> {
    let measures = &state.plan().gates.measures;
    if measures.is_empty() {
        return None;
    }
    let intended = state.plan().step(state.step).map(|step| step.share);
    let readings = match &weighed.tally {
        Some(tally) => tally.readings.as_slice(),
        None => &[],
    };
    let measured = gate.and_then(|gate| measures.metrics.iter().find(|it| it.id() == *gate));
    let old_too = match measured {
        Some(metric) if metric.old.is_some() => Some(weighed.old_too.contains(&metric.id())),
        Some(_) | None => None,
    };
    Some(Attribution {
        gate: gate.cloned(),
        step: state.step,
        intended: intended.unwrap_or(Share::ZERO),
        observed: weighed.observed.and_then(|seen| seen.share),
        readings: counting::before_and_after(state, readings),
        old_too,
    })
}
