//! A step's write: sent, answered, read back (RULES A).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::active;
use super::advance;
use super::{Decision, LATE, SKEW_MAX, STEP_WITHIN, View};
use crate::engine::event::Event;
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::record::GroupImage;
use crate::engine::state::Write;
use crate::engine::verdict::Judgement;

/// Where a group of an unresolved write stands.
enum Place {
    /// It has the step's weights.
    Moved(GroupImage),
    /// It is as it was.
    Before,
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
        Some(write) => abandon(view, write).unwrap_or_else(|| waiting(view, write)),
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
    let trouble = write
        .and_then(Write::trouble)
        .unwrap_or("not all groups could be written");
    (view.elapsed(began) >= STEP_WITHIN)
        .then(|| format!("not verified in all zones within 10 minutes: {trouble}"))
}

/// What reading back settles by itself: the write has arrived, however late; or nobody ever answered for it (its owner
/// is gone) and it can no longer land, so that the step is decided afresh (RULES A2).
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
    let reason = write.trouble().unwrap_or("nobody answered for it");
    Some(give_up(view, write, places(view, write)?, reason))
}

/// Until when the write may still land, by this process's clock. Its owner knows what it has sent; everybody else waits by
/// AWS's clock, from which the owner's may have been off by as much as goes unnoticed: a wrong clock here must not give up
/// what its owner is about to send (RULES A2, D3).
fn lands_until(view: &View<'_>, write: &Write) -> Timestamp {
    let until = write.perform_by + LATE;
    if write.owner == view.observation.me {
        return until;
    }
    let ahead = view.now.duration_since(view.aws_now());
    let by_aws = until.saturating_add(SKEW_MAX + ahead);
    by_aws.unwrap_or(Timestamp::MAX)
}

fn give_up(
    view: &View<'_>,
    write: &Write,
    places: BTreeMap<usize, Place>,
    reason: &str,
) -> Decision {
    let mut moved = BTreeMap::new();
    let mut foreign: BTreeMap<usize, Option<GroupImage>> = BTreeMap::new();
    for (index, place) in places {
        match place {
            Place::Moved(image) => drop(moved.insert(index, image)),
            Place::Foreign(image) => drop(foreign.insert(index, image)),
            Place::Before => {}
        }
    }
    let begun = view.state.verified_step > 0 || !moved.is_empty();
    let write_id = write.write_id.clone();
    let mut events = vec![Event::WeightChangeAbandoned {
        write_id,
        moved,
        reason: reason.to_owned(),
    }];
    // Before anything of ours is there, a foreign group is a matter for the preflight.
    if begun && !foreign.is_empty() {
        events.push(view.drift_detected(foreign));
    }
    Decision {
        events,
        ..Decision::default()
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
            Some(image) if image == target.from => Place::Before,
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

/// Some zones have moved and others have not: the rest follows as soon as nothing stands in the way.
fn finish_zones(view: &View<'_>, blockers: &[HoldReason]) -> Decision {
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
    decision.wake_at = looks.into_iter().find(|at| *at > view.now);
    decision
}
