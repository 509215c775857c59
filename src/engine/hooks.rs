//! Hooks: what a plan has called at certain moments of a cutover's life, and how far that has come.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::plan::HoldOrRevert;
use super::units::{ControllerId, CutoverName, Share, WriteId};

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Before the first write of an attempt.
    BeforeStart,
    /// Before a step's weights are written.
    BeforeStep,
    /// After a step's bake.
    AfterStep,
    /// When a revert begins. It waits for nothing: the hook is called beside it.
    BeforeRevert,
    /// When the baseline was read back and the jobs are back.
    AfterRevert,
    /// After the last bake, before the cutover is completed.
    Completed,
}

impl HookPoint {
    /// The point's name as it stands in plans and in the journal.
    pub fn label(self) -> &'static str {
        match self {
            Self::BeforeStart => "before_start",
            Self::BeforeStep => "before_step",
            Self::AfterStep => "after_step",
            Self::BeforeRevert => "before_revert",
            Self::AfterRevert => "after_revert",
            Self::Completed => "completed",
        }
    }

    /// Whether a hook that fails for good holds the cutover or takes it back. At the other points there is nothing left
    /// to hold: it is told, and things go on.
    pub fn can_hold(self) -> bool {
        match self {
            Self::BeforeStart | Self::BeforeStep | Self::AfterStep => true,
            Self::BeforeRevert | Self::AfterRevert | Self::Completed => false,
        }
    }

    /// Whether the point belongs to one step.
    pub fn has_step(self) -> bool {
        matches!(self, Self::BeforeStep | Self::AfterStep)
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// One entry of a plan's `hooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When it is called.
    pub at: HookPoint,
    /// The step that it is meant for, by its share; none means every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Share>,
    /// What is called.
    pub call: HookAction,
    /// How long one try may take. Above zero, at most [`HOOK_TIMEOUT_MAX`].
    pub timeout: SignedDuration,
    /// How often it is tried again after it failed, at most [`HOOK_RETRIES_MAX`].
    pub retries: u32,
    /// What happens when all tries failed.
    pub on_failure: HoldOrRevert,
    /// What the command leaves behind goes on without it; else it is ended with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detach: bool,
}

/// What a hook calls. Texts may hold `${NAME}` and `${file:PATH}`, which are put in when it is called and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAction {
    /// A program and its arguments, without a shell.
    Command(Vec<String>),
    /// An HTTP request: POST, with the event as JSON.
    Http {
        /// Where to.
        url: String,
        /// Headers besides `Content-Type` and `Idempotency-Key`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
}

/// The longest time that one try of a hook may take.
pub const HOOK_TIMEOUT_MAX: SignedDuration = SignedDuration::from_mins(10);

/// How often a hook may be tried again.
pub const HOOK_RETRIES_MAX: u32 = 10;

/// How much of a hook's output is journaled, in characters.
pub const HOOK_OUTPUT_CHARS: usize = 1000;

/// Which call of which hook: stable within an attempt, whoever makes it and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HookId {
    /// When it is called.
    pub point: HookPoint,
    /// The step, from 1; 0 where the point belongs to none.
    pub step: u16,
    /// The hook's place in the plan's `hooks`, from 1.
    pub index: u32,
}

impl HookId {
    /// The idempotency key: the same for every try, in every process.
    pub fn key(&self, cutover: &CutoverName, attempt: u32) -> String {
        let Self { point, step, index } = self;
        format!("{cutover}/{attempt}/{step}/{point}/{index}")
    }
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hook {} ({}", self.index, self.point)?;
        if self.step > 0 {
            write!(f, ", step {}", self.step)?;
        }
        f.write_str(")")
    }
}

/// How far one hook has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookRun {
    /// The call that is under way.
    pub call: Option<HookCalled>,
    /// How many tries have failed.
    pub failures: u32,
    /// When the last one did, and what was said.
    pub failed: Option<(Timestamp, String)>,
    /// Whether it has succeeded.
    pub done: bool,
}

/// A call that was journaled and not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCalled {
    /// Identifies it in answers.
    pub call_id: WriteId,
    /// The process that makes it.
    pub owner: ControllerId,
    /// When it has ended, whatever came of it.
    pub ends_by: Timestamp,
}

impl Hook {
    /// How many tries there are before it has failed for good.
    pub fn tries(&self) -> u32 {
        self.retries.saturating_add(1)
    }
}
