//! Decisions about a revert. It goes on until the baseline was read twice, at least [`FENCE`] apart (semantics A3, A5,
//! E3).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::decision::{Decision, How, Order, Part, Purpose};
use super::limits::{BLIND_REVERT_AFTER, FENCE, LATE, RESIDUE};
use super::view::View;
use super::{hooks, jobs};
use crate::backoff::Backoff;
use crate::drifted::Astray;
use crate::event::{Event, FailureClass, RevertMode};
use crate::hold::{HaltReason, HoldReason, RevertCause};
use crate::observation::GroupReading;
use crate::record::GroupImage;
use crate::state::{Phase, Revert, Write};
use crate::strays::strays;
use crate::units::WeightPair;

/// The time after its decision for which a revert that fails in transport is tried often, and the waits between two such
/// tries. With the time that a round takes, they are at most five seconds apart (semantics L3).
const EAGER_FOR: SignedDuration = SignedDuration::from_mins(10);
const EAGER: Backoff = Backoff {
    first: SignedDuration::from_secs(1),
    longest: SignedDuration::from_secs(4),
};

/// The pause before an unfinished revert reads the groups again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// The pause before a revert reads the groups if they were not read in the round that decided it. It is short, so that
/// the first write goes out within a second.
const LOOK_AT_ONCE: SignedDuration = SignedDuration::from_millis(200);

/// The shortest time between the two readings that must agree before weights of somebody else halt a revert (semantics
/// M5).
const READINGS_APART: SignedDuration = SignedDuration::from_secs(2);

/// The time for which a forced revert has overwritten a group in vain before people are paged.
const STUBBORN_AFTER: SignedDuration = SignedDuration::from_secs(5);

/// The result of reading a group of a reverting cutover.
enum RevertPlace {
    /// The group has the baseline's weights.
    Back,
    /// The group has weights that this attempt intended.
    Ours(Box<GroupImage>),
    /// The group has weights of somebody else, or lacks a member. Two readings agree on it, or the revert overwrites it
    /// by force.
    Foreign,
    /// The group has weights of somebody else by one reading only, which may be a wrong reply.
    Doubtful,
    /// The group was not read. If reading fails: the time since which.
    Unseen(Option<Timestamp>),
}

/// Reverts a completed cutover, or a reverted one once more, because a person asked for it (semantics L6). `None` if
/// nobody asked.
pub(super) fn asked_again(view: &View<'_>) -> Option<Decision> {
    let rollback = view.state.rollback.as_ref()?;
    view.state.baseline.as_ref()?;
    let (actor, reason) = (rollback.actor.clone(), rollback.reason.clone());
    let cause = RevertCause::Operator { actor, reason };
    let write_id = view.next_write_id();
    Some(Decision::of(Event::RevertIntended {
        write_id,
        cause,
        mode: rollback.mode,
        shared: None,
        seen: None,
    }))
}

/// Watches an unresolved write for some time after a revert, because a process that froze before it sent the write may
/// still send it. If the write takes effect, it is reverted too (semantics A4).
pub(super) fn late_write(view: &View<'_>) -> Decision {
    let (Some(write), Phase::Reverted) = (&view.state.write, view.state.phase) else {
        return Decision::default();
    };
    let ends_at = view.state.phase_since + RESIDUE;
    if view.elapsed(view.state.phase_since) > RESIDUE {
        return Decision::of(Event::WeightChangeAbandoned {
            write_id: write.write_id.clone(),
            moved: BTreeMap::new(),
            landed: Vec::new(),
            reason: "it did not land within 15 minutes after the revert".to_owned(),
        });
    }
    if !has_landed(view, write) {
        return Decision {
            wake_at: if ends_at > view.now {
                Some(ends_at)
            } else {
                None
            },
            ..Decision::default()
        };
    }
    let write_id = view.next_write_id();
    let cause = RevertCause::LateWrite {};
    Decision::of(Event::RevertIntended {
        write_id,
        cause,
        mode: RevertMode::Swap,
        shared: None,
        seen: None,
    })
}

