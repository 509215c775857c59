//! Peace: nothing fails any more. Then gates must be answered in time, everything must end or wait for somebody who was
//! woken, that person must be able to end it, and what is over must be quiet.

use std::time::Duration;

use cutover::engine::commands;
use cutover::engine::event::RevertMode;
use cutover::engine::hold::HoldReason;
use cutover::engine::observation::AlarmState;
use cutover::engine::state::{Phase, State};
use cutover::engine::units::CutoverName;
use jiff::SignedDuration;

use super::plans;
use super::scenario::Scenario;
use super::trouble::rollback;
use super::world::locked;

/// How long a red gate may take until its cutover is on its way back, and all its weights are back: a round, the read,
/// the write.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
const BACK_WITHIN: Duration = Duration::from_secs(40);

/// How long a drill waits for what was left over to settle.
const DRILL_AFTER: Duration = Duration::from_secs(90);

/// Peace lasts for longer than the longest plan: five bakes of 90 days, and a clock that was wrong by a month.
const PEACE_DAYS: u64 = 500;
const STRIDE_DAYS: u64 = 10;

/// How often people try to end what waits for them.
const PEOPLE_TRY: usize = 12;

/// How the cutovers ended before people tidied up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub(super) completed: u64,
    pub(super) reverted: u64,
}

