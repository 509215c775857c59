//! Batch jobs and consumers that must run on one side only. They move as one switch: old or new, never both.

pub mod firing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::event::failure::SendOutcome;
use super::units::{ControllerId, Share, WriteId};

pub use firing::{Busy, Firing};

/// A plan's `jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSwitch {
    /// The point at which they move.
    pub at: SwitchAt,
    /// The least time for which neither side runs, once the side that is left is off: a job that was switched off may still
    /// start for a while. EventBridge: "Allow a short period of time for changes to take effect" (`DisableRule`).
    pub wait: SignedDuration,
    /// The least time between the begin of the switch and a firing time.
    pub away: SignedDuration,
    /// The time that running jobs on the side that is left may take to end before a person is paged.
    pub drain: SignedDuration,
    /// The jobs, 1 to [`JOBS_MAX`], each entry of a list counted.
    pub jobs: Vec<Job>,
}

impl JobSwitch {
    /// The lengths of time that the plan gives to it.
    pub fn lengths(&self) -> [SignedDuration; 3] {
        [self.wait, self.away, self.drain]
    }
}

/// The most jobs of a plan.
pub const JOBS_MAX: usize = 50;

/// The point at which the jobs move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchAt {
    /// With the step of this share: when it has settled, before its bake.
    Step(Share),
    /// After the last bake.
    Complete,
}

/// One job: the same work on two sides, or work of one side only.
///
/// A plan's job may list several of a side (eight rules become one). Each further one is a job of its own here: all of
/// a plan's jobs leave one side before any of them is switched on at the other, so it does not matter how they are paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// For people.
    pub name: String,
    /// On the old side; none if it runs on the new side only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<JobHalf>,
    /// On the new side; none if it runs on the old side only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<JobHalf>,
}

impl Job {
    /// The half of a side, if the job has one there.
    pub fn half(&self, side: JobSide) -> Option<&JobHalf> {
        match side {
            JobSide::Old => self.old.as_ref(),
            JobSide::New => self.new.as_ref(),
        }
    }
}

impl JobSwitch {
    /// Every half of every job.
    pub fn halves(&self) -> Vec<(HalfId, &JobHalf)> {
        let mut halves = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            for side in [JobSide::Old, JobSide::New] {
                if let Some(half) = job.half(side) {
                    halves.push((HalfId::new(index, side), half));
                }
            }
        }
        halves
    }
}

/// The switch of a job on one side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobHalf {
    /// An EventBridge rule.
    Rule {
        /// Its name.
        name: String,
        /// Its event bus; none means `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bus: Option<String>,
        /// Its region; none means the plan's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// A command that prints the number of its runs under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
    },
    /// A schedule of EventBridge Scheduler.
    Schedule {
        /// Its name.
        name: String,
        /// Its group; none means `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Its region; none means the plan's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// A command that prints the number of its runs under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
    },
    /// A Kubernetes CronJob, through `kubectl`.
    CronJob {
        /// Its name.
        name: String,
        /// Its namespace; none means the context's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// The context of the kubeconfig; none means the current one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
    /// Anything else, by commands (argv, no shell).
    Command {
        /// Switches it off. May be called again when it is off already.
        off: Vec<String>,
        /// Switches it on. May be called again when it is on already.
        on: Vec<String>,
        /// Prints `on` or `off`.
        state: Vec<String>,
        /// Prints the number of its runs under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
        /// True if processes that `off` and `on` leave behind go on after them; otherwise they are killed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        detach: bool,
    },
}

/// A side.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum JobSide {
    /// The old cluster's.
    Old,
    /// The new cluster's.
    New,
}

