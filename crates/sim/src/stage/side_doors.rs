//! The simulated jobs and hooks of a rehearsal. Nothing real is switched or called, and the scenario's faults apply.

use async_trait::async_trait;

use super::{SharedStage, lock};
use crate::beside::SimJobs;
use crate::scenario::FaultKind;
use crate::world::SimClock;
use cutover_engine::event::FailureClass;
use cutover_engine::jobs::{HalfLook, JobHalf};
use cutover_engine::plan::AwsSettings;
use cutover_ports::{CallError, Clock, HookAnswer, HookRequest, Hooks, Jobs};

/// The simulated jobs of a rehearsal, with the scenario's faults.
#[derive(Clone)]
pub struct StageJobs {
    /// The simulated jobs, which have no faults.
    pub jobs: SimJobs,
    /// The simulated world.
    pub stage: SharedStage,
    /// The simulated clock.
    pub clock: SimClock,
}

/// The hooks of a rehearsal. None is really called, and all succeed unless the scenario makes them fail.
#[derive(Clone)]
pub struct StageHooks {
    /// The simulated world.
    pub stage: SharedStage,
    /// The simulated clock.
    pub clock: SimClock,
}

impl StageJobs {
    /// Returns an error while the scenario says that jobs are down.
    fn check_up(&self) -> Result<(), CallError> {
        if lock(&self.stage).is_troubled_by(&FaultKind::JobsDown, self.clock.now()) {
            let message = "ServiceUnavailable: Service is unavailable";
            return Err(CallError::new("Jobs", FailureClass::Throttled, message));
        }
        Ok(())
    }
}

#[async_trait]
impl Jobs for StageJobs {
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError> {
        self.check_up()?;
        self.jobs.look(aws, half).await
    }

    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        key: &str,
    ) -> Result<(), CallError> {
        self.check_up()?;
        self.jobs.turn(aws, half, on, key).await
    }
}

#[async_trait]
impl Hooks for StageHooks {
    async fn call(&self, _request: &HookRequest) -> HookAnswer {
        if !lock(&self.stage).is_troubled_by(&FaultKind::HooksFail, self.clock.now()) {
            return HookAnswer::default();
        }
        HookAnswer {
            output: String::new(),
            failure: Some("exit status: 1".to_owned()),
        }
    }
}
