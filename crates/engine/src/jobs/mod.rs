//! Jobs: batch jobs and consumers that must run on one side only. They move as one switch, and never run on both sides.

pub mod firing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::event::failure::SendOutcome;
use super::units::{ControllerId, Share, WriteId};

pub use firing::{Busy, Firing};

/// The `jobs` of a plan: all jobs, and when and how they move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSwitch {
    /// The point of the cutover at which they move.
    pub at: SwitchAt,
    /// The shortest time for which neither side runs, counted from the moment at which the side that is left is off. A
    /// job that was switched off may still start for a while. EventBridge: "Allow a short period of time for changes to
    /// take effect" (`DisableRule`).
    pub wait: SignedDuration,
    /// The shortest time between the beginning of the switch and a run of a job.
    pub away: SignedDuration,
    /// How long running jobs on the side that is left may take to end before a person is paged.
    pub drain: SignedDuration,
    /// The jobs, 1 to [`JOBS_MAX`]. If the plan lists several for a side, each counts.
    pub jobs: Vec<Job>,
}

impl JobSwitch {
    /// The lengths of time that the plan gives to it.
    pub fn lengths(&self) -> [SignedDuration; 3] {
        [self.wait, self.away, self.drain]
    }
}

/// The largest number of jobs of a plan.
pub const JOBS_MAX: usize = 50;

/// The point of the cutover at which the jobs move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchAt {
    /// With the step of this share, after settling and before its bake.
    Step(Share),
    /// After the last bake.
    Complete,
}

/// One job: the same work on both sides, or work of one side only.
///
/// A plan's job may list several for a side, for example if eight rules become one. Each further one is a job of its
/// own here. How they are paired does not matter: all jobs leave one side before any is switched on at the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job's name, for people.
    pub name: String,
    /// The job on the old side. `None` if it runs on the new side only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<JobHalf>,
    /// The job on the new side. `None` if it runs on the old side only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<JobHalf>,
}

impl Job {
    /// Returns the half of the job on a side. `None` if the job has none there.
    pub fn half(&self, side: JobSide) -> Option<&JobHalf> {
        match side {
            JobSide::Old => self.old.as_ref(),
            JobSide::New => self.new.as_ref(),
        }
    }
}

