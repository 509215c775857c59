//! A step's write: sent, answered, read back (semantics A).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::active;
use super::advance;
use super::turn;
use super::{Decision, How, LATE, Order, Part, Purpose, SKEW_MAX, STEP_WITHIN, View};
use crate::engine::event::Event;
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::observation::GroupReading;
use crate::engine::record::GroupImage;
use crate::engine::state::{Answer, Write};
use crate::engine::verdict::Judgement;

/// The first wait before a write whose reply was lost is sent again; it doubles with each loss.
const RESEND_AFTER: SignedDuration = SignedDuration::from_secs(1);

/// Where a group of an unresolved write stands.
enum Place {
    /// It has the step's weights.
    Moved(GroupImage),
    /// It is as it was.
    Before(GroupImage),
    /// Somebody else changed it, or a member is gone.
    Foreign(Option<GroupImage>),
}

pub(super) fn decide(view: &View<'_>, judgement: &Judgement, blockers: &[HoldReason]) -> Decision {
    if let Some(decision) = view
        .state
        .write
        .as_ref()
        .and_then(|write| read_back(view, write))
    {
        return decision;
    }
    if let Some(message) = failed(view) {
        let cause = RevertCause::StepFailed { message };
        if let Some(event) = active::automatic_revert(view, judgement, cause, None) {
            return Decision::of(event);
        }
    }
    match &view.state.write {
        Some(write) => abandon(view, write)
            .or_else(|| resend(view, write, blockers))
            .unwrap_or_else(|| waiting(view, write)),
        None => finish_zones(view, blockers),
    }
}

/// A write that was under way when the cutover halted is only looked after, never sent again; also after `retry`.
pub(super) fn left_over(view: &View<'_>) -> Option<Decision> {
    abandon(view, view.state.write.as_ref()?)
}

/// Why the step cannot be finished any more.
fn failed(view: &View<'_>) -> Option<String> {
    if view.observation.in_flight {
        return None;
    }
    let write = view.state.write.as_ref();
    if let Some(message) = write.and_then(Write::refused_for_good) {
        return Some(message.to_owned());
    }
    let began = view.state.step_began_at?;
    if view.elapsed(began) < STEP_WITHIN || (write.is_none() && !has_moved_untouched(view)) {
        return None;
    }
    let trouble = write
        .and_then(Write::trouble)
        .unwrap_or("not all groups could be written");
    Some(format!(
        "not verified in all zones within 10 minutes: {trouble}"
    ))
}

/// Returns true if a group has the step's weights and nobody else has changed it since: then there is something to take back.
fn has_moved_untouched(view: &View<'_>) -> bool {
    let Some(step) = view.state.plan().step(view.state.step) else {
        return false;
    };
    let verified = view.state.verified.iter().flatten();
    for (index, image) in verified.enumerate() {
        let drifted = view
            .state
            .drift
            .as_ref()
            .is_some_and(|drift| drift.contains_key(&index));
        if image.pair() == step.pair && !drifted {
            return true;
        }
    }
    false
}

/// What reading back settles by itself: the write has arrived, however late; or nobody ever answered for it (its owner
/// is gone) and it can no longer land, so that the step is decided afresh (semantics A2).
fn read_back(view: &View<'_>, write: &Write) -> Option<Decision> {
    let mine = write.owner == view.observation.me;
    let late = view.now >= write.perform_by;
    if view.observation.in_flight || !(mine || late || write.is_answered()) {
        return None;
    }
    let places = places(view, write)?;
    let images: Option<Vec<GroupImage>> =
        (0..view.groups()).map(|index| view.image(index)).collect();
    let all_moved = places
        .values()
        .all(|place| matches!(place, Place::Moved(_)));
    if let (Some(images), true) = (images, all_moved && others_as_verified(view, write)) {
        let write_id = write.write_id.clone();
        return Some(Decision::of(Event::WeightsVerified {
            write_id,
            step: write.step,
            images,
        }));
    }
    write
        .answers
        .is_empty()
        .then(|| abandon(view, write))
        .flatten()
}

/// Gives the write up, once it can no longer land and all its groups were read: what is read now is what there is.
fn abandon(view: &View<'_>, write: &Write) -> Option<Decision> {
    let settled = write.is_answered() || view.now >= lands_until(view, write);
    if view.observation.in_flight || !settled {
        return None;
    }
    Some(give_up(view, write, places(view, write)?))
}

/// Until when the write may still land, by this process's clock. Its owner knows what it has sent; everybody else waits by
/// AWS's clock, from which the owner's may have been off by as much as goes unnoticed: a wrong clock here must not give up
/// what its owner is about to send (semantics A2, D3).
fn lands_until(view: &View<'_>, write: &Write) -> Timestamp {
    let until = write.perform_by + LATE;
    if write.owner == view.observation.me {
        return until;
    }
    let ahead = view.now.duration_since(view.aws_now());
    let by_aws = until.saturating_add(SKEW_MAX + ahead);
    by_aws.unwrap_or(Timestamp::MAX)
}

