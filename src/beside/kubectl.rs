//! Reads and switches CronJobs of Kubernetes with `kubectl`. The field `suspend` is the switch.
//!
//! A CronJob without `startingDeadlineSeconds` is refused. When it is switched on again, Kubernetes would at once start
//! a run that was missed in the meantime, however long ago that was. Source: Kubernetes documentation, "CronJob",
//! "Schedule suspension" and "Deadline for delayed Job start".

use jiff::SignedDuration;
use serde::Deserialize;

use super::job_commands::{asked, told};
use crate::engine::event::FailureClass;
use crate::engine::jobs::{Firing, HalfLook};
use crate::ports::CallError;

/// The command line of `kubectl` up to its subcommand: the program, and the context and namespace of a CronJob.
pub(super) struct KubectlPlace {
    argv: Vec<String>,
}

impl KubectlPlace {
    pub(super) fn new(program: &str, context: Option<&String>, namespace: Option<&String>) -> Self {
        let mut argv = vec![program.to_owned(), "--request-timeout=20s".to_owned()];
        argv.extend(context.iter().map(|context| format!("--context={context}")));
        argv.extend(namespace.iter().map(|name| format!("--namespace={name}")));
        Self { argv }
    }

    /// Returns the command line with these arguments added.
    fn call(&self, arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        self.argv.iter().cloned().chain(arguments).collect()
    }
}

/// The fields of a CronJob that are needed, as `kubectl` prints it.
#[derive(Debug, Deserialize)]
struct CronJob {
    spec: Spec,
    #[serde(default)]
    status: JobStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    schedule: String,
    time_zone: Option<String>,
    suspend: Option<bool>,
    starting_deadline_seconds: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
struct JobStatus {
    #[serde(default)]
    active: Vec<serde_json::Value>,
}

/// Why a CronJob without a deadline is refused, and the remedy. The text follows the job's name.
const NO_DEADLINE: &str = "it has no startingDeadlineSeconds: Kubernetes would start a missed run as soon as it is \
    switched on; set startingDeadlineSeconds, for example to 200";

/// Reads the state of a CronJob.
///
/// # Errors
/// `kubectl` failed, or printed something that cannot be read.
pub(super) async fn look(place: &KubectlPlace, name: &str) -> Result<HalfLook, CallError> {
    let argv = place.call(&["get", "cronjob", name, "--output=json"]);
    let ran = asked("kubectl get cronjob", &argv).await?;
    let read: CronJob = serde_json::from_str(&ran.stdout).map_err(|error| {
        let message = format!("its answer cannot be read: {error}");
        CallError::new("kubectl get cronjob", FailureClass::Permanent, message)
    })?;
    let deadline = read.spec.starting_deadline_seconds;
    let unfit = match deadline {
        Some(_) => None,
        None => Some(NO_DEADLINE.to_owned()),
    };
    Ok(HalfLook {
        on: read.spec.suspend != Some(true),
        running: u32::try_from(read.status.active.len()).ok(),
        firing: Some(Firing {
            expression: read.spec.schedule,
            zone: read.spec.time_zone,
            spread: SignedDuration::ZERO,
            catch_up: deadline.map(SignedDuration::from_secs),
        }),
        unfit,
        over: None,
    })
}

/// Switches a CronJob on or off.
///
/// # Errors
/// `kubectl` failed. The switch may have been done anyway.
pub(super) async fn turn(
    place: &KubectlPlace,
    name: &str,
    on: bool,
    key: &str,
) -> Result<(), CallError> {
    let patch = format!(r#"{{"spec":{{"suspend":{}}}}}"#, !on);
    let argv = place.call(&["patch", "cronjob", name, "--type=merge", "--patch", &patch]);
    told("kubectl patch cronjob", &argv, key).await.map(drop)
}
