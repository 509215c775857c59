//! I14: from the moment a step's write may have been applied until the cutover ends, its gates are armed.

use jiff::Timestamp;

use super::invariant::{Invariant, Violation, violation};
use crate::decide::{Decision, Order};
use crate::event::{Event, SendOutcome};
use crate::observation::{GroupReading, Observation};
use crate::record::{GroupImage, RecordSet};
use crate::state::{Phase, State, Write};

fn was_read(observation: &Observation, index: usize) -> bool {
    matches!(
        observation.groups.get(index),
        Some(GroupReading::Read { .. })
    )
}

/// The two members of a group as read in this round; none if it was not read or one of them is gone.
fn members<'a>(
    state: &State,
    observation: &'a Observation,
    index: usize,
) -> Option<(&'a RecordSet, &'a RecordSet)> {
    let group = state.plan().records.get(index)?;
    let GroupReading::Read { members, .. } = observation.groups.get(index)? else {
        return None;
    };
    let mut old = None;
    let mut new = None;
    for member in members {
        if member.set_identifier == group.old {
            old = Some(member);
        } else if member.set_identifier == group.new {
            new = Some(member);
        }
    }
    old.zip(new)
}

/// Checks that a share that nobody verified is called drift.
pub(super) fn decision(
    state: &State,
    observation: &Observation,
    decision: &Decision,
) -> Result<(), Violation> {
    for event in &decision.events {
        if let (Event::WeightChangeAbandoned { moved, .. }, Phase::Shifting, Some(write)) =
            (event, state.phase, &state.write)
        {
            for target in &write.targets {
                let seen = members(state, observation, target.group);
                let unchanged = seen == Some((&target.from.old, &target.from.new))
                    && !write.is_accepted(target.group);
                let known =
                    moved.contains_key(&target.group) || is_called_drift(decision, target.group);
                if !unchanged && !known {
                    return Err(unarmed(target.group));
                }
            }
        }
    }
    let at_rest = decision
        .events
        .iter()
        .all(|event| matches!(event, Event::StepHeld { .. }));
    if state.phase != Phase::Waiting || state.intended.is_empty() || !at_rest {
        return Ok(());
    }
    for (index, image) in state.baseline.iter().flatten().enumerate() {
        let seen = members(state, observation, index);
        let same = seen.is_some_and(|(old, new)| {
            (old.weight, new.weight) == (image.old.weight, image.new.weight)
        });
        if was_read(observation, index) && !same {
            return Err(unarmed(index));
        }
    }
    Ok(())
}

fn is_called_drift(decision: &Decision, index: usize) -> bool {
    decision.events.iter().any(
        |event| matches!(event, Event::DriftDetected { groups, .. } if groups.contains_key(&index)),
    )
}

fn unarmed(index: usize) -> Violation {
    let message =
        format!("group {index} has a share that nobody verified, and would not be called drift");
    violation(Invariant::I14, message)
}

/// Returns true if an order repeats the unresolved write of this process, while it may be sent: its reply was lost, and
/// every group was read since then as it was before (semantics L2).
pub(super) fn may_resend(
    state: &State,
    observation: &Observation,
    order: &Order,
    now: Timestamp,
) -> bool {
    let Some(write) = &state.write else {
        return false;
    };
    let mine = write.owner == observation.me && write.write_id == order.write_id;
    let lost = order
        .parts
        .iter()
        .all(|part| matches!(write.answers.get(&part.group), Some(SendOutcome::Lost(_))));
    let unchanged = write
        .targets
        .iter()
        .all(|target| was_unchanged(observation, write, target.group, &target.from));
    mine && lost && unchanged && now < write.perform_by && order.send_by == Some(write.perform_by)
}

fn was_unchanged(
    observation: &Observation,
    write: &Write,
    index: usize,
    from: &GroupImage,
) -> bool {
    match observation.groups.get(index) {
        Some(GroupReading::Read { members, at, .. }) => {
            Some(*at) >= write.lost_at && members.contains(&from.old) && members.contains(&from.new)
        }
        Some(GroupReading::NotRead | GroupReading::Unreadable { .. }) | None => false,
    }
}
