//! The approval and the window of a step. Reverts, settling and baking wait for neither (invariant I4).

use jiff::{SignedDuration, Timestamp};

use super::decision::Decision;
use super::view::View;
use crate::hold::{HoldReason, RevertCause};
use crate::observation::GroupReading;
use crate::plan::HoldOrRevert;
use crate::state::{Phase, State};

/// Returns the holds on step `number` by its approval and its window, with the time at which they may end. `None` if
/// neither holds it.
pub(super) fn wait(view: &View<'_>, number: u16) -> Option<Decision> {
    let shut = shut(view, number);
    let opens_at = match &shut {
        Some(HoldReason::WindowShut { opens_at, .. }) => *opens_at,
        Some(_) | None => None,
    };
    let approval = approval(view, number);
    if approval.is_none() && shut.is_none() {
        return None;
    }
    let ends_at = if approval.is_some() {
        view.state.approval_ends_at(number)
    } else {
        None
    };
    let ends_at = ends_at.filter(|at| *at > view.now);
    Some(Decision {
        because: approval.into_iter().chain(shut).collect(),
        wake_at: opens_at.into_iter().chain(ends_at).min(),
        ..Decision::default()
    })
}

/// Returns a hold if the plan's window is shut for step `number`, with the time at which it opens. `None` if it is
/// open.
fn shut(view: &View<'_>, number: u16) -> Option<HoldReason> {
    let windows = view.state.plan().windows.as_ref()?;
    let opens_at = windows.next(view.now, watched(view.state, number));
    if opens_at == Some(view.now) {
        return None;
    }
    Some(HoldReason::WindowShut {
        step: number,
        opens_at,
        time_zone: windows.time_zone.clone(),
        whole_bake: windows.whole_bake,
    })
}

/// Returns the time for which a step is watched: it settles, then bakes.
pub fn watched(state: &State, number: u16) -> SignedDuration {
    let bake = state.plan().step(number).map(|step| step.bake);
    state.settle_time().saturating_add(bake.unwrap_or_default())
}

/// Returns a hold if a step still needs an approval.
fn approval(view: &View<'_>, step: u16) -> Option<HoldReason> {
    if view.state.is_approved(step) {
        return None;
    }
    Some(match overdue_since(view, step) {
        Some(since) => HoldReason::ApprovalOverdue { step, since },
        None => HoldReason::Approval { step },
    })
}

/// Returns the time since which a step has waited for its approval. `None` unless that is longer than the plan allows.
fn overdue_since(view: &View<'_>, step: u16) -> Option<Timestamp> {
    let timeout = view.state.plan().step(step)?.approval_timeout?;
    let (asked, since) = view.state.approval_asked?;
    if asked != step || view.elapsed(since) < timeout.after {
        return None;
    }
    Some(since)
}

/// Returns the cause of a revert if an approval is overdue and the plan says `on_timeout: revert`. `None` otherwise.
///
/// Drift is resolved first. An overdue approval is no emergency that would justify a revert of drifted records.
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

/// Returns the journaled holds about the groups, if a group was not read in this round; empty otherwise. Before the
/// start is due, groups are read only now and then, and these holds stay in between.
pub(super) fn known_problems(view: &View<'_>) -> Vec<HoldReason> {
    let unread = view
        .observation
        .groups
        .iter()
        .any(|reading| matches!(reading, GroupReading::NotRead));
    if !unread {
        return Vec::new();
    }
    let mut problems = view.state.held.clone();
    problems.retain(|reason| {
        matches!(
            reason,
            HoldReason::Preflight { .. }
                | HoldReason::Route53Unreadable { .. }
                | HoldReason::Denied { .. }
        )
    });
    problems
}
