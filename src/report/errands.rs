//! What goes on beside the weights, in words: hooks and jobs.

use jiff::Timestamp;

use super::drifted::jobs_named;
use super::holds::time;
use super::text;
use crate::engine::event::Event;
use crate::engine::foreign_text::one_line;
use crate::engine::hold::HoldReason;
use crate::engine::hooks::{HookAction, HookId, HookPoint};
use crate::engine::jobs::{JobHalf, JobSide, JobSwitch, SwitchAt};
use crate::engine::lists;
use crate::engine::plan::{HoldOrRevert, Plan};
use crate::engine::secret_text::{command_shown, url_shown};

/// One line for an event about hooks or jobs.
pub(super) fn event(event: &Event) -> String {
    match event {
        Event::HookIntended { hook, number, .. } => match number {
            1 => format!("{hook} called"),
            number => format!("{hook} called, try {number}"),
        },
        Event::HookSucceeded { hook, output, .. } => format!("{hook} succeeded{}", said(output)),
        Event::HookFailed {
            hook,
            message,
            output,
            given_up,
            ..
        } => {
            let end = if *given_up {
                "; it is not tried again, and things go on"
            } else {
                ""
            };
            format!("{hook} failed: {message}{}{end}", said(output))
        }
        Event::JobSwitchIntended { to: JobSide::New } => {
            "jobs begin to move to the new side: first the old side's are switched off".to_owned()
        }
        Event::JobSwitchIntended { to: JobSide::Old } => {
            "jobs go back to the old side: first the new side's are switched off".to_owned()
        }
        Event::JobTurnIntended {
            side,
            on,
            jobs,
            names,
            ..
        } => {
            let what = if names.is_empty() {
                text::count(jobs.len(), "job")
            } else {
                jobs_named(names)
            };
            format!("{what} of the {side} side: switching {}", on_off(*on))
        }
        Event::JobTurnAnswered { failed, .. } if failed.is_empty() => {
            "the switching of jobs was accepted".to_owned()
        }
        Event::JobTurnAnswered { failed, .. } => {
            let first = failed.values().next();
            let message = first.map_or("", |failure| failure.message.as_str());
            format!(
                "the switching of {} failed, and is read back: {message}",
                text::count(failed.len(), "job")
            )
        }
        Event::JobTurnResolved { on, .. } => match on.len() {
            0 => "jobs read back: off".to_owned(),
            count => format!("jobs read back: {count} on"),
        },
        Event::JobsOff { side } => format!(
            "every job of the {side} side is off; none runs until the {} side's are on",
            side.other()
        ),
        Event::JobsDrained { side } => format!("nothing of the {side} side runs any more"),
        Event::JobsMoved { to } => {
            format!(
                "jobs moved: the {to} side's are on, the {} side's off",
                to.other()
            )
        }
        _ => String::new(),
    }
}

/// What holds, where it is a hook or a job.
pub(super) fn fact(reason: &HoldReason, now: Option<Timestamp>) -> String {
    match reason {
        HoldReason::JobsBothOff { to, since } => format!(
            "THE JOBS RUN ON NEITHER SIDE since {}: the {to} side's are not on yet",
            time(*since, now)
        ),
        HoldReason::JobsDrift { jobs, both_on } if both_on.is_empty() => {
            format!("somebody else switched {}", lists::some(jobs, ", "))
        }
        HoldReason::JobsDrift { jobs, both_on } => format!(
            "somebody else switched {}; ON ON BOTH SIDES: {}",
            lists::some(jobs, ", "),
            lists::some(both_on, ", ")
        ),
        HoldReason::JobsStuck { job, side, message } => {
            format!("job {job} of the {side} side: {message}")
        }
        HoldReason::JobsUnread {
            job,
            side,
            message,
            since,
            ..
        } => format!(
            "nobody can see whether job {job} of the {side} side is on, since {}: {message}",
            time(*since, now)
        ),
        HoldReason::HookFailed {
            hook,
            tries,
            message,
        } => format!("{hook} failed {tries} times: {message}"),
        HoldReason::JobsUnseen {} => "the jobs have not been looked at yet".to_owned(),
        HoldReason::JobsFiring { until, .. } => format!(
            "jobs fire about now; the switch keeps away from that until {}",
            time(*until, now)
        ),
        HoldReason::JobsRunning {
            side,
            running,
            jobs,
            since,
            overdue,
        } => {
            let longer = if *overdue {
                ", longer than the plan's `drain`"
            } else {
                ""
            };
            format!(
                "{} of the {side} side still running since {}{longer}",
                still_running(*running, jobs),
                time(*since, now)
            )
        }
        HoldReason::JobsMoving {
            to,
            off_since: None,
        } => format!("jobs move to the {to} side"),
        HoldReason::JobsMoving {
            to,
            off_since: Some(since),
        } => format!(
            "jobs move to the {to} side, on neither side since {}",
            time(*since, now)
        ),
        HoldReason::HookRunning { hook } => format!("{hook} is being called"),
        _ => String::new(),
    }
}

/// `job nightly`, or `3 runs of job nightly`.
fn still_running(running: u32, jobs: &[String]) -> String {
    let running = usize::try_from(running).unwrap_or(usize::MAX);
    if jobs.is_empty() {
        text::count(running, "job")
    } else if jobs.len() == running {
        jobs_named(jobs)
    } else {
        format!("{} of {}", text::count(running, "run"), jobs_named(jobs))
    }
}

