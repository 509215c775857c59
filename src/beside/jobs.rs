//! Reads and switches jobs, with commands and `kubectl`. Jobs in AWS are passed on to the AWS adapter.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::job_commands::{asked, run};
use super::kubectl;
use crate::engine::event::FailureClass;
use crate::engine::jobs::{HalfLook, JobHalf};
use crate::engine::plan::AwsSettings;
use crate::ports::{CallError, Jobs};

/// Reads and switches jobs of every kind.
#[derive(Clone)]
pub struct RealJobs {
    aws: Arc<dyn Jobs>,
    kubectl: String,
}

impl fmt::Debug for RealJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealJobs").finish_non_exhaustive()
    }
}

impl RealJobs {
    /// Creates the adapter. `aws` reads and switches the jobs in AWS.
    pub fn new(aws: Arc<dyn Jobs>) -> Self {
        Self {
            aws,
            kubectl: "kubectl".to_owned(),
        }
    }

    /// Returns the same adapter with another program in place of `kubectl`, for tests.
    #[must_use]
    pub fn with_kubectl(mut self, program: &str) -> Self {
        program.clone_into(&mut self.kubectl);
        self
    }
}

#[async_trait]
impl Jobs for RealJobs {
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError> {
        match half {
            JobHalf::Rule { running, .. } | JobHalf::Schedule { running, .. } => {
                let mut look = self.aws.look(aws, half).await?;
                if let Some(running) = running {
                    look.running = Some(count(running).await?);
                }
                Ok(look)
            }
            JobHalf::CronJob {
                name,
                namespace,
                context,
            } => {
                let place =
                    kubectl::KubectlPlace::new(&self.kubectl, context.as_ref(), namespace.as_ref());
                kubectl::look(&place, name).await
            }
            JobHalf::Command { state, running, .. } => {
                let on = is_on(state).await?;
                let running = match running {
                    Some(running) => Some(count(running).await?),
                    None => None,
                };
                Ok(HalfLook {
                    on,
                    running,
                    ..HalfLook::default()
                })
            }
        }
    }

    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        key: &str,
    ) -> Result<(), CallError> {
        match half {
            JobHalf::Rule { .. } | JobHalf::Schedule { .. } => {
                self.aws.turn(aws, half, on, key).await
            }
            JobHalf::CronJob {
                name,
                namespace,
                context,
            } => {
                let place =
                    kubectl::KubectlPlace::new(&self.kubectl, context.as_ref(), namespace.as_ref());
                kubectl::turn(&place, name, on, key).await
            }
            JobHalf::Command {
                off,
                on: start,
                detach,
                ..
            } => {
                let (what, argv) = if on { ("on", start) } else { ("off", off) };
                let class = FailureClass::Transient;
                run(what, argv, key, class, *detach).await.map(drop)
            }
        }
    }
}

/// Runs a command that prints `on` or `off`.
///
/// # Errors
/// The command failed, or printed something else.
async fn is_on(argv: &[String]) -> Result<bool, CallError> {
    let ran = asked("state", argv).await?;
    match ran.stdout.trim().to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        other => {
            let shown: String = other.chars().take(40).collect();
            let message = format!("it printed {shown:?}, neither `on` nor `off`");
            Err(CallError::new("state", FailureClass::Permanent, message))
        }
    }
}

/// Runs a command that prints the number of runs under way.
///
/// # Errors
/// The command failed, or printed something else.
async fn count(argv: &[String]) -> Result<u32, CallError> {
    let ran = asked("running", argv).await?;
    let text = ran.stdout.trim();
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        let message = format!("it printed {shown:?}, which is not a number");
        CallError::new("running", FailureClass::Permanent, message)
    })
}
