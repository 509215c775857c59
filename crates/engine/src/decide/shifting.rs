//! Decisions about a step's write: it is sent, answered and read back (semantics A).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::automatic::automatic_revert;
use super::decision::{Decision, How, Order, Part, Purpose};
use super::limits::{LATE, SKEW_MAX, STEP_WITHIN};
use super::view::View;
use super::{advance, turn};
use crate::backoff::Backoff;
use crate::event::{Event, SendOutcome};
use crate::hold::{HoldReason, RevertCause};
use crate::observation::GroupReading;
use crate::record::GroupImage;
use crate::state::Write;
use crate::verdict::GateJudgements;

/// The waits before a write whose reply was lost is sent again. After the fourth its deadline has passed.
const RESEND: Backoff = Backoff {
    first: SignedDuration::from_secs(1),
    longest: SignedDuration::from_secs(16),
};

/// The result of reading a group of an unresolved write.
enum StepPlace {
    /// The group has the step's weights.
    Moved(GroupImage),
    /// The group is exactly as it was before the write.
    Before(GroupImage),
    /// Somebody else changed the group. `None` if a member is gone.
    Foreign(Option<GroupImage>),
}

/// Decides about a step whose weights are being written. `blockers` are the holds on the next step.
pub(super) fn decide(
    view: &View<'_>,
    judgement: &GateJudgements,
    blockers: &[HoldReason],
) -> Decision {
    if let Some(write) = &view.state.write
        && let Some(decision) = read_back(view, write)
    {
        return decision;
    }
    if let Some(message) = failed(view) {
        let cause = RevertCause::StepFailed { message };
        if let Some(event) = automatic_revert(view, judgement, cause, None) {
            return Decision::of(event);
        }
    }
    let Some(write) = &view.state.write else {
        return finish_zones(view, blockers);
    };
    if let Some(decision) = abandon(view, write) {
        return decision;
    }
    if let Some(decision) = resend(view, write, blockers) {
        return decision;
    }
    waiting(view, write)
}

/// Resolves a write that was under way when the cutover halted. It is never sent again, not even after `retry`. `None`
/// if there is none, or if it may still take effect.
pub(super) fn left_over(view: &View<'_>) -> Option<Decision> {
    abandon(view, view.state.write.as_ref()?)
}

/// Returns why the step can no longer be finished. `None` if it still can be.
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

/// Returns true if a group has the step's weights and nobody else has changed it since. Then there is something to
/// revert.
fn has_moved_untouched(view: &View<'_>) -> bool {
    let Some(step) = view.state.plan().step(view.state.step) else {
        return false;
    };
    let verified = view.state.verified.iter().flatten();
    for (index, image) in verified.enumerate() {
        let drifted = match &view.state.drift {
            Some(drift) => drift.contains_key(&index),
            None => false,
        };
        if image.pair() == step.pair && !drifted {
            return true;
        }
    }
    false
}

/// Resolves the write by reading back (semantics A2). Either it has arrived, however late. Or no reply ever came,
/// because its owner is gone, and it can no longer arrive: then the step is decided afresh. `None` if neither is known.
fn read_back(view: &View<'_>, write: &Write) -> Option<Decision> {
    let mine = write.owner == view.observation.me;
    let late = view.now >= write.perform_by;
    if view.observation.in_flight || !(mine || late || write.is_answered()) {
        return None;
    }
    let places = places(view, write)?;
    let all_moved = places
        .values()
        .all(|place| matches!(place, StepPlace::Moved(_)));
    if all_moved
        && others_as_verified(view, write)
        && let Some(images) = all_images(view)
    {
        let write_id = write.write_id.clone();
        return Some(Decision::of(Event::WeightsVerified {
            write_id,
            step: write.step,
            images,
        }));
    }
    if write.answers.is_empty() {
        abandon(view, write)
    } else {
        None
    }
}

/// Returns the images of all groups as read in this round. `None` if one is missing.
fn all_images(view: &View<'_>) -> Option<Vec<GroupImage>> {
    (0..view.groups()).map(|index| view.image(index)).collect()
}

/// Abandons the write once it can no longer take effect and all its groups were read, so that this reading is final.
/// `None` before that.
fn abandon(view: &View<'_>, write: &Write) -> Option<Decision> {
    let settled = write.is_answered() || view.now >= lands_until(view, write);
    if view.observation.in_flight || !settled {
        return None;
    }
    Some(give_up(view, write, places(view, write)?))
}

/// Returns the time until which the write may still take effect, by this process's clock. Its owner knows what it has
/// sent. Every other controller waits by AWS's clock, and adds the largest unnoticed error of the owner's clock.
/// Otherwise a wrong clock here would abandon a write that its owner is about to send (semantics A2, D3).
fn lands_until(view: &View<'_>, write: &Write) -> Timestamp {
    let until = write.perform_by + LATE;
    if write.owner == view.observation.me {
        return until;
    }
    let ahead = view.now.duration_since(view.aws_now());
    let by_aws = until.saturating_add(SKEW_MAX + ahead);
    by_aws.unwrap_or(Timestamp::MAX)
}