impl JobSide {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// The side's name.
    pub fn label(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for JobSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One half of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HalfId {
    /// The job's index in the plan.
    pub job: usize,
    /// The side.
    pub side: JobSide,
}

impl HalfId {
    /// The half of a job on a side.
    pub fn new(job: usize, side: JobSide) -> Self {
        Self { job, side }
    }
}

/// The reading of one half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfReading {
    /// The begin of the reading: it includes every change that was made before.
    pub asked_at: Timestamp,
    /// The result, or why there is none.
    pub look: Result<HalfLook, String>,
}

/// The state of a half, as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HalfLook {
    /// True if it is on.
    pub on: bool,
    /// The number of its runs under way, if that can be known.
    pub running: Option<u32>,
    /// Its firing times, if they are known.
    pub firing: Option<Firing>,
    /// Why it must not be switched, if it must not.
    pub unfit: Option<String>,
    /// Why it can never fire again, if it cannot. Such a job is refused before the first write; one that ends later is
    /// switched like any other.
    pub over: Option<String>,
}

/// The progress of the switch in this attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsState {
    /// The side that is to be on; none before the switch was first begun.
    pub goal: Option<JobSide>,
    /// The time at which the switch to that side was begun.
    pub since: Option<Timestamp>,
    /// Every half that we switched in this attempt.
    pub turned: BTreeSet<HalfId>,
    /// The halves whose last change by us was read back; true if it was on then.
    pub known: BTreeMap<HalfId, bool>,
    /// The change that is not resolved.
    pub turn: Option<JobTurn>,
    /// The time since which every half of the side that is left has been off, as read back.
    pub off_at: Option<Timestamp>,
    /// True if no job of that side runs any longer.
    pub drained: bool,
    /// True if the side that is to be on is on, and the other is off.
    pub moved: bool,
    /// The number of failed changes in a row.
    pub failures: u32,
    /// The time at which the last one was resolved.
    pub failed_at: Option<Timestamp>,
    /// The message of the last one.
    pub trouble: Option<String>,
}

/// A change that was journaled and not read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTurn {
    /// Identifies it in answers.
    pub turn_id: WriteId,
    /// The only process that may send it.
    pub owner: ControllerId,
    /// After this it can no longer take effect, whatever became of its owner.
    pub lands_by: Timestamp,
    /// The side.
    pub side: JobSide,
    /// True to switch them on, false to switch them off.
    pub on: bool,
    /// The jobs, by index.
    pub jobs: Vec<usize>,
    /// The answers, by job.
    pub answers: BTreeMap<usize, SendOutcome>,
    /// The time of the answers.
    pub answered_at: Option<Timestamp>,
}

impl JobTurn {
    /// The time from which on a reading shows the result.
    pub fn settled_at(&self) -> Timestamp {
        let Some(answered_at) = self.answered_at else {
            return self.lands_by;
        };
        for answer in self.answers.values() {
            match answer {
                SendOutcome::Accepted | SendOutcome::Refused(..) => {}
                SendOutcome::Lost(_) => return self.lands_by,
            }
        }
        answered_at
    }

    /// The message of a refusal or loss, for people.
    pub fn trouble(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            SendOutcome::Refused(_, message) | SendOutcome::Lost(message) => Some(message.as_str()),
            SendOutcome::Accepted => None,
        })
    }
}

impl JobsState {
    /// Returns true if the jobs are where a reverted cutover leaves them.
    pub fn are_back(&self) -> bool {
        match self.goal {
            None => true,
            Some(JobSide::Old) => self.moved,
            Some(JobSide::New) => false,
        }
    }

    /// The side on which they rest; none while they move.
    pub fn rest_on(&self) -> Option<JobSide> {
        match self.goal {
            None => Some(JobSide::Old),
            Some(side) if self.moved => Some(side),
            Some(_) => None,
        }
    }

    /// The time since which neither side runs; none before the side that is left is off, and after the other side is on.
    pub fn both_off_since(&self) -> Option<Timestamp> {
        if self.moved { None } else { self.off_at }
    }

    /// Returns true if we switched a half of this side in this attempt.
    pub fn has_turned(&self, side: JobSide) -> bool {
        self.turned.iter().any(|half| half.side == side)
    }
}
