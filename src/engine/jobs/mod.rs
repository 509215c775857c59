//! Batch jobs and consumers that must run on one side only: they move as one switch, old or new, never both.

pub mod firing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::state::Answer;
use super::units::{ControllerId, Share, WriteId};

pub use firing::{Busy, Firing};

/// A plan's `jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSwitch {
    /// When they move.
    pub at: SwitchAt,
    /// How long neither side runs, at least, once the side that is left is off: what was switched off may still start
    /// something for a while. EventBridge: "Allow a short period of time for changes to take effect" (`DisableRule`).
    pub wait: SignedDuration,
    /// How far from a firing time the switch is begun, at least.
    pub away: SignedDuration,
    /// How long what still runs on the side that is left may take before somebody is woken.
    pub drain: SignedDuration,
    /// The jobs, 1 to [`JOBS_MAX`], each entry of a list counted.
    pub jobs: Vec<Job>,
}

/// The most jobs of a plan.
pub const JOBS_MAX: usize = 50;

/// When the jobs move.
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
/// a plan's jobs leave one side before any of them is switched on at the other, so that no pair needs to be told apart.
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

/// How a job is switched on one side.
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
        /// Says how many of it run now: a command that prints a number.
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
        /// Says how many of it run now: a command that prints a number.
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
        /// Prints how many of it run now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<Vec<String>>,
        /// What `off` and `on` leave behind goes on without them; else it is ended with them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        detach: bool,
    },
}

/// A side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
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

/// One half as looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfReading {
    /// When the look began: whatever was done before it is in it.
    pub asked_at: Timestamp,
    /// What was seen, or why nothing was.
    pub look: Result<HalfLook, String>,
}

/// What was seen of a half.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HalfLook {
    /// Whether it is on.
    pub on: bool,
    /// How many of it run now, where that can be known.
    pub running: Option<u32>,
    /// When it fires, where that is known.
    pub firing: Option<Firing>,
    /// Why it must not be switched, if so.
    pub unfit: Option<String>,
    /// Why it can never fire again, if so. Such a job is refused before the first write; one that ends under way is
    /// switched as any other.
    pub over: Option<String>,
}

/// How far the switch has come in this attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsState {
    /// The side that is to be on; none before the switch was first begun.
    pub goal: Option<JobSide>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Every half that was ever switched by us in this attempt.
    pub turned: BTreeSet<HalfId>,
    /// Whether a half was on when what we did to it was last read back.
    pub known: BTreeMap<HalfId, bool>,
    /// The change that is not resolved.
    pub turn: Option<JobTurn>,
    /// Since when every half of the side that is left has been off, as read back.
    pub off_at: Option<Timestamp>,
    /// Whether nothing of that side runs any more.
    pub drained: bool,
    /// Whether the side that is to be on is, and the other is off.
    pub moved: bool,
    /// How many changes in a row did not come about, and when the last one was given up.
    pub failures: u32,
    /// When the last one was.
    pub failed_at: Option<Timestamp>,
    /// What was said of it.
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
    /// On, or off.
    pub on: bool,
    /// The jobs, by index.
    pub jobs: Vec<usize>,
    /// What came back, by job, and when.
    pub answers: BTreeMap<usize, Answer>,
    /// When that was.
    pub answered_at: Option<Timestamp>,
}

impl JobTurn {
    /// From when on a look shows what came of it.
    pub fn settled_at(&self) -> Timestamp {
        let sure = |answer: &Answer| matches!(answer, Answer::Accepted | Answer::Refused(..));
        match self.answered_at {
            Some(at) if self.answers.values().all(sure) => at,
            Some(_) | None => self.lands_by,
        }
    }

    /// What went wrong, for people.
    pub fn trouble(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            Answer::Refused(_, message) | Answer::Lost(message) => Some(message.as_str()),
            Answer::Accepted => None,
        })
    }
}

impl JobsState {
    /// Whether the jobs are where a cutover that went back leaves them.
    pub fn are_back(&self) -> bool {
        match self.goal {
            None => true,
            Some(JobSide::Old) => self.moved,
            Some(JobSide::New) => false,
        }
    }

    /// The side on which they rest; none while they are between.
    pub fn rest_on(&self) -> Option<JobSide> {
        match self.goal {
            None => Some(JobSide::Old),
            Some(side) => self.moved.then_some(side),
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
