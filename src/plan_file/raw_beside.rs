//! The parts of a plan file besides the weights: hooks and jobs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw_values::DurationText;
use super::raw_values::RawChoice;
use super::raw_values::ShareText;
use super::read::At;
use super::read::Several;

/// A command or an HTTP request of yours that is called at a point of the cutover. It is called at least once, always with
/// the same idempotency key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHook {
    /// The point at which it is called.
    #[schemars(required)]
    pub(super) at: Option<At<RawPoint>>,
    /// The step at which it is called, by its weight; every step by default.
    pub(super) step: Option<At<ShareText>>,
    /// A program and its arguments (no shell); it gets the event as JSON on standard input.
    #[schemars(length(min = 1))]
    pub(super) command: Option<At<Vec<At<String>>>>,
    /// An HTTP request: POST, with the event as JSON.
    pub(super) http: Option<At<RawHttp>>,
    /// How long one try may take; by default 30s, at most 10m.
    pub(super) timeout: Option<At<DurationText>>,
    /// How often it is retried after a failure; by default 2, at most 10.
    pub(super) retries: Option<At<NumberText>>,
    /// The reaction if all tries fail, before and after steps; by default `hold`, which pages a person.
    pub(super) on_failure: Option<At<RawChoice>>,
    /// If true, processes that the command started in the background go on; by default they are ended with it.
    pub(super) detach: Option<At<bool>>,
}

/// The point at which a hook is called.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawPoint {
    /// Before the first write.
    BeforeStart,
    /// Before a step's weights are written.
    BeforeStep,
    /// After a step's bake.
    AfterStep,
    /// When a revert begins; the revert does not wait for it.
    BeforeRevert,
    /// When all weights are back.
    AfterRevert,
    /// After the last bake.
    Completed,
}

/// An HTTP request. `${NAME}` stands for an environment variable, `${file:PATH}` for a file's content.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    /// The address, for example `https://deploys.example.com/hooks/cutover`.
    #[schemars(required)]
    pub(super) url: Option<At<String>>,
    /// Headers, for example `authorization: "Bearer ${DEPLOYS_TOKEN}"`.
    pub(super) headers: Option<At<BTreeMap<String, At<String>>>>,
}

/// Batch jobs and consumers that move as one switch: first the old side is switched off, then the new side on, never both on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJobs {
    /// The time at which they move: with the step of this weight, before its bake; or `complete`, after the last bake.
    #[schemars(required)]
    pub(super) at: Option<At<MomentText>>,
    /// The shortest time for which both sides are off; by default 2m.
    pub(super) wait: Option<At<DurationText>>,
    /// The least distance from a firing time at which the switch begins; by default 5m.
    pub(super) away: Option<At<DurationText>>,
    /// How long work may still run on the old side before a person is paged; by default 1h.
    pub(super) drain: Option<At<DurationText>>,
    /// The jobs.
    #[serde(rename = "move")]
    #[schemars(required, length(min = 1, max = 50))]
    pub(super) jobs: Option<At<Vec<At<RawJob>>>>,
}

/// One job: the same work on two sides, or work that runs on one of them only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJob {
    /// Its name, for people.
    #[schemars(required, length(min = 1, max = 128))]
    pub(super) name: Option<At<String>>,
    /// How it is switched on the old cluster; a list if there are several. Without it, the job begins with the cutover.
    pub(super) old: Option<At<Several<RawHalf>>>,
    /// How it is switched on the new cluster; a list if there are several. Without it, the job ends with the cutover.
    pub(super) new: Option<At<Several<RawHalf>>>,
}

/// How a job is switched on one side: `rule`, `schedule`, `cron_job`, or the commands `off`, `on` and `state`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHalf {
    /// An EventBridge rule, by name.
    #[schemars(length(min = 1, max = 64))]
    pub(super) rule: Option<At<String>>,
    /// The rule's event bus; by default `default`.
    pub(super) bus: Option<At<String>>,
    /// A schedule of EventBridge Scheduler, by name.
    #[schemars(length(min = 1, max = 64))]
    pub(super) schedule: Option<At<String>>,
    /// The schedule's group; by default `default`.
    pub(super) group: Option<At<String>>,
    /// The region of the rule or schedule; by default the plan's.
    pub(super) region: Option<At<String>>,
    /// A Kubernetes CronJob, by name, switched with `kubectl`. It must have `startingDeadlineSeconds`.
    #[schemars(length(min = 1, max = 253))]
    pub(super) cron_job: Option<At<String>>,
    /// The CronJob's namespace; by default the context's.
    pub(super) namespace: Option<At<String>>,
    /// The context of the kubeconfig; by default the current one.
    pub(super) context: Option<At<String>>,
    /// A command that switches it off. It may be called again if the job is already off.
    #[schemars(length(min = 1))]
    pub(super) off: Option<At<Vec<At<String>>>>,
    /// A command that switches it on. It may be called again if the job is already on.
    #[schemars(length(min = 1))]
    pub(super) on: Option<At<Vec<At<String>>>>,
    /// A command that prints `on` or `off`.
    #[schemars(length(min = 1))]
    pub(super) state: Option<At<Vec<At<String>>>>,
    /// A command that prints the number of runs that are still going on.
    #[schemars(length(min = 1))]
    pub(super) running: Option<At<Vec<At<String>>>>,
    /// If true, processes that `off` and `on` started in the background go on; by default they are ended with them.
    pub(super) detach: Option<At<bool>>,
}

/// A step's weight, or `complete`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline, extend("pattern" = r"^(complete|(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?) ?%)$"))]
pub(super) struct MomentText(pub(super) String);

/// A whole number.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline, transform = super::schema_forms::count_or_zero)]
pub(super) struct NumberText(pub(super) String);
