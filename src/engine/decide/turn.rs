//! Whether it is a step's turn: its approval and its window. Reverts, settling and baking ask neither (I4).

use jiff::{SignedDuration, Timestamp};

use super::watching::settle_time;
use super::{Decision, View};
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::observation::GroupReading;
use crate::engine::plan::HoldOrRevert;
use crate::engine::state::{Phase, State};

/// What step `number` waits for, gates aside: its approval, its window, or both; none when it may be taken.
pub(super) fn wait(view: &View<'_>, number: u16) -> Option<Decision> {
    let shut = shut(view, number);
    let opens_at = match &shut {
        Some(HoldReason::WindowShut { opens_at, .. }) => *opens_at,
        Some(_) | None => None,
    };
    let approval = approval(view, number);
    let ends_at = approval
        .as_ref()
        .and_then(|_| view.state.approval_ends_at(number));
    let mut decision = Decision::default();
    decision.because.extend(approval);
    decision.because.extend(shut);
    let ends_at = ends_at.filter(|at| *at > view.now);
    decision.wake_at = opens_at.into_iter().chain(ends_at).min();
    (!decision.because.is_empty()).then_some(decision)
}

/// Whether the plan's window keeps step `number` from being taken now, and until when.
fn shut(view: &View<'_>, number: u16) -> Option<HoldReason> {
    let windows = view.state.plan().windows.as_ref()?;
    let opens_at = windows.next(view.now, watched(view.state, number));
    (opens_at != Some(view.now)).then(|| HoldReason::WindowShut {
        step: number,
        opens_at,
        time_zone: windows.time_zone.clone(),
        whole_bake: windows.whole_bake,
    })
}

/// How long a step is watched: it settles, and it bakes.
pub fn watched(state: &State, number: u16) -> SignedDuration {
    let bake = state.plan().step(number).map(|step| step.bake);
    settle_time(state).saturating_add(bake.unwrap_or_default())
}

fn approval(view: &View<'_>, step: u16) -> Option<HoldReason> {
    if view.state.is_approved(step) {
        return None;
    }
    Some(match overdue_since(view, step) {
        Some(since) => HoldReason::ApprovalOverdue { step, since },
        None => HoldReason::Approval { step },
    })
}

/// Since when the step waits, if that is longer than the plan allows.
fn overdue_since(view: &View<'_>, step: u16) -> Option<Timestamp> {
    let timeout = view.state.plan().step(step)?.approval_timeout?;
    let (_, since) = view
        .state
        .approval_asked
        .filter(|(asked, _)| *asked == step)?;
    (view.elapsed(since) >= timeout.after).then_some(since)
}

/// Why everything is taken back for want of an approval, where the plan says so.
///
/// Somebody else's change is settled first: this is no emergency that a revert should walk into a drift for.
pub(super) fn timed_out(view: &View<'_>) -> Option<RevertCause> {
    let state = view.state;
    let step = state.verified_step + 1;
    let timeout = state.plan().step(step)?.approval_timeout?;
    let waits = state.phase == Phase::Baking && state.bake.over && state.drift.is_none();
    if !waits || timeout.on_timeout == HoldOrRevert::Hold || state.is_approved(step) {
        return None;
    }
    let since = overdue_since(view, step)?;
    Some(RevertCause::ApprovalTimeout { step, since })
}

/// What is known of the groups while the start is not yet due: they are looked at now and then only, and what was found
/// holds on in between.
pub(super) fn known_problems(view: &View<'_>) -> Vec<HoldReason> {
    let unread = |reading: &GroupReading| matches!(reading, GroupReading::NotRead);
    if !view.observation.groups.iter().any(unread) {
        return Vec::new();
    }
    let of_groups = |reason: &&HoldReason| {
        matches!(
            reason,
            HoldReason::Preflight { .. }
                | HoldReason::Route53Unreadable { .. }
                | HoldReason::Denied { .. }
        )
    };
    view.state.held.iter().filter(of_groups).cloned().collect()
}
