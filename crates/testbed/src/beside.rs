//! Jobs and hooks in the engine's small test world, with faults.

use std::collections::{BTreeMap, BTreeSet};

use cutover_engine::decide::{Errand, HookCall};
use cutover_engine::hooks::{Hook, HookAction, HookPoint};
use cutover_engine::jobs::{
    HalfId, HalfLook, HalfReading, Job, JobHalf, JobSide, JobSwitch, SwitchAt,
};
use cutover_engine::plan::{HoldOrRevert, Plan};
use cutover_engine::units::WriteId;
use jiff::{SignedDuration, Timestamp};

/// The outcome of a change of jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TurnFate {
    /// Done and answered.
    #[default]
    Done,
    /// Refused, not done.
    Refused,
    /// Done, the reply lost.
    ReplyLost,
    /// Answered, but not done.
    Ignored,
    /// Under way until the test ends it.
    Slow,
}

/// The jobs and hooks of the world.
#[derive(Debug, Clone, Default)]
pub struct JobsAndHooks {
    /// The true state of every half.
    pub halves: BTreeMap<HalfId, HalfLook>,
    /// The reason why no job can be read; none if all can be read.
    pub unseen: Option<String>,
    /// The outcome of changes of jobs.
    pub turns: TurnFate,
    /// True if hooks fail; none if they stay under way.
    pub hooks_fail: Option<bool>,
    /// The calls of hooks, with their times.
    pub calls: Vec<(Timestamp, HookCall)>,
    /// The changes of jobs that were sent, with their times.
    pub turned: Vec<(Timestamp, JobSide, bool)>,
    /// True if the journal is down, so that it does not know what the process does.
    pub hushed: bool,
}

/// The errands of one process, and what it has seen of jobs.
#[derive(Debug, Clone, Default)]
pub struct Hands {
    pub(crate) errands: Vec<Errand>,
    pub(crate) under_way: BTreeSet<WriteId>,
    pub(crate) looked_at: Option<Timestamp>,
    pub(crate) looks: BTreeMap<HalfId, HalfReading>,
}

impl Hands {
    /// Takes the errands of a decision.
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

/// The plan with `count` jobs that move at `at`: `wait` is one minute, `away` one minute, `drain` ten.
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

fn rule(name: String) -> JobHalf {
    JobHalf::Rule {
        name,
        bus: None,
        region: None,
        running: None,
    }
}

/// Every point that a hook can be called at, in the order of a cutover's life.
pub const EVERY_POINT: [HookPoint; 6] = [
    HookPoint::BeforeStart,
    HookPoint::BeforeStep,
    HookPoint::AfterStep,
    HookPoint::BeforeRevert,
    HookPoint::AfterRevert,
    HookPoint::Completed,
];

/// A hook: half a minute for each try, two more tries, then it holds.
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

/// The plan with a hook at each of these points.
pub fn with_hooks(mut plan: Plan, points: &[HookPoint]) -> Plan {
    plan.hooks = points.iter().copied().map(hook).collect();
    plan
}
