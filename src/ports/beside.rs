//! What is done beside the weights: jobs and hooks.

use std::time::Duration;

use async_trait::async_trait;

use super::CallError;
use crate::engine::hooks::HookAction;
use crate::engine::jobs::{HalfLook, JobHalf};
use crate::engine::plan::AwsSettings;

/// Batch jobs and consumers that are switched off on one side and on on the other. Every call ends within
/// [`JOB_WITHIN`](crate::engine::decide::JOB_WITHIN), and so does whatever it started.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Looks at one half. `aws` is the plan's, for where and as whom AWS is called.
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError>;

    /// Switches one half on or off; it may be so already. An error of class `Transient` is ambiguous: it may have been
    /// done. `key` is the same for this change alone.
    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        key: &str,
    ) -> Result<(), CallError>;
}

/// A hook to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// What is called; its texts may stand in for secrets, which are put in right before the call.
    pub action: HookAction,
    /// How long it may take.
    pub timeout: Duration,
    /// The idempotency key.
    pub key: String,
    /// The event, as JSON.
    pub input: String,
    /// What a command leaves behind goes on without it.
    pub detach: bool,
}

/// What came of a call of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookAnswer {
    /// The beginning of what it said, without secrets.
    pub output: String,
    /// Why it failed, if it did. Holds no secrets.
    pub failure: Option<String>,
}

/// Calls hooks.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Calls one, once. Ends within its timeout, together with all that it started.
    async fn call(&self, request: &HookRequest) -> HookAnswer;
}
