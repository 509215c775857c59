//! Drafts: events that were decided and are not yet appended, and how drafts are packed into few appends.

use crate::engine::event::Event;
use crate::engine::units::CutoverName;
use crate::ports::APPEND_EVENTS_MAX;

/// The events that were decided for one cutover, and how far the journal had been read when they were decided.
#[derive(Debug, Clone)]
pub(in crate::controller) struct Draft {
    /// Name of the cutover.
    pub(in crate::controller) name: CutoverName,
    /// Sequence number of the last entry of its stream when the events were decided.
    pub(in crate::controller) seq: u64,
    /// The events for the cutover's stream, in order.
    pub(in crate::controller) events: Vec<Event>,
    /// Events for `@fleet`, which go into the same append.
    pub(in crate::controller) fleet: Vec<Event>,
    /// Other streams that must have no new entry, each with the sequence number of its last known one. For a step this
    /// is `@fleet`; for a start also the cutovers that it comes after. So two controllers that have read the same
    /// cannot both take the last slot.
    pub(in crate::controller) unless_moved: Vec<(CutoverName, u64)>,
}

impl Draft {
    /// Returns a draft that depends only on its own cutover's stream.
    pub(in crate::controller) fn alone(name: CutoverName, seq: u64, events: Vec<Event>) -> Self {
        Self {
            name,
            seq,
            events,
            fleet: Vec::new(),
            unless_moved: Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.events.len() + self.fleet.len()
    }

    /// Returns true if the draft is for a stream, or is appended only if that stream has no new entry.
    pub(super) fn depends_on(&self, stream: &CutoverName) -> bool {
        if self.name == *stream {
            return true;
        }
        let mut conditions = self.unless_moved.iter();
        conditions.any(|(other, _)| other == stream)
    }
}

/// Packs drafts, in their order, into few appends of up to [`APPEND_EVENTS_MAX`] events. A draft is never split; a
/// larger one is alone in its group.
pub(in crate::controller) fn groups(drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    let mut room = 0;
    for draft in drafts {
        let size = draft.entries();
        match groups.last_mut() {
            Some(group) if size <= room => group.push(draft),
            Some(_) | None => {
                room = APPEND_EVENTS_MAX;
                groups.push(vec![draft]);
            }
        }
        room = room.saturating_sub(size);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_packed_in_order_and_never_cut() {
        let drafts = [9, 9, 2, 1, 20, 1].map(|events| {
            let event = Event::PauseRequested { reason: None };
            Draft::alone(CutoverName::from("api"), 0, vec![event; events])
        });
        let sizes: Vec<Vec<usize>> = groups(drafts.to_vec())
            .iter()
            .map(|group| group.iter().map(|draft| draft.events.len()).collect())
            .collect();
        assert_eq!(sizes, [vec![9, 9, 2], vec![1], vec![20], vec![1]]);
    }
}
