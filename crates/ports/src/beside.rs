//! Ports for side effects besides the weights: jobs and hooks.

use std::time::Duration;

use async_trait::async_trait;

use super::error::CallError;
use cutover_engine::hooks::HookAction;
use cutover_engine::jobs::{HalfLook, JobHalf};
use cutover_engine::plan::AwsSettings;

/// Reads and switches batch jobs and consumers, each of which runs on one side only. Every call ends within
/// [`JOB_WITHIN`](cutover_engine::decide::JOB_WITHIN), together with all processes that it started.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Reads the state of one job on one side. `aws` has the plan's region and role for calls to AWS.
    ///
    /// # Errors
    /// The job's state could not be read.
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError>;

    /// Switches one job on one side on or off. Does nothing if the job is so already. `key` is unique to this switch,
    /// and the same in every try of it.
    ///
    /// # Errors
    /// The switch failed. After an error of class `Transient` it may still have been done, because the reply was lost.
    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        key: &str,
    ) -> Result<(), CallError>;
}

/// One call of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// The command or HTTP request. References to secrets in it are filled in right before the call.
    pub action: HookAction,
    /// The longest time that the call may take.
    pub timeout: Duration,
    /// The idempotency key: the same in every try of the same hook.
    pub key: String,
    /// The event that the hook receives, as JSON.
    pub input: String,
    /// True if processes that a command leaves behind may run on after it. False: they are killed with it.
    pub detach: bool,
}

/// The result of one call of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookAnswer {
    /// The beginning of the hook's output, without secrets. Empty if there was none.
    pub output: String,
    /// Why the call failed, without secrets. `None` if it succeeded.
    pub failure: Option<String>,
}

/// Calls the hooks of plans.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Calls a hook once. The call ends within its timeout, together with all processes that it started.
    async fn call(&self, request: &HookRequest) -> HookAnswer;
}
