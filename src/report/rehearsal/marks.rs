//! The marks that the journal adds to the chart: when gates were armed, when a gate could not be judged, when steps
//! were taken.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::film::Reel;
use crate::engine::event::Event;
use crate::engine::evidence::gate::GateId;

/// A period of time. Without an end, it lasts until the end of the rehearsal.
pub(super) type MarkedStretch = (Timestamp, Option<Timestamp>);

/// Returns the steps and reverts, oldest first. A revert has no step number.
pub(super) fn steps(reel: &Reel) -> Vec<(Timestamp, Option<u16>)> {
    let mut marks = Vec::new();
    for entry in &reel.entries {
        if let Event::WeightChangeIntended { step, .. } = &entry.event {
            marks.push((entry.at, Some(*step)));
        }
        if matches!(
            entry.event,
            Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. }
        ) {
            marks.push((entry.at, None));
        }
    }
    marks
}

/// Returns the period of each attempt in which its gates were armed: from its first write to its end.
pub(super) fn armed(reel: &Reel) -> Vec<MarkedStretch> {
    let mut stretches: Vec<MarkedStretch> = Vec::new();
    let mut since: Option<Timestamp> = None;
    for entry in &reel.entries {
        if matches!(entry.event, Event::WeightChangeIntended { .. }) {
            since.get_or_insert(entry.at);
        }
        if ends_attempt(&entry.event)
            && let Some(since) = since.take()
        {
            stretches.push((since, Some(entry.at)));
        }
    }
    if let Some(since) = since {
        stretches.push((since, None));
    }
    stretches
}

fn ends_attempt(event: &Event) -> bool {
    matches!(
        event,
        Event::Reverted { .. } | Event::Completed { .. } | Event::Abandoned { .. }
    )
}

/// Returns the periods in which each gate could not be judged.
pub(super) fn unknown(reel: &Reel) -> BTreeMap<GateId, Vec<MarkedStretch>> {
    let mut stretches: BTreeMap<GateId, Vec<MarkedStretch>> = BTreeMap::new();
    for entry in &reel.entries {
        if let Event::GateUnknown { alarm, .. } = &entry.event {
            let of_gate = stretches.entry(alarm.clone()).or_default();
            of_gate.push((entry.at, None));
        }
        if let Event::GateKnown { alarm } = &entry.event {
            for open in stretches.entry(alarm.clone()).or_default() {
                open.1.get_or_insert(entry.at);
            }
        }
        if ends_attempt(&entry.event) {
            for open in stretches.values_mut().flatten() {
                open.1.get_or_insert(entry.at);
            }
        }
    }
    stretches
}