impl Scenario {
    /// Everything works, every process has a journal and the right time, and one of them at least lives.
    async fn peace(&mut self) -> Result<(), String> {
        self.note("peace");
        self.all_green();
        for source in &self.sources {
            self.world.file(&source.path, plans::reading(source));
        }
        self.world.glass.fail(false);
        *locked(&self.world.pages_fail) = false;
        let by: Vec<SignedDuration> = self
            .processes
            .iter()
            .map(|process| process.luck.clock_offset())
            .collect();
        for (process, by) in self.processes.iter().zip(by) {
            process.luck.calm();
            process.luck.set_clock_offset(SignedDuration::ZERO);
            locked(&self.world.witness).jumps(by);
            if process.luck.has_lost_journal() {
                process.task.abort();
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.bury().await?;
        self.start();
        self.world.moved();
        Ok(())
    }

    /// In peace a gate turns red: what it guards must go back, at once, whatever holds its steps.
    pub(super) async fn drill(&mut self) -> Result<(), String> {
        self.peace().await?;
        tokio::time::sleep(DRILL_AFTER).await;
        self.bury().await?;
        if self.processes.is_empty() {
            return Ok(());
        }
        let index = self.rng.usize(0..self.sources.len());
        let source = self.sources[index].clone();
        let name = &source.plan.name;
        let Some(before) = self.world.state(name).filter(is_armed) else {
            return Ok(());
        };
        if self.rng.bool()
            && let Ok(pause) = commands::pause(&before, None)
        {
            self.world.ask(&before, pause).await;
        }
        let gates = &before.plan().gates.alarms;
        let gate = gates[self.rng.usize(0..gates.len())].id.clone();
        self.world.turn(&gate.name, AlarmState::Alarm);
        self.note(&format!("drill: {gate} is red"));
        tokio::time::sleep(ANSWERED_WITHIN).await;
        let answered = self
            .world
            .state(name)
            .is_some_and(|state| goes_back(&state));
        if !answered {
            return self.fail(&format!("{name}: a red gate was not answered in 15 s"));
        }
        tokio::time::sleep(BACK_WITHIN).await;
        self.world.sync();
        let Some(after) = self.world.state(name) else {
            return Ok(());
        };
        if after.phase != Phase::Halted && after.drift.is_none() {
            self.all_back(&after)?;
        }
        Ok(())
    }

    /// The weights in Route 53 are the baseline's.
    fn all_back(&self, state: &State) -> Result<(), String> {
        let images = state.baseline.iter().flatten();
        for (group, image) in state.plan().records.iter().zip(images) {
            let route53 = locked(&self.world.route53);
            let last = route53.weight_writes_of(&image.zone, &group.name).last();
            let pair = last.and_then(|write| write.pair("eks", "ecs"));
            let stranger = last.is_some_and(|write| write.foreign);
            drop(route53);
            if pair != Some(image.pair()) && !stranger {
                return self.fail(&format!("{}: {} is at {pair:?}", state.name, group.name));
            }
        }
        Ok(())
    }

    /// The faults stop.
    pub(super) async fn comes_to_an_end(&mut self) -> Result<End, String> {
        self.peace().await?;
        for _ in 0..PEACE_DAYS / STRIDE_DAYS {
            tokio::time::sleep(Duration::from_hours(24 * STRIDE_DAYS)).await;
            self.unbroken()?;
            self.bury().await?;
            if self.processes.is_empty() {
                break;
            }
        }
        let mut end = End::default();
        let names: Vec<CutoverName> = self.names();
        for name in &names {
            self.has_ended_or_waits(name)?;
            match self.world.state(name).map(|state| state.phase) {
                Some(Phase::Completed) => end.completed += 1,
                Some(Phase::Reverted) => end.reverted += 1,
                _ => {}
            }
        }
        for name in &names {
            self.people_end(name).await?;
        }
        self.is_quiet().await?;
        Ok(end)
    }

    fn names(&self) -> Vec<CutoverName> {
        let sources = self.sources.iter();
        sources.map(|source| source.plan.name.clone()).collect()
    }

    /// I12, and every page that was due was delivered.
    fn has_ended_or_waits(&self, name: &CutoverName) -> Result<(), String> {
        let Some(state) = self.world.state(name) else {
            return self.fail(&format!("{name} was never seen"));
        };
        let unfinished = {
            let witness = locked(&self.world.witness);
            let mut checkers = witness.checkers();
            let found = checkers.find(|(known, _)| *known == name);
            found
                .map(|(_, checker)| checker.finished())
                .unwrap_or_default()
        };
        if let Some(violation) = unfinished.first() {
            return self.fail(&format!("{name}: {violation}"));
        }
        let time_ends_it = |reason: &HoldReason| {
            matches!(
                reason,
                HoldReason::Settling { .. }
                    | HoldReason::Baking { .. }
                    | HoldReason::Shifting { .. }
                    | HoldReason::Reverting { .. }
            )
        };
        let nobody = state.held.iter().all(time_ends_it);
        if !state.phase.is_final() && nobody {
            let held = &state.held;
            return self.fail(&format!("{name} waits for nobody, for ever: {held:?}"));
        }
        let told = locked(&self.world.pages);
        for page in told.iter() {
            let key = format!("{}/{}", page.entry.cutover, page.entry.seq);
            if page.idempotency_key != key {
                return self.fail(&format!("{key} has another key"));
            }
        }
        if !state.phase.is_final() && !state.pages.is_empty() {
            let waiting: Vec<_> = state.pages.keys().collect();
            return self.fail(&format!("{name}: nobody was told of {waiting:?}"));
        }
        Ok(())
    }

    /// Whoever was woken can end it: by what the hold asks for, and by force in any case.
    async fn people_end(&mut self, name: &CutoverName) -> Result<(), String> {
        for attempt in 0..PEOPLE_TRY {
            let Some(state) = self.world.state(name) else {
                break;
            };
            if state.phase.is_final() {
                return Ok(());
            }
            if self.processes.is_empty() {
                self.start();
            }
            let asks = |reason: &HoldReason| matches!(reason, HoldReason::Approval { .. });
            let event = if attempt + 2 >= PEOPLE_TRY {
                rollback(&state, RevertMode::Force)
            } else if state.paused.is_some() {
                commands::resume(&state, None).ok()
            } else if state.held.iter().any(asks) {
                commands::approve(&state, None, "fine").ok()
            } else if state.drift.is_some() {
                let adopted = commands::adopt_drift(&state, "fine").ok();
                adopted.or_else(|| rollback(&state, RevertMode::Force))
            } else if state.phase == Phase::Halted {
                let again = commands::retry(&state, None).ok();
                again.or_else(|| rollback(&state, RevertMode::Swap))
            } else {
                rollback(&state, RevertMode::Swap)
            };
            if let Some(event) = event {
                self.note(&format!("{name}: {}", event.label()));
                self.world.ask(&state, event).await;
            }
            tokio::time::sleep(Duration::from_hours(24 * 100)).await;
            self.bury().await?;
            self.unbroken()?;
        }
        match self.world.state(name) {
            Some(state) if !state.phase.is_final() => {
                let (phase, held) = (state.phase, &state.held);
                self.fail(&format!("{name}: nobody can end it: {phase:?} {held:?}"))
            }
            _ => Ok(()),
        }
    }

    /// I11: nothing moves any more, whatever the alarms say.
    async fn is_quiet(&mut self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_mins(20)).await;
        self.bury().await?;
        if self.processes.is_empty() {
            self.start();
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        let before = locked(&self.world.witness).seen();
        for state in [
            AlarmState::Alarm,
            AlarmState::Ok,
            AlarmState::InsufficientData,
        ] {
            for alarm in self.alarms.clone() {
                self.world.turn(&alarm, state);
            }
            tokio::time::sleep(Duration::from_mins(2)).await;
        }
        self.world.sync();
        let after = locked(&self.world.witness).seen();
        if before != after {
            return self.fail("what is over is not quiet");
        }
        self.unbroken()
    }
}

fn is_armed(state: &State) -> bool {
    let running = matches!(
        state.phase,
        Phase::Shifting | Phase::Settling | Phase::Baking
    );
    running && state.has_started() && state.drift.is_none()
}

fn goes_back(state: &State) -> bool {
    matches!(
        state.phase,
        Phase::Reverting | Phase::Reverted | Phase::Halted
    )
}
