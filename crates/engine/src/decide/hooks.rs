//! Hooks: when each is called, and what waits for it. A revert's weights wait for none of them (invariant I4).

use jiff::SignedDuration;

use super::decision::{Decision, Errand, HookCall};
use super::view::View;
use crate::backoff::Backoff;
use crate::event::Event;
use crate::hold::{HoldReason, RevertCause};
use crate::hooks::{Hook, HookId, HookPoint, HookRun};
use crate::plan::HoldOrRevert;
use crate::state::Phase;

/// The time after the end of a call within which its answer may not be in the journal yet.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// The interval at which a hook that holds the cutover is called again after all its tries have failed. So the
/// controller notices by itself when the hook works again.
const AGAIN_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Calls the hooks before step `number`, or waits for them. `None` if they are done.
pub(super) fn before_step(view: &View<'_>, number: u16) -> Option<Decision> {
    if !view.state.has_started()
        && let Some(called) = run(view, HookPoint::BeforeStart, 0)
    {
        return Some(called);
    }
    run(view, HookPoint::BeforeStep, number)
}

/// Calls the hooks after the bake of step `number`, or waits for them. `None` if they are done.
pub(super) fn after_step(view: &View<'_>, number: u16) -> Option<Decision> {
    run(view, HookPoint::AfterStep, number)
}

/// Calls the hooks before the cutover is completed, or waits for them. `None` if they are done.
pub(super) fn completed(view: &View<'_>) -> Option<Decision> {
    run(view, HookPoint::Completed, 0)
}

/// Calls the hooks during a revert, or waits for them. `None` if they are done.
pub(super) fn before_revert(view: &View<'_>) -> Option<Decision> {
    run(view, HookPoint::BeforeRevert, 0)
}

/// Calls the hooks after weights and jobs are back, or waits for them. `None` if they are done.
pub(super) fn after_revert(view: &View<'_>) -> Option<Decision> {
    before_revert(view).or_else(|| run(view, HookPoint::AfterRevert, 0))
}

/// Returns the cause of a revert if a hook has failed for good and the plan says `on_failure: revert`. `None`
/// otherwise, and before the first write, when there is nothing to revert.
pub(super) fn reverts(view: &View<'_>) -> Option<RevertCause> {
    if !matches!(view.state.phase, Phase::Baking | Phase::Settling) {
        return None;
    }
    for (id, run) in &view.state.hooks {
        let Some(hook) = view.state.plan().hook(*id) else {
            continue;
        };
        let failed = !run.done && run.failures >= hook.tries();
        if failed && id.point.can_hold() && hook.on_failure == HoldOrRevert::Revert {
            return Some(RevertCause::HookFailed {
                hook: *id,
                message: said(run),
            });
        }
    }
    None
}

/// Returns the message of a hook's last failure; empty if there was none.
fn said(run: &HookRun) -> String {
    let failed = run.failed.as_ref();
    failed.map_or_else(String::new, |(_, message)| message.clone())
}

/// Calls the first hook of a point that is not done, or waits for it. Hooks are called one after the other, in the
/// plan's order. `None` if all are done.
fn run(view: &View<'_>, point: HookPoint, step: u16) -> Option<Decision> {
    let share = view.state.plan().step(step).map(|step| step.share);
    for (hook, index) in view.state.plan().hooks.iter().zip(1_u32..) {
        let of_step = hook.step.is_none() || hook.step == share;
        if hook.at != point || (point.has_step() && !of_step) {
            continue;
        }
        let id = HookId { point, step, index };
        let run = view.state.hooks.get(&id).cloned().unwrap_or_default();
        if let Some(decision) = go_on(view, hook, id, &run) {
            return Some(decision);
        }
    }
    None
}

/// Calls one hook, or waits for it. `None` if it is done.
fn go_on(view: &View<'_>, hook: &Hook, id: HookId, run: &HookRun) -> Option<Decision> {
    let over = run.failures >= hook.tries();
    if run.done || (over && !id.point.can_hold()) {
        return None;
    }
    let hushed = view.observation.beside.hushed;
    let mut hold = Decision::hold(if over {
        HoldReason::HookFailed {
            hook: id,
            tries: run.failures,
            message: said(run),
        }
    } else if hushed {
        HoldReason::CallsWait {}
    } else {
        HoldReason::HookRunning { hook: id }
    });
    if hushed {
        return Some(hold);
    }
    if let Some(call) = &run.call {
        let ours = view.observation.beside.under_way.contains(&call.call_id);
        // The controller that made the call may be gone. Then the hook is called again, with the same key.
        let lost_at = call.ends_by;
        if ours || view.now < lost_at {
            hold.wake_at = if ours { None } else { Some(lost_at) };
            return Some(hold);
        }
        return Some(call_it(view, hook, id, run));
    }
    if let Some((failed_at, _)) = &run.failed {
        let due_at = *failed_at + pause(hook, run);
        if view.now < due_at {
            hold.wake_at = Some(due_at);
            return Some(hold);
        }
    }
    Some(call_it(view, hook, id, run))
}

/// Returns the pause after a failure: 1, 2, 4 … seconds, and [`AGAIN_EVERY`] once all tries have failed.
fn pause(hook: &Hook, run: &HookRun) -> SignedDuration {
    if run.failures >= hook.tries() {
        return AGAIN_EVERY;
    }
    Backoff::TRIES.after(run.failures)
}

/// Returns the decision to call a hook.
fn call_it(view: &View<'_>, hook: &Hook, id: HookId, run: &HookRun) -> Decision {
    let call_id = view.next_write_id();
    let number = run.failures.saturating_add(1);
    let last = number >= hook.tries();
    let event = Event::HookIntended {
        hook: id,
        call_id: call_id.clone(),
        owner: view.observation.me.clone(),
        number,
        ends_by: view.now + hook.timeout + ANSWERED_WITHIN,
    };
    let cause = match &view.state.revert {
        Some(revert) if !id.point.can_hold() => Some(revert.cause.clone()),
        Some(_) | None => None,
    };
    Decision {
        events: vec![event],
        errands: vec![Errand::Hook(Box::new(HookCall {
            id,
            call_id,
            key: id.key(&view.state.name, view.state.attempt),
            number,
            gives_up: last && !id.point.can_hold(),
            hook: hook.clone(),
            cause,
            at: view.now,
        }))],
        ..Decision::default()
    }
}
