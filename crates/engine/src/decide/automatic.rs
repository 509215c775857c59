//! The automatic revert, and the halt in its place if the old side is red too.

use super::view::View;
use crate::event::{Event, RevertMode};
use crate::evidence::gate::GateId;
use crate::evidence::judge;
use crate::hold::{HaltReason, RevertCause};
use crate::plan::HoldOrRevert;
use crate::verdict::GateJudgements;

/// Returns the event that reverts the cutover because of `cause`. If the old side is red too and the plan holds then,
/// returns a halt instead, and a person decides (semantics C4). `None` if the cutover is halted for that already, or if
/// the old side is red and the cause is neither a gate nor a failed step.
pub(super) fn automatic_revert(
    view: &View<'_>,
    judgement: &GateJudgements,
    cause: RevertCause,
    gate: Option<&GateId>,
) -> Option<Event> {
    let Some(fallback) = red_fallback(view, judgement, gate) else {
        let shared = if gate.is_some() {
            view.fleet.shared_fate_at(&view.state.name, view.now)
        } else {
            None
        };
        return Some(Event::RevertIntended {
            write_id: view.next_write_id(),
            cause,
            mode: RevertMode::Swap,
            shared,
            seen: judge::attribution(view.state, &judgement.weighed, gate).map(Box::new),
        });
    };
    let reason = match (gate, cause) {
        (Some(gate), _) => HaltReason::BothRed {
            gate: gate.clone(),
            fallback,
        },
        (None, RevertCause::StepFailed { message }) => HaltReason::StepFailed {
            message,
            verified: view.state.verified_step > 0,
        },
        (None, _) => return None,
    };
    // If other alarms turn red later, the reason of the halt stays the same: both sides are red.
    let known = match (&view.state.halt, &reason) {
        (Some(HaltReason::BothRed { .. }), HaltReason::BothRed { .. }) => true,
        (before, reason) => before.as_ref() == Some(reason),
    };
    if known {
        None
    } else {
        Some(Event::Halted { reason })
    }
}

/// Returns the gate that is red on the old side. `None` if there is none, or if the plan says `both_red: revert`.
fn red_fallback(
    view: &View<'_>,
    judgement: &GateJudgements,
    gate: Option<&GateId>,
) -> Option<GateId> {
    if view.state.plan().gates.both_red != HoldOrRevert::Hold {
        return None;
    }
    if let Some(alarm) = judgement.fallbacks_red.first() {
        return Some(GateId::from(alarm));
    }
    gate.filter(|gate| judgement.fails_on_both(gate)).cloned()
}
