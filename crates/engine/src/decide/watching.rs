//! Decisions while a step settles or bakes.

use jiff::{SignedDuration, Timestamp};

use super::decision::{Decision, How, Order, Part, Purpose};
use super::limits::{LATE, PERFORM_WITHIN, STEP_WITHIN};
use super::view::View;
use super::{advance, hooks, jobs, turn};
use crate::event::Event;
use crate::hold::HoldReason;
use crate::observation::ChangeReading;
use crate::record::GroupImage;
use crate::state::Phase;
use crate::units::ChangeId;
use crate::verdict::GateJudgements;

/// The interval at which a running bake clock is journaled. So a crash, followed by a time in which the gates cannot be
/// read, costs little of the bake.
const CHECKPOINT_EVERY: SignedDuration = SignedDuration::from_secs(3600);

/// Decides about a step that settles.
pub(super) fn settle(view: &View<'_>, judgement: &GateJudgements) -> Decision {
    let step = view.state.verified_step;
    let mut events = Vec::new();
    for (id, change) in &view.state.changes {
        let in_sync = view.observation.changes.get(id) == Some(&ChangeReading::InSync);
        if change.in_sync_at.is_none() && in_sync {
            events.push(Event::ChangeInSync {
                change_id: id.clone(),
            });
        }
    }
    if !events.is_empty() {
        return Decision {
            events,
            ..Decision::default()
        };
    }
    if let Some(decision) = resubmit(view) {
        return decision;
    }
    let Some(in_sync_at) = view.state.all_in_sync_at() else {
        let mut decision = Decision::hold(HoldReason::Settling { step, until: None });
        decision.because.extend(late_changes(view));
        decision.wake_at = Some(next_look(view));
        return decision;
    };
    let until = in_sync_at + view.state.settle_time();
    if view.now < until || view.state.drift.is_some() {
        let mut decision = Decision::hold(HoldReason::Settling {
            step,
            until: Some(until),
        });
        decision.wake_at = if until > view.now { Some(until) } else { None };
        return decision;
    }
    if jobs::pending(view) {
        // The bake begins when the jobs run on the side on which they will stay.
        return Decision::default();
    }
    let mut events = vec![Event::BakeStarted { step }];
    if counts(view, judgement) {
        events.push(Event::GatesPassed {});
    }
    Decision {
        events,
        ..Decision::default()
    }
}

/// Returns the time of the next `GetChange` call. The intervals grow, because frequent polling is itself a source of
/// throttling.
fn next_look(view: &View<'_>) -> Timestamp {
    let (least, most) = (SignedDuration::from_secs(5), SignedDuration::from_secs(30));
    let changes = view.state.changes.values();
    let youngest = changes
        .map(|change| view.now.duration_since(change.submitted_at) / 4)
        .min();
    view.now + youngest.unwrap_or(least).clamp(least, most)
}

/// Returns the first change that Route 53 no longer knows. `None` if there is none.
fn lost_change<'a>(view: &View<'a>) -> Option<&'a ChangeId> {
    for (id, change) in &view.state.changes {
        let lost = view.observation.changes.get(id) == Some(&ChangeReading::Unknown);
        if change.in_sync_at.is_none() && lost {
            return Some(id);
        }
    }
    None
}

/// Returns true if images must be written again to get a change that can be followed. The groups must be read for that.
pub(super) fn lacks_a_change(view: &View<'_>) -> bool {
    !is_resubmitting(view)
        && (lost_change(view).is_some() || !view.state.groups_without_change().is_empty())
}

/// Returns true if a resubmission may still take effect, or if another write of this process is under way.
fn is_resubmitting(view: &View<'_>) -> bool {
    if view.observation.in_flight {
        return true;
    }
    match &view.state.resubmission {
        Some(resubmission) => view.now < resubmission.at + PERFORM_WITHIN + LATE,
        None => false,
    }
}