/// The entries that give a write up. Nothing happened only if every group is read at the image before. A group at anything
/// else, and one that Route 53 had accepted and that is back at the image before, was changed by somebody else (semantics L1).
fn give_up(view: &View<'_>, write: &Write, places: BTreeMap<usize, Place>) -> Decision {
    let (mut moved, mut landed) = (BTreeMap::new(), Vec::new());
    let mut drifted: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    for (index, place) in places {
        let accepted = write.is_accepted(index);
        match place {
            Place::Moved(image) => {
                moved.insert(index, image);
            }
            Place::Before(_) if !accepted => {}
            Place::Before(image) => {
                drifted.insert(index, Some(image));
            }
            Place::Foreign(image) => {
                drifted.insert(index, image);
            }
        }
        if accepted && drifted.contains_key(&index) {
            landed.push(index);
        }
    }
    let reason = match write.trouble() {
        Some(trouble) => trouble,
        None if drifted.is_empty() => "nobody answered for it",
        None => "somebody else changed the records before they were read back",
    };
    let mut events = Vec::new();
    // The drift comes first: an attempt that has drifted has begun, and does not go back to its start.
    if !drifted.is_empty() {
        events.push(view.drift_detected(drifted));
    }
    events.push(Event::WeightChangeAbandoned {
        write_id: write.write_id.clone(),
        moved,
        landed,
        reason: reason.to_owned(),
    });
    Decision {
        events,
        ..Decision::default()
    }
}

/// Sends the same write again while it may be sent, if its reply was lost and the groups were read as they were before it:
/// a connection that broke costs seconds. A first send that arrives late all the same writes what the second one did, or is
/// refused, since both are compare-and-swaps of the same images (semantics L2).
fn resend(view: &View<'_>, write: &Write, blockers: &[HoldReason]) -> Option<Decision> {
    let lost_at = write.lost_at?;
    let mine = write.owner == view.observation.me;
    if !mine || view.observation.in_flight || !blockers.is_empty() {
        return None;
    }
    let again_at = resend_at(write, lost_at);
    if view.now < again_at || view.now >= write.perform_by {
        return None;
    }
    let mut parts = Vec::new();
    for target in &write.targets {
        if !was_read_after(view, target.group, lost_at)
            || view.image(target.group).as_ref() != Some(&target.from)
        {
            return None;
        }
        if matches!(write.answers.get(&target.group), Some(Answer::Lost(_))) {
            parts.push(Part {
                group: target.group,
                image: target.from.clone(),
                to: target.to,
                how: How::Swap,
            });
        }
    }
    let order = Order {
        write_id: write.write_id.clone(),
        purpose: Purpose::Step,
        parts,
        send_by: Some(write.perform_by),
    };
    Some(Decision {
        order: Some(order),
        ..waiting(view, write)
    })
}

/// When a write whose reply was lost may be sent again: 1, 2, 4 … seconds after the loss.
fn resend_at(write: &Write, lost_at: Timestamp) -> Timestamp {
    let doublings = write.losses.saturating_sub(1).min(4);
    lost_at + RESEND_AFTER * (1_i32 << doublings)
}

fn was_read_after(view: &View<'_>, index: usize, since: Timestamp) -> bool {
    match view.observation.groups.get(index) {
        Some(GroupReading::Read { at, .. }) => *at >= since,
        Some(GroupReading::NotRead | GroupReading::Unreadable { .. }) | None => false,
    }
}

/// Where each group of the write stands; none while not all of them were read in this round.
fn places(view: &View<'_>, write: &Write) -> Option<BTreeMap<usize, Place>> {
    let place = |target: &crate::engine::event::Target| {
        if !view.was_read(target.group) {
            return None;
        }
        let place = match view.image(target.group) {
            Some(image) if image == target.from.with_pair(target.to) => Place::Moved(image),
            Some(image) if image == target.from => Place::Before(image),
            image => Place::Foreign(image),
        };
        Some((target.group, place))
    };
    write.targets.iter().map(place).collect()
}

/// Whether the groups that the write does not touch are as last verified.
fn others_as_verified(view: &View<'_>, write: &Write) -> bool {
    let touched = |index: usize| write.targets.iter().any(|target| target.group == index);
    view.state
        .verified
        .iter()
        .flatten()
        .enumerate()
        .all(|(index, image)| touched(index) || view.image(index).as_ref() == Some(image))
}

/// Some zones have moved and others have not: the rest follows as soon as nothing stands in the way. A step of which nothing
/// is there, because a person adopted other weights, waits for its turn like any other.
fn finish_zones(view: &View<'_>, blockers: &[HoldReason]) -> Decision {
    if !view.state.has_moved_in_step()
        && let Some(wait) = turn::wait(view, view.state.step)
    {
        return wait;
    }
    // Nothing is being written while somebody else's change stands; the hold says so.
    if view.state.drift.is_some() && !has_moved_untouched(view) {
        return Decision::default();
    }
    let images: Option<Vec<GroupImage>> =
        (0..view.groups()).map(|index| view.image(index)).collect();
    match images {
        Some(images)
            if blockers.is_empty() && view.all_as_verified() && !view.observation.in_flight =>
        {
            advance::intend(view, view.state.step, &images, None)
        }
        _ => {
            let mut decision = Decision::hold(HoldReason::Shifting {
                step: view.state.step,
                message: None,
            });
            let over = view.state.step_began_at.map(|began| began + STEP_WITHIN);
            decision.wake_at = over.filter(|at| *at > view.now);
            decision
        }
    }
}

fn waiting(view: &View<'_>, write: &Write) -> Decision {
    let last = view.state.abandoned_for.as_deref();
    let message = write.trouble().or(last).map(str::to_owned);
    let mut decision = Decision::hold(HoldReason::Shifting {
        step: write.step,
        message,
    });
    let looks = [write.perform_by, lands_until(view, write)];
    let again_at = write.lost_at.map(|lost_at| resend_at(write, lost_at));
    let looks = again_at.into_iter().chain(looks);
    decision.wake_at = looks.filter(|at| *at > view.now).min();
    decision
}