/// Returns true if a group is read at exactly the weights of this write, and these are not the baseline's.
fn has_landed(view: &View<'_>, write: &Write) -> bool {
    for target in &write.targets {
        if let Some(image) = view.image(target.group)
            && image == target.from.with_pair(target.to)
            && Some(image.pair()) != baseline(view, target.group)
        {
            return true;
        }
    }
    false
}

/// Decides about a reverting cutover.
pub(super) fn decide(view: &View<'_>) -> Decision {
    let Some(revert) = &view.state.revert else {
        return Decision::default();
    };
    if let Some(event) = forced(view, revert) {
        return Decision::of(event);
    }
    if let Some(event) = foreign_seen(view, revert) {
        return Decision::of(event);
    }
    let places: Vec<RevertPlace> = (0..view.groups())
        .map(|index| place(view, revert, index))
        .collect();
    let back = places
        .iter()
        .filter(|place| matches!(place, RevertPlace::Back))
        .count();
    if back == places.len() {
        return confirm(view, revert);
    }
    let seen_before = revert.baseline_seen.is_some();
    let left = places.iter().any(|place| {
        matches!(
            place,
            RevertPlace::Ours(_) | RevertPlace::Foreign | RevertPlace::Doubtful
        )
    });
    if seen_before && left {
        return Decision::of(Event::BaselineSeen { at: None });
    }
    if let Some(event) = halt(view, revert, &places) {
        return Decision::of(event);
    }
    let retry_at = retry_at(revert).filter(|at| *at > view.now);
    let unread = (0..places.len()).all(|index| !view.was_read(index))
        && places
            .iter()
            .all(|place| matches!(place, RevertPlace::Unseen(None)));
    let look = if unread && !view.observation.in_flight {
        LOOK_AT_ONCE
    } else {
        LOOK_AGAIN
    };
    let mut decision = Decision {
        because: blocked(revert, &places).into_iter().collect(),
        wake_at: retry_at.or(Some(view.now + look)),
        ..Decision::default()
    };
    decision.because.push(HoldReason::Reverting {
        back,
        groups: places.len(),
    });
    if !view.observation.in_flight && retry_at.is_none() {
        decision.order = order(view, revert, &places);
    }
    decision
}

/// Begins the revert anew by force, if a person asked for that while a plain revert is under way. `None` otherwise.
fn forced(view: &View<'_>, revert: &Revert) -> Option<Event> {
    let rollback = view.state.rollback.as_ref()?;
    if rollback.mode != RevertMode::Force || revert.mode != RevertMode::Swap {
        return None;
    }
    let (actor, reason) = (rollback.actor.clone(), rollback.reason.clone());
    Some(Event::RevertIntended {
        write_id: view.next_write_id(),
        cause: RevertCause::Operator { actor, reason },
        mode: RevertMode::Force,
        shared: None,
        seen: None,
    })
}

/// Returns the weights that a group has in the baseline.
fn baseline(view: &View<'_>, index: usize) -> Option<WeightPair> {
    view.state
        .baseline
        .as_ref()?
        .get(index)
        .map(GroupImage::pair)
}

/// Returns the result of reading a group in this round.
fn place(view: &View<'_>, revert: &Revert, index: usize) -> RevertPlace {
    let read_at = match view.observation.groups.get(index) {
        None | Some(GroupReading::NotRead) => return RevertPlace::Unseen(None),
        Some(GroupReading::Unreadable { since, .. }) => return RevertPlace::Unseen(Some(*since)),
        Some(GroupReading::Read { at, .. }) => *at,
    };
    match view.image(index) {
        Some(image) if Some(image.pair()) == baseline(view, index) => RevertPlace::Back,
        Some(image) if is_ours(view, index, image.pair()) => RevertPlace::Ours(Box::new(image)),
        _ if agrees(revert, index, read_at) => RevertPlace::Foreign,
        _ if defies_force(view, index) => RevertPlace::Doubtful,
        _ if revert.mode == RevertMode::Force => RevertPlace::Foreign,
        Some(_) => RevertPlace::Doubtful,
        // A member that is missing in one reply may still be there.
        None => RevertPlace::Unseen(None),
    }
}