/// Writes unchanged images again if a change can no longer be followed (semantics A6). `None` if all can be.
fn resubmit(view: &View<'_>) -> Option<Decision> {
    if !lacks_a_change(view) || !view.all_as_verified() {
        return None;
    }
    let lost = lost_change(view).cloned();
    let groups: Vec<usize> = match lost.as_ref().and_then(|id| view.state.changes.get(id)) {
        Some(change) => change.groups.clone(),
        None => view.state.groups_without_change().into_iter().collect(),
    };
    let mut parts = Vec::new();
    for group in &groups {
        if let Some(image) = view.image(*group) {
            parts.push(Part {
                group: *group,
                to: image.pair(),
                image,
                how: How::Swap,
            });
        }
    }
    let write_id = view.next_write_id();
    let order = Order {
        write_id: write_id.clone(),
        purpose: Purpose::Resubmit,
        parts,
        send_by: Some(view.now + PERFORM_WITHIN),
    };
    Some(Decision::with_order(
        Event::ChangeLost {
            write_id,
            change_id: lost,
            groups,
        },
        order,
    ))
}

/// Returns a hold for each change that is not in sync after ten minutes. Returns one more if a group is part of no
/// known change, because no resubmission was accepted.
fn late_changes(view: &View<'_>) -> Vec<HoldReason> {
    let mut late = Vec::new();
    for (id, change) in &view.state.changes {
        // A denied `GetChange` is a hold of its own.
        let denied = matches!(
            view.observation.changes.get(id),
            Some(ChangeReading::Denied(_))
        );
        let over = view.now.duration_since(change.submitted_at) >= STEP_WITHIN;
        if change.in_sync_at.is_none() && over && !denied {
            late.push(HoldReason::InSyncLate {
                change_id: id.clone(),
                zone: change.zone.clone(),
            });
        }
    }
    if view.now.duration_since(view.state.phase_since) < STEP_WITHIN {
        return late;
    }
    let verified = view.state.verified.as_deref().unwrap_or_default();
    for index in view.state.groups_without_change() {
        if let Some(image) = verified.get(index) {
            late.push(HoldReason::InSyncLate {
                change_id: ChangeId::from("not known"),
                zone: image.zone.clone(),
            });
            break;
        }
    }
    late
}

/// Returns true if the bake is over and the next step waits for its approval or window. Nothing is read for the step
/// until then.
pub(super) fn waits_for_its_turn(view: &View<'_>) -> bool {
    let next = view.state.verified_step + 1;
    let more = next <= view.state.plan().step_count();
    view.state.bake.over && more && turn::wait(view, next).is_some()
}

/// Returns true if the bake is over, or would be over if every gate passes now.
pub(super) fn bake_is_over(view: &View<'_>) -> bool {
    let Some(step) = view.state.plan().step(view.state.verified_step) else {
        return false;
    };
    let running = view.state.bake.running_since.is_some();
    view.state.bake.over || (running && view.state.bake.counted_at(view.now) >= step.bake)
}

/// Returns true if the time since the reading before counts as bake: all gates pass, nothing has drifted, and the clock
/// that measures the time is right.
pub(super) fn counts(view: &View<'_>, judgement: &GateJudgements) -> bool {
    judgement.passes() && view.state.drift.is_none() && view.skew().is_none()
}

/// Returns true if this machine's clock is wrong now and was wrong at the reading before, or if it is behind the
/// journal's last entry. Such a controller neither starts nor stops the bake clock. Otherwise two controllers, one of
/// them with a wrong clock, would start and stop it again and again. And an entry that is ahead of this clock may have
/// a wrong time: no bake may end by it.
fn knows_no_time(view: &View<'_>) -> bool {
    let was_wrong = view.observation.passed_at.is_none();
    view.clock_went_back() || (was_wrong && view.skew().is_some())
}

