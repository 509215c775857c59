//! Jobs and hooks of the engine's small test world, with faults.

use std::collections::{BTreeMap, BTreeSet};

use cutover_engine::decide::{Errand, HookCall};
use cutover_engine::hooks::{Hook, HookAction, HookPoint};
use cutover_engine::jobs::{
    HalfId, HalfLook, HalfReading, Job, JobHalf, JobSide, JobSwitch, SwitchAt,
};
use cutover_engine::plan::{HoldOrRevert, Plan};
use cutover_engine::units::WriteId;
use jiff::{SignedDuration, Timestamp};

/// The outcome of switching jobs, which a test chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TurnFate {
    /// The jobs are switched, and the reply arrives.
    #[default]
    Done,
    /// The call is refused, and the jobs are not switched.
    Refused,
    /// The jobs are switched, but the reply is lost.
    ReplyLost,
    /// The reply reports success, but the jobs are not switched.
    Ignored,
    /// The call does not end until the test chooses another outcome.
    Slow,
}

/// The jobs and hooks of the test world.
#[derive(Debug, Clone, Default)]
pub struct JobsAndHooks {
    /// The true state of each job on each side.
    pub halves: BTreeMap<HalfId, HalfLook>,
    /// The reason why jobs cannot be read. `None` if they can be read.
    pub unseen: Option<String>,
    /// The outcome of the next switches.
    pub turns: TurnFate,
    /// True if hooks fail, false if they succeed. `None` if they do not end.
    pub hooks_fail: Option<bool>,
    /// The calls of hooks, oldest first, each with its time. A repeated try of a call is not added.
    pub calls: Vec<(Timestamp, HookCall)>,
    /// The switches that were carried out, oldest first: time, side, and true for on.
    pub turned: Vec<(Timestamp, JobSide, bool)>,
    /// True if the journal is down, so that no switch and no call of a hook may begin.
    pub hushed: bool,
}

/// The errands of one controller process, and its readings of jobs.
#[derive(Debug, Clone, Default)]
pub struct Hands {
    /// The errands that are not performed yet.
    pub(crate) errands: Vec<Errand>,
    /// The switches and calls of hooks that have not ended.
    pub(crate) under_way: BTreeSet<WriteId>,
    /// The time of the last reading of jobs.
    pub(crate) looked_at: Option<Timestamp>,
    /// The last reading of each job on each side.
    pub(crate) looks: BTreeMap<HalfId, HalfReading>,
}

impl Hands {
    /// Adds the errands of a decision.
    pub fn take(&mut self, errands: &[Errand]) {
        for errand in errands {
            self.under_way.insert(match errand {
                Errand::Turn(turn) => turn.turn_id.clone(),
                Errand::Hook(call) => call.call_id.clone(),
            });
        }
        self.errands.extend(errands.iter().cloned());
    }
}

/// Adds `count` jobs to the plan, which are switched at `at`. `wait` and `away` are one minute, `drain` is ten.
pub fn with_jobs(mut plan: Plan, at: SwitchAt, count: usize) -> Plan {
    let mut jobs = Vec::new();
    for index in 0..count {
        jobs.push(Job {
            name: format!("job-{index}"),
            old: Some(rule(format!("old-{index}"))),
            new: Some(rule(format!("new-{index}"))),
        });
    }
    plan.jobs = Some(JobSwitch {
        at,
        wait: SignedDuration::from_mins(1),
        away: SignedDuration::from_mins(1),
        drain: SignedDuration::from_mins(10),
        jobs,
    });
    plan
}

/// Returns an EventBridge rule with this name.
fn rule(name: String) -> JobHalf {
    JobHalf::Rule {
        name,
        bus: None,
        region: None,
        running: None,
    }
}

/// All points at which a hook can be called, in the order of a cutover's life.
pub const EVERY_POINT: [HookPoint; 6] = [
    HookPoint::BeforeStart,
    HookPoint::BeforeStep,
    HookPoint::AfterStep,
    HookPoint::BeforeRevert,
    HookPoint::AfterRevert,
    HookPoint::Completed,
];

/// Returns a hook that may take 30 s for each try, is tried twice more, and then holds the cutover.
pub fn hook(at: HookPoint) -> Hook {
    Hook {
        at,
        step: None,
        call: HookAction::Command(vec!["/bin/true".to_owned()]),
        timeout: SignedDuration::from_secs(30),
        retries: 2,
        on_failure: HoldOrRevert::Hold,
        detach: false,
    }
}

/// Sets the plan's hooks: one at each of these points.
pub fn with_hooks(mut plan: Plan, points: &[HookPoint]) -> Plan {
    plan.hooks = points.iter().copied().map(hook).collect();
    plan
}