/// Returns true if an earlier reading found the same in this group. [`foreign_seen`] has recorded the present reading
/// before.
fn agrees(revert: &Revert, index: usize, read_at: Timestamp) -> bool {
    revert.foreign.as_ref().is_some_and(|seen| {
        seen.groups.contains_key(&index) && read_at.duration_since(seen.read_at) >= READINGS_APART
    })
}

/// Returns an event for groups with weights of somebody else, so that the next reading can confirm them. `None` if they
/// are recorded already. A forced revert needs no confirmation, unless Route 53 would refuse weighted records next to
/// those that were found.
fn foreign_seen(view: &View<'_>, revert: &Revert) -> Option<Event> {
    let forces = revert.mode == RevertMode::Force;
    let noted = revert.foreign.as_ref();
    let mut groups: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    let mut read_at: Option<Timestamp> = None;
    for index in 0..view.groups() {
        let Some(GroupReading::Read { at, .. }) = view.observation.groups.get(index) else {
            if let Some(known) = noted.and_then(|noted| noted.groups.get(&index)) {
                groups.insert(index, known.clone());
            }
            continue;
        };
        read_at = read_at.max(Some(*at));
        let image = view.image(index);
        let known = match image.as_ref().map(GroupImage::pair) {
            Some(pair) => Some(pair) == baseline(view, index) || is_ours(view, index, pair),
            None => false,
        };
        let yields = forces && !defies_force(view, index);
        if !known && !yields {
            groups.insert(index, image);
        }
    }
    let read_at = read_at?;
    let same = match noted {
        // If the clock went back, this counts as a first reading again.
        Some(noted) => noted.groups == groups && read_at >= noted.read_at,
        None => groups.is_empty(),
    };
    if same {
        None
    } else {
        Some(Event::ForeignWeightsSeen { groups, read_at })
    }
}

/// Returns true if this attempt intended these weights for that group, or a person adopted them (semantics B3).
fn is_ours(view: &View<'_>, index: usize, pair: WeightPair) -> bool {
    let intended = view
        .state
        .intended
        .get(&index)
        .is_some_and(|pairs| pairs.contains(&pair));
    let verified = view
        .state
        .verified
        .as_ref()
        .and_then(|images| images.get(index));
    intended || verified.is_some_and(|image| image.pair() == pair)
}

/// Confirms that all groups are at the baseline: a first time, or again at least [`FENCE`] later. Then the revert ends.
fn confirm(view: &View<'_>, revert: &Revert) -> Decision {
    let groups = view.groups();
    let hold = Decision::hold(HoldReason::Reverting {
        back: groups,
        groups,
    });
    if view.observation.in_flight {
        return hold;
    }
    let Some(seen_at) = revert.baseline_seen else {
        return Decision::of(Event::BaselineSeen { at: Some(view.now) });
    };
    let fence = (seen_at + FENCE).max(may_land_until(view).unwrap_or(seen_at));
    if let Err(look_at) = read_again(view, fence) {
        return Decision {
            wake_at: Some(full_second(look_at)),
            ..hold
        };
    }
    if !view.state.jobs.are_back() {
        // The weights are back, but the revert does not end before the jobs are back too.
        return hold;
    }
    if let Some(mut wait) = jobs::astray(view) {
        wait.because.extend(hold.because);
        return wait;
    }
    if let Some(called) = hooks::after_revert(view) {
        return called;
    }
    ends(view)
}