/// What to do about it; none where it passes by itself.
pub(super) fn remedy(reason: &HoldReason, name: &str) -> Option<String> {
    let remedy = match reason {
        HoldReason::JobsBothOff { to, .. } => format!(
            "it is tried without end; by hand: see that every job of the {} side is off, then switch the {to} side's on",
            to.other()
        ),
        HoldReason::JobsDrift { .. } => {
            "nothing is written over it; switch them back by hand, and see who else writes them (CI, GitOps)"
                .to_owned()
        }
        HoldReason::JobsUnread { .. } => {
            "mend what looks at it: it is looked at again and again, and nothing advances before"
                .to_owned()
        }
        HoldReason::JobsStuck { .. } => "mend it; it is looked at again and again".to_owned(),
        HoldReason::HookFailed { .. } => format!(
            "mend what it calls, then `cutover retry {name}`: it is tried again at once, and every few minutes without it; or take it out of the plan: `cutover amend PATH`, or take everything back: `cutover rollback {name}`"
        ),
        HoldReason::JobsRunning { overdue: true, .. } => {
            "end what still runs, or wait for it: the other side is not switched on before".to_owned()
        }
        _ => return None,
    };
    Some(remedy)
}

/// What a plan does beside the weights, indented, a line each; empty where it does nothing.
pub(super) fn lines(plan: &Plan) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut jobs = jobs(plan).into_iter();
    lines.extend(jobs.next().map(|moment| format!("  jobs move {moment}\n")));
    lines.extend(jobs.map(|job| format!("    {}\n", one_line(&job))));
    lines.extend(
        hooks(plan)
            .iter()
            .map(|hook| format!("  {}\n", one_line(hook))),
    );
    lines.concat()
}

/// What a plan calls on the way, a line each.
pub fn hooks(plan: &Plan) -> Vec<String> {
    let line = |(index, hook): (usize, &crate::engine::hooks::Hook)| {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let id = HookId {
            point: hook.at,
            step: hook.step.and_then(|share| plan.step_of(share)).unwrap_or(0),
            index: number,
        };
        let end = match (hook.at.can_hold(), hook.on_failure) {
            (true, HoldOrRevert::Hold) => "then holds",
            (true, HoldOrRevert::Revert) if hook.at == HookPoint::BeforeStart => "then holds",
            (true, HoldOrRevert::Revert) => "then takes everything back",
            (false, _) => "then goes on",
        };
        let retries = match hook.retries {
            1 => "once more".to_owned(),
            count => format!("{count} times more"),
        };
        format!(
            "{id}: {}, at most {}, tried {retries}, {end}",
            action(&hook.call),
            text::duration(hook.timeout)
        )
    };
    plan.hooks.iter().enumerate().map(line).collect()
}

/// When the jobs of a plan move, and which, a line each.
pub fn jobs(plan: &Plan) -> Vec<String> {
    let Some(switch) = &plan.jobs else {
        return Vec::new();
    };
    let mut lines = vec![format!(
        "{}, off for at least {}, {} away from firing times",
        moment(plan, switch),
        text::duration(switch.wait),
        text::duration(switch.away)
    )];
    for job in &switch.jobs {
        lines.push(match (&job.old, &job.new) {
            (Some(old), Some(new)) => format!("{}: {} → {}", job.name, half(old), half(new)),
            (Some(old), None) => format!("{}: {} → off", job.name, half(old)),
            (None, Some(new)) => format!("{}: off → {}", job.name, half(new)),
            (None, None) => job.name.clone(),
        });
    }
    lines
}

fn moment(plan: &Plan, switch: &JobSwitch) -> String {
    match switch.at {
        SwitchAt::Step(share) => match plan.step_of(share) {
            Some(step) => format!("with step {step} ({}), before its bake", text::share(share)),
            None => format!("with {}", text::share(share)),
        },
        SwitchAt::Complete => "after the last bake".to_owned(),
    }
}

/// What a hook calls, without what looks like a secret (semantics M7). Texts that stand for one are shown as they are written.
fn action(action: &HookAction) -> String {
    match action {
        HookAction::Command(argv) => format!("`{}`", command_shown(argv)),
        HookAction::Http { url, .. } => format!("POST {}", url_shown(url)),
    }
}

/// One half of a job.
pub fn half(half: &JobHalf) -> String {
    match half {
        JobHalf::Rule { name, .. } => format!("EventBridge rule {name}"),
        JobHalf::Schedule { name, .. } => format!("schedule {name}"),
        JobHalf::CronJob {
            name,
            namespace,
            context,
        } => {
            let place = [context.as_deref(), namespace.as_deref()];
            let place: Vec<&str> = place.into_iter().flatten().collect();
            let place = if place.is_empty() {
                String::new()
            } else {
                format!(" in {}", place.join("/"))
            };
            format!("CronJob {name}{place}")
        }
        JobHalf::Command { on, .. } => {
            format!("command {}", on.first().map_or("", String::as_str))
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// ` (it said: …)`, or nothing.
fn said(output: &str) -> String {
    let first: String = output
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(80)
        .collect();
    if first.trim().is_empty() {
        String::new()
    } else {
        format!(" (it said: {})", first.trim())
    }
}
