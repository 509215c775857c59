//! The stage's doors to what goes on beside the weights: jobs and hooks. Nothing is performed; troubles are.

use async_trait::async_trait;

use super::trouble::Trouble;
use super::{SharedStage, lock};
use crate::engine::event::FailureClass;
use crate::engine::jobs::{HalfLook, JobHalf};
use crate::engine::plan::AwsSettings;
use crate::ports::{CallError, Clock, HookAnswer, HookRequest, Hooks, Jobs};
use crate::scenario::What;
use crate::sim::beside::SimJobs;
use crate::sim::world::SimClock;

/// The jobs on the stage.
#[derive(Clone)]
pub struct StageJobs {
    /// The door without the stage.
    pub jobs: SimJobs,
    /// Behind it.
    pub stage: SharedStage,
    /// The time.
    pub clock: SimClock,
}

/// The hooks on the stage: none is called, and all say that all is well, unless the scenario says otherwise.
#[derive(Clone)]
pub struct StageHooks {
    /// Behind the door.
    pub stage: SharedStage,
    /// The time.
    pub clock: SimClock,
}

fn troubled(stage: &SharedStage, clock: &SimClock, what: &What) -> bool {
    let now = clock.now();
    let stage = lock(stage);
    let holds = |it: &Trouble| it.holds_at(now) && it.fault.what == *what;
    stage.troubles().iter().any(holds)
}

impl StageJobs {
    fn answers(&self) -> Result<(), CallError> {
        if troubled(&self.stage, &self.clock, &What::JobsDown) {
            let message = "ServiceUnavailable: Service is unavailable";
            return Err(CallError::new("Jobs", FailureClass::Throttled, message));
        }
        Ok(())
    }
}

#[async_trait]
impl Jobs for StageJobs {
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError> {
        self.answers()?;
        self.jobs.look(aws, half).await
    }

    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        key: &str,
    ) -> Result<(), CallError> {
        self.answers()?;
        self.jobs.turn(aws, half, on, key).await
    }
}

#[async_trait]
impl Hooks for StageHooks {
    async fn call(&self, _request: &HookRequest) -> HookAnswer {
        let fails = troubled(&self.stage, &self.clock, &What::HooksFail);
        HookAnswer {
            output: String::new(),
            failure: fails.then(|| "exit status: 1".to_owned()),
        }
    }
}
