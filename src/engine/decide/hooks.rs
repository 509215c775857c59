//! Hooks: which is called when, and what it holds. A traffic revert waits for none of them (I4).

use jiff::SignedDuration;

use super::{Decision, Errand, HookCall, View};
use crate::engine::event::Event;
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::hooks::{Hook, HookId, HookPoint, HookRun};
use crate::engine::plan::HoldOrRevert;
use crate::engine::state::Phase;

/// How long after its end the answer of a call may still be on its way into the journal.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// The longest wait between two tries of a hook, in seconds.
const BACKOFF_MAX_SECS: i64 = 60;

/// How often a hook that has failed for good, and holds, is tried again all the same: whoever mends it need not tell us.
const AGAIN_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// What is to be done before step `number` may be taken; none where nothing is.
pub(super) fn before_step(view: &View<'_>, number: u16) -> Option<Decision> {
    let start = || (!view.state.has_started()).then(|| run(view, HookPoint::BeforeStart, 0))?;
    start().or_else(|| run(view, HookPoint::BeforeStep, number))
}

/// What is to be done after the bake of step `number`; none where nothing is.
pub(super) fn after_step(view: &View<'_>, number: u16) -> Option<Decision> {
    run(view, HookPoint::AfterStep, number)
}

/// What is to be done before the cutover is completed; none where nothing is.
pub(super) fn completed(view: &View<'_>) -> Option<Decision> {
    run(view, HookPoint::Completed, 0)
}

/// What is called beside a revert; none where nothing is, or no longer.
pub(super) fn before_revert(view: &View<'_>) -> Option<Decision> {
    run(view, HookPoint::BeforeRevert, 0)
}

/// What is to be done when everything is back; none where nothing is.
pub(super) fn after_revert(view: &View<'_>) -> Option<Decision> {
    before_revert(view).or_else(|| run(view, HookPoint::AfterRevert, 0))
}

/// Why everything is taken back for a hook that failed, where the plan says so. Before the first write there is nothing
/// to take back: it holds.
pub(super) fn reverts(view: &View<'_>) -> Option<RevertCause> {
    let open = matches!(view.state.phase, Phase::Baking | Phase::Settling);
    let mut runs = view.state.hooks.iter().filter(|_| open);
    runs.find_map(|(id, run)| {
        let hook = hook(view, *id)?;
        let over = !run.done && run.failures >= hook.tries();
        let says = id.point.can_hold() && hook.on_failure == HoldOrRevert::Revert;
        (over && says).then(|| RevertCause::HookFailed {
            hook: *id,
            message: said(run),
        })
    })
}

fn hook<'a>(view: &View<'a>, id: HookId) -> Option<&'a Hook> {
    let index = usize::try_from(id.index).ok()?.checked_sub(1)?;
    view.state.plan().hooks.get(index)
}

fn said(run: &HookRun) -> String {
    let failed = run.failed.as_ref();
    failed.map_or_else(String::new, |(_, message)| message.clone())
}

/// The first hook of a point that is not finished: it is called, or waited for. They are called one after the other, in
/// the plan's order.
fn run(view: &View<'_>, point: HookPoint, step: u16) -> Option<Decision> {
    let hooks = view.state.plan().hooks.iter().zip(1_u32..);
    let share = view.state.plan().step(step).map(|step| step.share);
    let mine = hooks.filter(|(hook, _)| {
        let of_step = hook.step.is_none() || hook.step == share;
        hook.at == point && (of_step || !point.has_step())
    });
    mine.into_iter().find_map(|(hook, index)| {
        let id = HookId { point, step, index };
        let run = view.state.hooks.get(&id).cloned().unwrap_or_default();
        go_on(view, hook, id, &run)
    })
}

/// What is to be done for one hook; none where it is finished.
fn go_on(view: &View<'_>, hook: &Hook, id: HookId, run: &HookRun) -> Option<Decision> {
    let over = run.failures >= hook.tries();
    if run.done || (over && !id.point.can_hold()) {
        return None;
    }
    let mut hold = Decision::hold(HoldReason::HookRunning { hook: id });
    if over {
        hold.because = vec![HoldReason::HookFailed {
            hook: id,
            tries: run.failures,
            message: said(run),
        }];
    }
    if view.observation.beside.hushed {
        return Some(hold);
    }
    if let Some(call) = &run.call {
        let ours = view.observation.beside.under_way.contains(&call.call_id);
        // Whoever made it may be gone; then it is made again, with the same key.
        let lost_at = call.ends_by;
        if ours || view.now < lost_at {
            hold.wake_at = Some(lost_at).filter(|_| !ours);
            return Some(hold);
        }
        return Some(call_it(view, hook, id, run));
    }
    let due_at = run.failed.as_ref().map(|(at, _)| *at + pause(hook, run));
    match due_at.filter(|due_at| view.now < *due_at) {
        Some(due_at) => {
            hold.wake_at = Some(due_at);
            Some(hold)
        }
        None => Some(call_it(view, hook, id, run)),
    }
}

/// How long is waited after a failure: 1, 2, 4 … seconds; and some minutes where all tries have failed.
fn pause(hook: &Hook, run: &HookRun) -> SignedDuration {
    if run.failures >= hook.tries() {
        return AGAIN_EVERY;
    }
    let doublings = run.failures.saturating_sub(1).min(6);
    SignedDuration::from_secs((1_i64 << doublings).min(BACKOFF_MAX_SECS))
}

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
    let cause = view
        .state
        .revert
        .as_ref()
        .map(|revert| revert.cause.clone());
    Decision {
        events: vec![event],
        errands: vec![Errand::Hook(Box::new(HookCall {
            id,
            call_id,
            key: id.key(&view.state.name, view.state.attempt),
            number,
            gives_up: last && !id.point.can_hold(),
            hook: hook.clone(),
            cause: cause.filter(|_| !id.point.can_hold()),
            at: view.now,
        }))],
        ..Decision::default()
    }
}