impl JobSwitch {
    /// Returns the halves of all jobs on both sides.
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

/// A half of a job: the job on one side, and how it is switched and read there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobHalf {
    /// An EventBridge rule.
    Rule {
        /// The name of the rule.
        name: String,
        /// The event bus of the rule. `None` means `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bus: Option<String>,
        /// The region of the rule. `None` means the plan's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The command, with its arguments, that prints the number of runs under way. `None` if that cannot be known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
    },
    /// A schedule of EventBridge Scheduler.
    Schedule {
        /// The name of the schedule.
        name: String,
        /// The schedule group. `None` means `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// The region of the schedule. `None` means the plan's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The command, with its arguments, that prints the number of runs under way. `None` if that cannot be known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
    },
    /// A CronJob of Kubernetes, which is switched and read with `kubectl`.
    CronJob {
        /// The name of the CronJob.
        name: String,
        /// Its namespace. `None` means that of the context.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// The context of the kubeconfig. `None` means the current one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
    /// Any other job, by commands with their arguments, without a shell.
    Command {
        /// The command that switches it off. It may be called although the job is off already.
        off: Vec<String>,
        /// The command that switches it on. It may be called although the job is on already.
        on: Vec<String>,
        /// The command that prints `on` or `off`.
        state: Vec<String>,
        /// The command that prints the number of runs under way. `None` if that cannot be known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
        /// True if processes that `off` and `on` leave behind may run on after them. False: they are killed with them.
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
    /// The old cluster.
    Old,
    /// The new cluster.
    New,
}

impl JobSide {
    /// Returns the other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }

    /// Returns the side's name as it is written in JSON: `old` or `new`.
    pub fn label(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for JobSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Identifies a half: one job on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HalfId {
    /// The job's index in the plan.
    pub job: usize,
    /// The side that the half is on.
    pub side: JobSide,
}

impl HalfId {
    /// Returns the ID of a job's half on one side.
    pub fn new(job: usize, side: JobSide) -> Self {
        Self { job, side }
    }
}

/// The reading of one half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfReading {
    /// The time at which the reading began. It shows every change that was made before that time.
    pub asked_at: Timestamp,
    /// The state of the half, or why it could not be read.
    pub look: Result<HalfLook, String>,
}

/// The state of a half, as read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HalfLook {
    /// True if the half is on.
    pub on: bool,
    /// The number of runs under way. `None` if that cannot be known.
    pub running: Option<u32>,
    /// The times at which the job runs. `None` if they are not known.
    pub firing: Option<Firing>,
    /// Why the half must not be switched. `None` if it may be.
    pub unfit: Option<String>,
    /// Why the half can never run again. `None` if it can. Such a job is refused before the first write. After that it
    /// is switched like any other.
    pub over: Option<String>,
}

/// The progress of the jobs in one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsState {
    /// The side that is to be on. `None` before the first switch has begun.
    pub goal: Option<JobSide>,
    /// The time at which the switch to that side began.
    pub since: Option<Timestamp>,
    /// The halves that this attempt has switched on or off.
    pub turned: BTreeSet<HalfId>,
    /// The halves whose last change by this attempt was read back: true if the half was on then.
    pub known: BTreeMap<HalfId, bool>,
    /// The change of jobs that is not resolved. `None` if there is none.
    pub turn: Option<JobTurn>,
    /// The time since which all halves of the side that is left have been off, as read back. `None` if they are not.
    pub off_at: Option<Timestamp>,
    /// True if no job of the side that is left still runs.
    pub drained: bool,
    /// True if the switch is done: one side is on and the other is off.
    pub moved: bool,
    /// The number of changes of jobs that failed in a row.
    pub failures: u32,
    /// The time at which the last failed change was resolved. `None` if there was none.
    pub failed_at: Option<Timestamp>,
    /// The message of the last failed change. `None` if there was none.
    pub trouble: Option<String>,
}

/// A change of jobs that was journaled and not read back yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTurn {
    /// The ID of the change of jobs, which its answer carries.
    pub turn_id: WriteId,
    /// The only process that may send it.
    pub owner: ControllerId,
    /// The time after which it can no longer take effect, even if its owner still runs.
    pub lands_by: Timestamp,
    /// The side whose jobs are switched.
    pub side: JobSide,
    /// True to switch them on, false to switch them off.
    pub on: bool,
    /// The jobs, by index in the plan.
    pub jobs: Vec<usize>,
    /// The reply for each job, by index. Empty before the answer.
    pub answers: BTreeMap<usize, SendOutcome>,
    /// The time at which the answer was journaled. `None` before that.
    pub answered_at: Option<Timestamp>,
}

impl JobTurn {
    /// Returns the time from which on a reading shows the result: the time of the answer, or `lands_by` if a reply is
    /// missing or was lost.
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

    /// Returns the message of a refusal or loss, for people. `None` if there was none.
    pub fn trouble(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            SendOutcome::Refused(_, message) | SendOutcome::Lost(message) => Some(message.as_str()),
            SendOutcome::Accepted => None,
        })
    }
}

impl JobsState {
    /// Returns true if the jobs are on the old side, as at the end of a revert.
    pub fn are_back(&self) -> bool {
        match self.goal {
            None => true,
            Some(JobSide::Old) => self.moved,
            Some(JobSide::New) => false,
        }
    }

    /// Returns the side that the jobs are on. `None` while they move.
    pub fn rest_on(&self) -> Option<JobSide> {
        match self.goal {
            None => Some(JobSide::Old),
            Some(side) if self.moved => Some(side),
            Some(_) => None,
        }
    }

    /// Returns the time since which neither side runs. `None` before the side that is left is off, and after the switch
    /// is done.
    pub fn both_off_since(&self) -> Option<Timestamp> {
        if self.moved { None } else { self.off_at }
    }

    /// Returns true if this attempt has switched a half of this side.
    pub fn has_turned(&self, side: JobSide) -> bool {
        self.turned.iter().any(|half| half.side == side)
    }
}
