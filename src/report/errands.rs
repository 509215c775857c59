//! The words for hooks and jobs.

use super::drifted::jobs_named;
use super::text;
use crate::engine::foreign_text::one_line;
use crate::engine::hooks::{Hook, HookAction, HookId, HookPoint};
use crate::engine::jobs::{JobHalf, JobSwitch, SwitchAt};
use crate::engine::plan::{HoldOrRevert, Plan};
use crate::engine::secret_text::{command_shown, url_shown};

/// Describes jobs that are still running: `job nightly`, or `3 runs of job nightly`.
pub(super) fn still_running(running: u32, jobs: &[String]) -> String {
    let running = usize::try_from(running).unwrap_or(usize::MAX);
    if jobs.is_empty() {
        text::count(running, "job")
    } else if jobs.len() == running {
        jobs_named(jobs)
    } else {
        format!("{} of {}", text::count(running, "run"), jobs_named(jobs))
    }
}

/// Returns the hooks and jobs of a plan, indented, one line each; empty if it has none.
pub(super) fn lines(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for (index, line) in jobs(plan).iter().enumerate() {
        lines.push(if index == 0 {
            format!("  jobs move {line}\n")
        } else {
            format!("    {}\n", one_line(line))
        });
    }
    for hook in hooks(plan) {
        lines.push(format!("  {}\n", one_line(&hook)));
    }
    lines.concat()
}

/// Returns the hooks of a plan, one line each.
pub fn hooks(plan: &Plan) -> Vec<String> {
    let numbered = (1..).zip(&plan.hooks);
    numbered
        .map(|(number, hook)| hook_line(plan, number, hook))
        .collect()
}

/// Describes one hook: what it calls, how long and how often it is tried, and what happens if it fails.
fn hook_line(plan: &Plan, number: u32, hook: &Hook) -> String {
    let id = HookId {
        point: hook.at,
        step: hook.step.and_then(|share| plan.step_of(share)).unwrap_or(0),
        index: number,
    };
    let end = match (hook.at.can_hold(), hook.on_failure) {
        (true, HoldOrRevert::Hold) => "then holds",
        (true, HoldOrRevert::Revert) if hook.at == HookPoint::BeforeStart => "then holds",
        (true, HoldOrRevert::Revert) => "then reverts",
        (false, HoldOrRevert::Hold | HoldOrRevert::Revert) => "then goes on",
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
}

/// Describes the jobs of a plan. The first line says when they move; each further line is one job. Empty if the plan
/// has none.
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

/// Returns the command or URL of a hook, without anything that looks like a secret (semantics M7). References to
/// secrets are shown as they are written.
fn action(action: &HookAction) -> String {
    match action {
        HookAction::Command(argv) => format!("`{}`", command_shown(argv)),
        HookAction::Http { url, .. } => format!("POST {}", url_shown(url)),
    }
}

/// Describes a job on one side: the rule, schedule, CronJob or command that runs it.
pub fn half(half: &JobHalf) -> String {
    match half {
        JobHalf::Rule { name, .. } => format!("EventBridge rule {name}"),
        JobHalf::Schedule { name, .. } => format!("schedule {name}"),
        JobHalf::CronJob {
            name,
            namespace,
            context,
        } => match (context, namespace) {
            (Some(context), Some(namespace)) => {
                format!("CronJob {name} in {context}/{namespace}")
            }
            (Some(place), None) | (None, Some(place)) => format!("CronJob {name} in {place}"),
            (None, None) => format!("CronJob {name}"),
        },
        JobHalf::Command { on, .. } => {
            format!("command {}", on.first().map_or("", String::as_str))
        }
    }
}
