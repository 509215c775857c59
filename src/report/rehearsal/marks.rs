//! What the journal adds to the frames: when gates were armed, when one could not be judged, when steps were taken.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::film::Reel;
use crate::engine::event::Event;
use crate::engine::evidence::gate::GateId;

/// A stretch of time; without an end, to the end of the film.
pub(super) type Stretch = (Timestamp, Option<Timestamp>);

/// When steps were taken and ways back begun, oldest first; a way back is none.
pub(super) fn steps(reel: &Reel) -> Vec<(Timestamp, Option<u16>)> {
    let marks = reel.entries.iter().filter_map(|entry| match &entry.event {
        Event::WeightChangeIntended { step, .. } => Some((entry.at, Some(*step))),
        Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. } => {
            Some((entry.at, None))
        }
        _ => None,
    });
    marks.collect()
}

/// From each attempt's first write to its end.
pub(super) fn armed(reel: &Reel) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut since: Option<Timestamp> = None;
    for entry in &reel.entries {
        match &entry.event {
            Event::WeightChangeIntended { .. } => {
                since.get_or_insert(entry.at);
            }
            Event::Reverted { .. } | Event::Completed { .. } | Event::Abandoned { .. } => {
                stretches.extend(since.take().map(|since| (since, Some(entry.at))));
            }
            _ => {}
        }
    }
    stretches.extend(since.map(|since| (since, None)));
    stretches
}

/// When each gate could not be judged.
pub(super) fn unknown(reel: &Reel) -> BTreeMap<GateId, Vec<Stretch>> {
    let mut stretches: BTreeMap<GateId, Vec<Stretch>> = BTreeMap::new();
    for entry in &reel.entries {
        match &entry.event {
            Event::GateUnknown { alarm, .. } => {
                let of_alarm = stretches.entry(alarm.clone()).or_default();
                of_alarm.push((entry.at, None));
            }
            Event::GateKnown { alarm } => {
                for open in stretches.entry(alarm.clone()).or_default() {
                    open.1.get_or_insert(entry.at);
                }
            }
            Event::Reverted { .. } | Event::Completed { .. } | Event::Abandoned { .. } => {
                for open in stretches.values_mut().flatten() {
                    open.1.get_or_insert(entry.at);
                }
            }
            _ => {}
        }
    }
    stretches
}
