//! Hooks: the calls that a plan makes at certain points of a cutover, and their progress.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::plan::reaction::HoldOrRevert;
use super::units::{ControllerId, CutoverName, Share, WriteId};

/// The point at which a hook is called.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HookPoint {
    /// Before the first write of an attempt.
    BeforeStart,
    /// Before a step's weights are written.
    BeforeStep,
    /// After a step's bake.
    AfterStep,
    /// When a revert begins. The revert does not wait for the hook.
    BeforeRevert,
    /// After the baseline was read back and the jobs are back.
    AfterRevert,
    /// After the last bake, before the cutover is completed.
    Completed,
}

impl HookPoint {
    /// The point's name as it stands in plans and in the journal.
    pub fn label(self) -> &'static str {
        self.into()
    }

    /// Returns true if a hook that fails for good holds the cutover or reverts it. At the other points there is nothing
    /// left to hold: people are told, and the cutover goes on.
    pub fn can_hold(self) -> bool {
        match self {
            Self::BeforeStart | Self::BeforeStep | Self::AfterStep => true,
            Self::BeforeRevert | Self::AfterRevert | Self::Completed => false,
        }
    }

    /// Returns true if the point belongs to one step.
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
    /// The point at which it is called.
    pub at: HookPoint,
    /// The step that it is for, by its share; none means every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Share>,
    /// The command or request.
    pub call: HookAction,
    /// The longest time of one try. Above zero, at most [`HOOK_TIMEOUT_MAX`].
    pub timeout: SignedDuration,
    /// The number of further tries after a failure, at most [`HOOK_RETRIES_MAX`].
    pub retries: u32,
    /// The reaction once all tries have failed.
    pub on_failure: HoldOrRevert,
    /// True if processes that the command leaves behind go on after it ends; otherwise they are killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detach: bool,
}

/// The action of a hook. Texts may hold `${NAME}` and `${file:PATH}`, which are put in at the call and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAction {
    /// A program and its arguments, without a shell.
    Command(Vec<String>),
    /// An HTTP request: POST, with the event as JSON.
    Http {
        /// The address.
        url: String,
        /// Headers besides `Content-Type` and `Idempotency-Key`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
}

/// The longest time that one try of a hook may take.
pub const HOOK_TIMEOUT_MAX: SignedDuration = SignedDuration::from_mins(10);

/// The most further tries of a hook.
pub const HOOK_RETRIES_MAX: u32 = 10;

/// The part of a hook's output that is journaled, in characters.
pub const HOOK_OUTPUT_CHARS: usize = 1000;

/// Identifies a call of a hook: the same within an attempt for every process and every try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HookId {
    /// The point at which it is called.
    pub point: HookPoint,
    /// The step, from 1; 0 if the point belongs to none.
    pub step: u16,
    /// The hook's position in the plan's `hooks`, from 1.
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

/// The progress of one hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookRun {
    /// The call that is under way.
    pub call: Option<HookCalled>,
    /// The number of failed tries.
    pub failures: u32,
    /// The time and the message of the last failure.
    pub failed: Option<(Timestamp, String)>,
    /// True if it has succeeded.
    pub done: bool,
}

/// A call that was journaled and not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCalled {
    /// Identifies it in answers.
    pub call_id: WriteId,
    /// The process that makes it.
    pub owner: ControllerId,
    /// The time by which it has ended, with any result.
    pub ends_by: Timestamp,
}

impl Hook {
    /// The number of tries before it has failed for good.
    pub fn tries(&self) -> u32 {
        self.retries.saturating_add(1)
    }
}
