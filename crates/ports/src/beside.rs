//! Side effects besides the weights: jobs and hooks.

use std::time::Duration;

use async_trait::async_trait;

use super::error::CallError;
use cutover_engine::hooks::HookAction;
use cutover_engine::jobs::{HalfLook, JobHalf};
use cutover_engine::plan::AwsSettings;

/// Batch jobs and consumers that are switched off on one side and on on the other. Every call ends within
/// [`JOB_WITHIN`](cutover_engine::decide::JOB_WITHIN), together with all processes that it started.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Looks at one half. `aws` are the plan's settings: the region and the role for calls to AWS.
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError>;

    /// Switches one half on or off; it may be so already. An error of class `Transient` is ambiguous: the switch may
    /// have been done. `key` is unique to this switch, and the same in every try of it.
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
    /// The command or request; references to secrets in it are filled in right before the call.
    pub action: HookAction,
    /// The longest time for the call.
    pub timeout: Duration,
    /// The idempotency key.
    pub key: String,
    /// The event, as JSON.
    pub input: String,
    /// Processes that a command leaves behind go on after it.
    pub detach: bool,
}

/// The result of a call of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookAnswer {
    /// The beginning of its output, without secrets.
    pub output: String,
    /// The reason for its failure, if it failed. Holds no secrets.
    pub failure: Option<String>,
}

/// Calls hooks.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Calls a hook once. Ends within its timeout, together with all processes that it started.
    async fn call(&self, request: &HookRequest) -> HookAnswer;
}