/// Ends the revert. Records members that hold weight although the baseline did not have it: their traffic has not come
/// back.
fn ends(view: &View<'_>) -> Decision {
    let mut members = Vec::new();
    let groups = view.state.plan().records.iter();
    let baseline = view.state.baseline.iter().flatten();
    for (index, (group, baseline)) in groups.zip(baseline).enumerate() {
        if let Some(image) = view.image(index) {
            members.extend(strays(&group.name, baseline, &image));
        }
    }
    let mut decision = Decision::default();
    if members != view.state.strays {
        decision.events.push(Event::StrayWeightsFound { members });
    }
    decision.events.push(Event::Reverted { cancelled: false });
    decision
}

/// Returns the next full second. Reverts that began within the same second then share the pages of their confirming
/// readings.
fn full_second(at: Timestamp) -> Timestamp {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    if whole < at {
        whole + SignedDuration::from_secs(1)
    } else {
        at
    }
}

/// Checks that every group was read at `fence` or later. The time of the decision proves nothing. If the clock jumped
/// ahead after the first reading, that reading would otherwise count as the second one.
///
/// # Errors
/// The time at which the groups must be read again.
fn read_again(view: &View<'_>, fence: Timestamp) -> Result<(), Timestamp> {
    if view.now < fence {
        return Err(fence);
    }
    for group in &view.observation.groups {
        let after = match group {
            GroupReading::Read { at, .. } => *at >= fence,
            GroupReading::NotRead | GroupReading::Unreadable { .. } => false,
        };
        if !after {
            return Err(view.now + FENCE);
        }
    }
    Ok(())
}

/// Returns the time until which a write of this attempt may still take effect (semantics A3). `None` if all its replies
/// are known.
fn may_land_until(view: &View<'_>) -> Option<Timestamp> {
    let write = view.state.write.as_ref()?;
    if write.is_answered() {
        return None;
    }
    Some(write.perform_by + LATE)
}

/// Returns the event that halts the revert because of drift, once everything else is back. Nothing else halts a revert.
/// `None` if it goes on.
fn halt(view: &View<'_>, revert: &Revert, places: &[RevertPlace]) -> Option<Event> {
    let landing = may_land_until(view).is_some_and(|until| view.now < until);
    if view.observation.in_flight || landing {
        return None;
    }
    let busy = places.iter().any(|place| {
        matches!(
            place,
            RevertPlace::Ours(_) | RevertPlace::Doubtful | RevertPlace::Unseen(_)
        )
    });
    if busy {
        return None;
    }
    let (mut groups, mut found) = (Vec::new(), Vec::new());
    for (index, place) in places.iter().enumerate() {
        if let (RevertPlace::Foreign, Some(group)) = (place, view.state.plan().records.get(index)) {
            groups.push(group.name.clone());
            found.extend(astray(view, index));
        }
    }
    // A forced revert goes on for as long as it can write. It cannot if a record is there that excludes weighted ones.
    if revert.mode == RevertMode::Force && found.iter().any(Astray::yields_to_force) {
        return None;
    }
    Some(Event::Halted {
        reason: HaltReason::Drift { groups, found },
    })
}

/// Returns what somebody else changed in a group, as read in this round. `None` if there is no image to compare it
/// with.
fn astray(view: &View<'_>, index: usize) -> Option<Astray> {
    let group = view.state.plan().records.get(index)?;
    let verified = view.state.verified.as_ref().and_then(|all| all.get(index));
    let verified = verified.or_else(|| view.state.baseline.as_ref()?.get(index))?;
    let image = view.image(index);
    let members = view.members(index).unwrap_or_default();
    Some(Astray::of(group, verified, image.as_ref(), members))
}

/// Returns true if Route 53 refuses weighted records here until somebody deletes the records that were found.
fn defies_force(view: &View<'_>, index: usize) -> bool {
    astray(view, index).is_some_and(|astray| !astray.yields_to_force())
}

