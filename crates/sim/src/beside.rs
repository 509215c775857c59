//! The jobs of a simulated world: switches in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use cutover_engine::event::FailureClass;
use cutover_engine::jobs::{HalfLook, JobHalf, JobSide, JobSwitch};
use cutover_engine::plan::{AwsSettings, Plan};
use cutover_ports::{CallError, Jobs};

/// The jobs of a simulated world, by side. Clones share the same state.
#[derive(Debug, Clone, Default)]
pub struct SimJobs(Arc<Mutex<BTreeMap<JobHalf, HalfLook>>>);

impl SimJobs {
    /// Creates the jobs of these plans. The old side's are on, the new side's are off, and nothing is running.
    pub fn for_plans<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Self {
        let mut halves = BTreeMap::new();
        for plan in plans {
            for (id, half) in plan.jobs.iter().flat_map(JobSwitch::halves) {
                let look = HalfLook {
                    on: id.side == JobSide::Old,
                    running: Some(0),
                    ..HalfLook::default()
                };
                halves.insert(half.clone(), look);
            }
        }
        Self(Arc::new(Mutex::new(halves)))
    }

    /// Changes the state of one side of a job, as another program could. A missing job is added.
    pub fn set(&self, half: &JobHalf, change: impl FnOnce(&mut HalfLook)) {
        change(self.lock().entry(half.clone()).or_default());
    }

    /// Returns the state of one side of a job. `None` if there is no such job.
    pub fn get(&self, half: &JobHalf) -> Option<HalfLook> {
        self.lock().get(half).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobHalf, HalfLook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the error of a call that names an unknown job.
fn missing() -> CallError {
    CallError::new("Look", FailureClass::Permanent, "there is no such job")
}

#[async_trait]
impl Jobs for SimJobs {
    async fn look(&self, _aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError> {
        self.get(half).ok_or_else(missing)
    }

    async fn turn(
        &self,
        _aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        _key: &str,
    ) -> Result<(), CallError> {
        let mut jobs = self.lock();
        jobs.get_mut(half).ok_or_else(missing)?.on = on;
        Ok(())
    }
}