/// Decides about a step that bakes. `blockers` are the holds on the next step.
pub(super) fn bake(
    view: &View<'_>,
    judgement: &GateJudgements,
    blockers: &[HoldReason],
) -> Decision {
    let passing = counts(view, judgement);
    if view.state.bake.over {
        return after_bake(view, blockers);
    }
    if let Some(asked) = view.state.skip_requested {
        return skip(view, asked, passing);
    }
    if view.clock_was_set() {
        // The time that was counted before the clock was set stays. The next reading starts the bake clock anew.
        let events = stop_clock(view, view.observation.passed_at);
        return Decision {
            events,
            ..baking(view, false)
        };
    }
    if judgement.passes() && view.state.drift.is_none() && knows_no_time(view) {
        return baking(view, false);
    }
    if !passing {
        let events = stop_clock(view, view.observation.passed_at);
        return Decision {
            events,
            ..baking(view, false)
        };
    }
    let Some(since) = view.state.bake.running_since else {
        return Decision::of(Event::GatesPassed {});
    };
    if bake_is_over(view) && view.all_as_verified() && !jobs::pending(view) {
        return Decision::of(Event::StepCompleted {
            step: view.state.verified_step,
        });
    }
    if view.now.duration_since(since) >= CHECKPOINT_EVERY {
        return Decision::of(Event::BakeCounted {
            until: view.now,
            running: true,
        });
    }
    baking(view, true)
}

/// Returns the event that stops the bake clock at `last_well_at`, the last reading at which all gates passed. After a
/// restart that reading is not known, and only the time in the journal counts. Empty if the clock does not run.
pub(super) fn stop_clock(view: &View<'_>, last_well_at: Option<Timestamp>) -> Vec<Event> {
    if view.state.phase != Phase::Baking {
        return Vec::new();
    }
    let Some(since) = view.state.bake.running_since else {
        return Vec::new();
    };
    let until = last_well_at.map_or(since, |at| at.max(since));
    vec![Event::BakeCounted {
        until,
        running: false,
    }]
}

/// Decides a request to skip the bake of step `asked`. `passing` is true if the time now would count as bake.
fn skip(view: &View<'_>, asked: u16, passing: bool) -> Decision {
    let step = view.state.verified_step;
    let skipped = asked == step && passing;
    if skipped && (!view.all_as_verified() || jobs::pending(view)) {
        return baking(view, passing);
    }
    let mut events = vec![Event::BakeSkipDecided {
        step: asked,
        skipped,
    }];
    if skipped {
        events.push(Event::StepCompleted { step });
    }
    Decision {
        events,
        ..Decision::default()
    }
}

/// Returns the hold of a bake that is under way.
fn baking(view: &View<'_>, passing: bool) -> Decision {
    let step = view.state.verified_step;
    let counted = view.state.bake.counted_at(view.now);
    let bake = view
        .state
        .plan()
        .step(step)
        .map_or(SignedDuration::ZERO, |step| step.bake);
    let running = passing && view.state.bake.running_since.is_some();
    let until = if running {
        Some(view.now + (bake - counted).max(SignedDuration::ZERO))
    } else {
        None
    };
    let counted = if running || view.state.bake.running_since.is_none() {
        counted
    } else {
        view.state.bake.counted
    };
    let mut decision = Decision::hold(HoldReason::Baking {
        step,
        until,
        counted_secs: counted.as_secs(),
    });
    decision.wake_at = until.filter(|at| *at > view.now);
    decision
}

/// Takes the next step once the bake is over, or completes the cutover.
fn after_bake(view: &View<'_>, blockers: &[HoldReason]) -> Decision {
    let next = view.state.verified_step + 1;
    let last = next > view.state.plan().step_count();
    if let Some(called) = hooks::after_step(view, view.state.verified_step) {
        return called;
    }
    if !last && let Some(wait) = turn::wait(view, next) {
        return wait;
    }
    let busy = view.observation.in_flight || view.state.write.is_some();
    if !blockers.is_empty() || !view.all_as_verified() || busy {
        return Decision::default();
    }
    if last && jobs::pending(view) {
        return Decision::default();
    }
    if last {
        let called = hooks::completed(view);
        return called.unwrap_or_else(|| Decision::of(Event::Completed { adopted: None }));
    }
    if let Some(called) = hooks::before_step(view, next) {
        return called;
    }
    let images: Vec<GroupImage> = view.state.verified.clone().unwrap_or_default();
    advance::intend(view, next, &images, None)
}