/// Returns the entries that abandon a write. Nothing happened only if every group is read at the image before the
/// write. A group that is read at anything else was changed by somebody else. So was a group that Route 53 accepted and
/// that is read at the image before (semantics L1).
fn give_up(view: &View<'_>, write: &Write, places: BTreeMap<usize, StepPlace>) -> Decision {
    let (mut moved, mut landed) = (BTreeMap::new(), Vec::new());
    let mut drifted: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    for (index, place) in places {
        let accepted = write.is_accepted(index);
        match place {
            StepPlace::Moved(image) => {
                moved.insert(index, image);
            }
            StepPlace::Before(_) if !accepted => {}
            StepPlace::Before(image) => {
                drifted.insert(index, Some(image));
            }
            StepPlace::Foreign(image) => {
                drifted.insert(index, image);
            }
        }
        if accepted && drifted.contains_key(&index) {
            landed.push(index);
        }
    }
    let reason = match write.trouble() {
        Some(trouble) => trouble,
        None if drifted.is_empty() => "no reply",
        None => "somebody else changed the records before they were read back",
    };
    let mut events = Vec::new();
    // The drift comes first. An attempt that has drifted counts as begun, and does not go back to its start.
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

/// Sends the same write again while it may be sent, if its reply was lost and the groups were then read as they were
/// before it. So a broken connection costs only seconds. If the first send still arrives late, it writes the same or is
/// refused, because both are compare-and-swaps of the same images (semantics L2). `None` if it must not be sent now.
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
        if matches!(write.answers.get(&target.group), Some(SendOutcome::Lost(_))) {
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

/// Returns the time at which a write whose reply was lost may be sent again: 1, 2, 4 … seconds after the loss.
fn resend_at(write: &Write, lost_at: Timestamp) -> Timestamp {
    lost_at + RESEND.after(write.losses)
}

/// Returns true if a group was read at `since` or later.
fn was_read_after(view: &View<'_>, index: usize, since: Timestamp) -> bool {
    match view.observation.groups.get(index) {
        Some(GroupReading::Read { at, .. }) => *at >= since,
        Some(GroupReading::NotRead | GroupReading::Unreadable { .. }) | None => false,
    }
}

/// Returns the result of reading each group of the write. `None` if one of them was not read in this round.
fn places(view: &View<'_>, write: &Write) -> Option<BTreeMap<usize, StepPlace>> {
    let mut places = BTreeMap::new();
    for target in &write.targets {
        if !view.was_read(target.group) {
            return None;
        }
        let place = match view.image(target.group) {
            Some(image) if image == target.from.with_pair(target.to) => StepPlace::Moved(image),
            Some(image) if image == target.from => StepPlace::Before(image),
            image => StepPlace::Foreign(image),
        };
        places.insert(target.group, place);
    }
    Some(places)
}

/// Returns true if the groups that the write does not touch are as last verified.
fn others_as_verified(view: &View<'_>, write: &Write) -> bool {
    for (index, image) in view.state.verified.iter().flatten().enumerate() {
        let touched = write.targets.iter().any(|target| target.group == index);
        if !touched && view.image(index).as_ref() != Some(image) {
            return false;
        }
    }
    true
}

/// Finishes a step that has moved some zones only, as soon as nothing holds it. If no group has the step's weights,
/// because a person adopted others, the step waits for its approval and window like any other.
fn finish_zones(view: &View<'_>, blockers: &[HoldReason]) -> Decision {
    if !view.state.has_moved_in_step()
        && let Some(wait) = turn::wait(view, view.state.step)
    {
        return wait;
    }
    // Nothing is written while a group has drifted, and another hold says so.
    if view.state.drift.is_some() && !has_moved_untouched(view) {
        return Decision::default();
    }
    if blockers.is_empty()
        && view.all_as_verified()
        && !view.observation.in_flight
        && let Some(images) = all_images(view)
    {
        return advance::intend(view, view.state.step, &images, None);
    }
    let mut decision = Decision::hold(HoldReason::Shifting {
        step: view.state.step,
        message: None,
    });
    let over = view.state.step_began_at.map(|began| began + STEP_WITHIN);
    decision.wake_at = over.filter(|at| *at > view.now);
    decision
}

/// Returns the hold of a write that is not resolved yet.
fn waiting(view: &View<'_>, write: &Write) -> Decision {
    let last = view.state.abandoned_for.as_deref();
    let message = write.trouble().or(last).map(str::to_owned);
    let mut decision = Decision::hold(HoldReason::Shifting {
        step: write.step,
        message,
    });
    let mut times = vec![write.perform_by, lands_until(view, write)];
    times.extend(write.lost_at.map(|lost_at| resend_at(write, lost_at)));
    times.retain(|at| *at > view.now);
    decision.wake_at = times.into_iter().min();
    decision
}
