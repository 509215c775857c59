//! Hooks: the commands and URLs that a plan calls at certain points of a cutover, and the progress of these calls.

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
    /// Returns the point's name as it is written in plans and in the journal.
    pub fn label(self) -> &'static str {
        self.into()
    }

    /// Returns true if a hook at this point holds or reverts the cutover when all its tries have failed. At the other
    /// points nothing is left to hold: people are notified, and the cutover goes on.
    pub fn can_hold(self) -> bool {
        match self {
            Self::BeforeStart | Self::BeforeStep | Self::AfterStep => true,
            Self::BeforeRevert | Self::AfterRevert | Self::Completed => false,
        }
    }

    /// Returns true if hooks at this point are called once for each step.
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
    /// The point at which the hook is called.
    pub at: HookPoint,
    /// The share of the step that the hook is for. `None` means every step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Share>,
    /// The command or HTTP request.
    pub call: HookAction,
    /// The longest time of one try. Above zero, at most [`HOOK_TIMEOUT_MAX`].
    pub timeout: SignedDuration,
    /// The number of further tries after a first failure, at most [`HOOK_RETRIES_MAX`].
    pub retries: u32,
    /// The reaction if all tries have failed.
    pub on_failure: HoldOrRevert,
    /// True if processes that the command leaves behind may run on after it. False: they are killed with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detach: bool,
}

/// The command or HTTP request of a hook. Its texts may hold `${NAME}` and `${file:PATH}`. These are replaced right
/// before the call, and the results are never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAction {
    /// A program and its arguments, without a shell.
    Command(Vec<String>),
    /// An HTTP POST request, with the event as JSON.
    Http {
        /// The URL of the request.
        url: String,
        /// The headers besides `Content-Type` and `Idempotency-Key`, each with name and value.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
}

/// The longest time that a plan may allow for one try of a hook.
pub const HOOK_TIMEOUT_MAX: SignedDuration = SignedDuration::from_mins(10);

/// The largest number of further tries that a plan may allow.
pub const HOOK_RETRIES_MAX: u32 = 10;

/// The largest part of a hook's output that is journaled, in characters.
pub const HOOK_OUTPUT_CHARS: usize = 1000;

/// Identifies one hook at one point of an attempt. All tries, by any process, have the same ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HookId {
    /// The point at which the hook is called.
    pub point: HookPoint,
    /// The number of the step, from 1; 0 if the point does not belong to a step.
    pub step: u16,
    /// The hook's position in the plan's `hooks`, from 1.
    pub index: u32,
}

impl HookId {
    /// Returns the idempotency key, which is the same for every try in every process.
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

/// The progress of one hook in an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookRun {
    /// The call that is under way. `None` if there is none.
    pub call: Option<HookCalled>,
    /// The number of failed tries.
    pub failures: u32,
    /// The time and the message of the last failure. `None` if there was none.
    pub failed: Option<(Timestamp, String)>,
    /// True if the hook has succeeded.
    pub done: bool,
}

/// A call of a hook that was journaled and not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCalled {
    /// The ID of this try, which its answer carries.
    pub call_id: WriteId,
    /// The process that makes the call.
    pub owner: ControllerId,
    /// The time by which the call has ended, with or without success.
    pub ends_by: Timestamp,
}

impl Hook {
    /// Returns the number of tries after which the hook has failed for good, at least 1.
    pub fn tries(&self) -> u32 {
        self.retries.saturating_add(1)
    }
}