/// Returns a hold if the revert cannot be finished now, with the reason. `None` if nothing is in its way.
fn blocked(revert: &Revert, places: &[RevertPlace]) -> Option<HoldReason> {
    let unreadable = places
        .iter()
        .any(|place| matches!(place, RevertPlace::Unseen(Some(_))));
    let stubborn = places.iter().enumerate().any(|(index, place)| {
        let last = revert.submitted.get(&index);
        let tried = last.is_some_and(|last| last.duration_since(revert.at) >= STUBBORN_AFTER);
        revert.mode == RevertMode::Force && matches!(place, RevertPlace::Foreign) && tried
    });
    let message = match &revert.trouble {
        Some(trouble) if revert.failures > 0 => trouble,
        _ if unreadable => "Route 53 cannot be read",
        _ if stubborn => {
            "records were overwritten but do not keep the baseline's weights: somebody keeps writing them"
        }
        _ => return None,
    };
    Some(HoldReason::RevertBlocked {
        message: message.to_owned(),
    })
}

/// Returns the time at which the next try is due after failures: 1, 2, 4 … seconds later. If only the transport fails,
/// the waits stay short at first, because Route 53 has not asked for fewer calls. `None` if nothing failed.
fn retry_at(revert: &Revert) -> Option<Timestamp> {
    let failed_at = revert.failed_at?;
    let transport = revert.failed_class == Some(FailureClass::Transient);
    let backoff = if transport && failed_at.duration_since(revert.at) < EAGER_FOR {
        EAGER
    } else {
        Backoff::TRIES
    };
    Some(failed_at + backoff.after(revert.failures))
}

/// Returns the time at which a forced revert may overwrite a group again that somebody else keeps writing. The waits
/// double like those after a refusal. `None` if the group was not written yet.
fn overwritten_again_at(revert: &Revert, index: usize) -> Option<Timestamp> {
    let last = *revert.submitted.get(&index)?;
    let wait = SignedDuration::from_secs(last.duration_since(revert.at).as_secs());
    Some(last + wait.clamp(Backoff::TRIES.first, Backoff::TRIES.longest))
}

/// Returns the write that the revert needs now. `None` if there is nothing to write.
fn order(view: &View<'_>, revert: &Revert, places: &[RevertPlace]) -> Option<Order> {
    let force = revert.mode == RevertMode::Force;
    let mut parts = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let Some(to) = baseline(view, index) else {
            continue;
        };
        let blind = match place {
            RevertPlace::Unseen(Some(since)) => {
                view.now.duration_since(*since) >= BLIND_REVERT_AFTER
            }
            RevertPlace::Unseen(None)
            | RevertPlace::Back
            | RevertPlace::Ours(_)
            | RevertPlace::Foreign
            | RevertPlace::Doubtful => false,
        };
        let waiting = revert.submitted.contains_key(&index);
        let overwrites = force && overwritten_again_at(revert, index) <= Some(view.now);
        match place {
            RevertPlace::Ours(image) if !force => {
                parts.push(Part {
                    group: index,
                    image: (**image).clone(),
                    to,
                    how: How::Swap,
                });
            }
            RevertPlace::Ours(_) | RevertPlace::Foreign
                if overwrites && !defies_force(view, index) =>
            {
                parts.extend(upsert(view, index, to));
            }
            RevertPlace::Unseen(_) if !waiting && (force || blind) => {
                parts.extend(upsert(view, index, to));
            }
            RevertPlace::Back
            | RevertPlace::Ours(_)
            | RevertPlace::Foreign
            | RevertPlace::Doubtful
            | RevertPlace::Unseen(_) => {}
        }
    }
    if parts.is_empty() {
        return None;
    }
    Some(Order {
        write_id: revert.write_id.clone(),
        purpose: Purpose::Revert,
        parts,
        send_by: None,
    })
}

/// Returns the part of a write that upserts a group: its last verified image with the baseline's weights. `None` if
/// there is no image.
fn upsert(view: &View<'_>, index: usize, to: WeightPair) -> Option<Part> {
    let verified = view
        .state
        .verified
        .as_ref()
        .and_then(|images| images.get(index));
    let image = verified
        .or_else(|| view.state.baseline.as_ref()?.get(index))?
        .clone();
    Some(Part {
        group: index,
        image,
        to,
        how: How::Upsert,
    })
}
