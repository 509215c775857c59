//! Jobs and hooks of the hunts' world: doors that fail, lose replies, and land late, and a witness of what took effect.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cutover::engine::event::FailureClass;
use cutover::engine::jobs::{HalfId, HalfLook, JobHalf, JobSwitch};
use cutover::engine::plan::{AwsSettings, Plan, PlanSource};
use cutover::engine::units::CutoverName;
use cutover::ports::{CallError, HookAnswer, HookRequest, Hooks, Jobs};
use cutover::sim::beside::SimJobs;
use cutover_testbed::check::Checker;

use super::world::{World, locked};

/// What goes on beside the weights of a world.
#[derive(Clone, Default)]
pub(crate) struct Side {
    pub(crate) jobs: SimJobs,
    pub(crate) faults: Arc<Mutex<SideFaults>>,
    /// Every call of a hook that arrived: its key, and what it was told.
    pub(crate) calls: Arc<Mutex<Vec<(String, String)>>>,
    plans: Arc<Vec<Plan>>,
}

/// What goes wrong with jobs and hooks.
#[derive(Default)]
pub(crate) struct SideFaults {
    /// No look at a job succeeds.
    pub(crate) blind: bool,
    /// Calls of jobs go wrong now and then, drawn from this: one in so many.
    pub(crate) jobs: Option<(fastrand::Rng, u32)>,
    /// So do calls of hooks.
    pub(crate) hooks: Option<(fastrand::Rng, u32)>,
    /// Hooks take this long.
    pub(crate) hooks_take: Duration,
    /// Every hook fails.
    pub(crate) hooks_fail: bool,
}

impl SideFaults {
    fn draw(chance: &mut Option<(fastrand::Rng, u32)>) -> Option<(u8, Duration)> {
        let (rng, odds) = chance.as_mut()?;
        if rng.u32(0..*odds) > 0 {
            return None;
        }
        Some((rng.u8(0..5), Duration::from_millis(rng.u64(1..25_000))))
    }
}

impl Side {
    pub(crate) fn of(sources: &[PlanSource]) -> Self {
        let plans: Vec<Plan> = sources.iter().map(|source| source.plan.clone()).collect();
        Self {
            jobs: SimJobs::for_plans(&plans),
            plans: Arc::new(plans),
            ..Self::default()
        }
    }

    /// Shows a checker what is there at the beginning.
    pub(crate) fn show(&self, plan: &Plan, checker: &mut Checker) {
        for (half, how) in halves(plan) {
            let look = self.jobs.get(&how).expect("a job of the plan");
            checker.job_found(half, look.on);
        }
    }

    /// Whose half it is.
    fn owner(&self, how: &JobHalf) -> (CutoverName, HalfId) {
        let mine = |plan: &Plan| {
            let half = halves(plan).into_iter().find(|(_, other)| other == how)?.0;
            Some((plan.name.clone(), half))
        };
        self.plans.iter().find_map(mine).expect("a job of a plan")
    }
}

/// Every half of a plan's jobs.
pub(crate) fn halves(plan: &Plan) -> Vec<(HalfId, JobHalf)> {
    let halves = plan.jobs.iter().flat_map(JobSwitch::halves);
    halves.map(|(id, half)| (id, half.clone())).collect()
}

/// Jobs over a wire: what was sent arrives although its sender died.
pub(crate) struct WiredJobs {
    pub(crate) world: World,
    pub(crate) faults: Arc<Mutex<SideFaults>>,
}

impl World {
    /// Somebody else switches a half.
    pub(crate) fn switch_by_others(&self, how: &JobHalf, on: bool) {
        self.sync();
        self.side.jobs.set(how, |look| look.on = on);
        let (name, half) = self.side.owner(how);
        let mut witness = locked(&self.witness);
        let checker = witness
            .checkers
            .get_mut(&name)
            .expect("a checker a cutover");
        checker.job_changed_by_others(half, on);
    }

    /// A change of ours takes effect.
    fn switch(&self, how: &JobHalf, on: bool) {
        self.sync();
        self.side.jobs.set(how, |look| look.on = on);
        let (name, half) = self.side.owner(how);
        let mut witness = locked(&self.witness);
        let checker = witness
            .checkers
            .get_mut(&name)
            .expect("a checker a cutover");
        let broken = checker.job_turned(half, on);
        let told = broken
            .iter()
            .map(|violation| format!("{name}: {violation}"));
        let told: Vec<String> = told.collect();
        witness.broken.extend(told);
    }

    /// Whether a half is on.
    pub(crate) fn is_on(&self, how: &JobHalf) -> bool {
        self.side.jobs.get(how).is_some_and(|look| look.on)
    }
}

#[async_trait]
impl Jobs for WiredJobs {
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError> {
        let (blind, fault) = {
            let mut faults = locked(&self.faults);
            (faults.blind, SideFaults::draw(&mut faults.jobs))
        };
        if blind {
            return Err(CallError::new("Look", FailureClass::Denied, "denied"));
        }
        match fault {
            Some((0 | 1, _)) => Err(CallError::new("Look", FailureClass::Throttled, "no answer")),
            Some((_, late)) => {
                // It was so when it was asked, and the answer takes its time.
                let look = self.world.side.jobs.look(aws, half).await;
                tokio::time::sleep(late).await;
                look
            }
            None => self.world.side.jobs.look(aws, half).await,
        }
    }

    async fn turn(
        &self,
        _aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        _key: &str,
    ) -> Result<(), CallError> {
        let fault = SideFaults::draw(&mut locked(&self.faults).jobs);
        let lost = || CallError::new("Turn", FailureClass::Transient, "the reply was lost");
        let (world, half) = (self.world.clone(), half.clone());
        match fault {
            Some((0, _)) => Err(CallError::new("Turn", FailureClass::Denied, "denied")),
            Some((1, _)) => Err(lost()),
            Some((2, _)) => {
                world.switch(&half, on);
                Err(lost())
            }
            // It lands while nobody waits for it any more, within its time.
            Some((_, late)) => {
                let sent = tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    world.switch(&half, on);
                });
                sent.await.map_err(|_| lost())
            }
            None => {
                world.switch(&half, on);
                Ok(())
            }
        }
    }
}

/// Hooks that note every call.
pub(crate) struct WiredHooks {
    pub(crate) world: World,
}

#[async_trait]
impl Hooks for WiredHooks {
    async fn call(&self, request: &HookRequest) -> HookAnswer {
        let call = (request.key.clone(), request.input.clone());
        locked(&self.world.side.calls).push(call);
        let (fault, takes, fails) = {
            let mut faults = locked(&self.world.side.faults);
            let fault = SideFaults::draw(&mut faults.hooks);
            (fault, faults.hooks_take, faults.hooks_fail)
        };
        tokio::time::sleep(takes).await;
        let fault = fault.filter(|_| !fails);
        if let Some((kind, late)) = fault {
            tokio::time::sleep(late).await;
            if kind > 1 {
                return HookAnswer::default();
            }
        }
        let failure = (fails || fault.is_some()).then(|| "exit status: 1".to_owned());
        HookAnswer {
            output: String::new(),
            failure,
        }
    }
}
