//! Peace: nothing fails any more. Then gates must be answered in time, everything must end or wait for somebody who was
//! woken, that person must be able to end it, and what is over must be quiet.

use std::time::Duration;

use cutover::engine::commands;
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::fleet::{FleetSettings, commands as fleet_commands};
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
        if self.is_alone() {
            return Ok(());
        }
        let index = self.rng.usize(0..self.sources.len());
        let Some(one) = self.armed(index) else {
            return Ok(());
        };
        if self.rng.bool()
            && let Ok(pause) = commands::pause(&one, None)
        {
            self.world.ask(&one, pause).await;
        }
        let gates = &one.plan().gates.alarms;
        let gate = gates[self.rng.usize(0..gates.len())].id.clone();
        let guarded = |state: &State| {
            let mut gates = state.plan().gates.alarms.iter();
            gates.any(|its| its.id == gate)
        };
        let all = (0..self.sources.len()).filter_map(|index| self.armed(index));
        let all: Vec<CutoverName> = all.filter(guarded).map(|state| state.name).collect();
        self.world.turn(&gate.name, AlarmState::Alarm);
        self.note(&format!("drill: {gate} is red, for {}", all.len()));
        tokio::time::sleep(ANSWERED_WITHIN).await;
        for name in &all {
            let state = self.world.state(name);
            if !state.is_some_and(|state| goes_back(&state)) {
                return self.fail(&format!("{name}: a red gate was not answered in 15 s"));
            }
        }
        tokio::time::sleep(BACK_WITHIN).await;
        self.world.sync();
        for name in &all {
            let Some(after) = self.world.state(name) else {
                continue;
            };
            if after.phase != Phase::Halted && after.drift.is_none() {
                self.all_back(&after)?;
            }
        }
        Ok(())
    }

    /// A cutover whose gates would take it back, if it is one now.
    fn armed(&self, index: usize) -> Option<State> {
        let name = &self.sources[index].plan.name;
        let damaged = locked(&self.world.witness).fleet().damage(name).is_some();
        if damaged {
            return None;
        }
        self.world.state(name).filter(is_armed)
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
        self.wait_for_ends().await?;
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
        let fleet = locked(&self.world.witness).fleet_finished();
        if let Some(violation) = fleet.first() {
            return self.fail(&violation.to_string());
        }
        self.fleet_goes_on().await?;
        self.people_end().await?;
        self.is_quiet().await?;
        Ok(end)
    }

    /// Waits for as long as one more cutover ends before the longest plan could.
    async fn wait_for_ends(&mut self) -> Result<(), String> {
        let (mut ended, mut days) = (0, 0);
        while days < PEACE_DAYS && !self.is_alone() {
            tokio::time::sleep(Duration::from_hours(24 * STRIDE_DAYS)).await;
            self.unbroken()?;
            self.bury().await?;
            let names = self.names();
            let now = names.iter().filter(|name| self.has_ended(name)).count();
            days = if now > ended { 0 } else { days + STRIDE_DAYS };
            ended = now;
            if ended == names.len() {
                break;
            }
        }
        Ok(())
    }

    /// A damaged one is left as it is: nothing more is to come of it.
    fn has_ended(&self, name: &CutoverName) -> bool {
        let witness = locked(&self.world.witness);
        let state = witness.state(name);
        state.is_some_and(|state| state.phase.is_final()) || witness.fleet().damage(name).is_some()
    }

    /// I15: a page has told of a damaged one.
    fn is_told_damaged(&self, name: &CutoverName) -> Result<(), String> {
        let told = locked(&self.world.pages).iter().any(
            |page| matches!(&page.entry.event, Event::CutoverDamaged { of, .. } if of == name),
        );
        if told {
            return Ok(());
        }
        self.fail(&format!("{name}: nobody was told that it is damaged"))
    }

    /// A person ends what holds all: a freeze, a spent budget, limits.
    async fn fleet_goes_on(&mut self) -> Result<(), String> {
        let fleet = locked(&self.world.witness).fleet().clone();
        let settings = FleetSettings::default();
        let limited = locked(&self.world.files.limits).replace(settings).is_some();
        self.world.moved();
        let thawed = fleet_commands::unfreeze(&fleet, None, self.world.now()).ok();
        let resumed = fleet_commands::resume(&fleet, "all is well").ok();
        let held = limited || thawed.is_some() || resumed.is_some();
        for event in thawed.into_iter().chain(resumed) {
            self.note(&format!("the fleet: {}", event.label()));
            self.world.tell_fleet(event).await;
        }
        if held {
            if self.is_alone() {
                self.start();
            }
            self.wait_for_ends().await?;
        }
        let left: Vec<CutoverName> = self.names();
        for name in left.iter().filter(|name| !self.has_ended(name)) {
            self.has_ended_or_waits(name)?;
            let by_fleet = |reason: &HoldReason| {
                matches!(
                    reason,
                    HoldReason::Frozen { .. }
                        | HoldReason::BudgetSpent { .. }
                        | HoldReason::FleetFull { .. }
                )
            };
            let held = self.world.state(name).map(|state| state.held);
            if held.into_iter().flatten().any(|reason| by_fleet(&reason)) {
                return self.fail(&format!("{name}: the fleet holds it for no reason"));
            }
        }
        Ok(())
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
        let damaged = locked(&self.world.witness).fleet().damage(name).is_some();
        if damaged {
            return self.is_told_damaged(name);
        }
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
    async fn people_end(&mut self) -> Result<(), String> {
        for attempt in 0..PEOPLE_TRY {
            let mut left = self.names();
            left.retain(|name| !self.has_ended(name));
            if left.is_empty() {
                return Ok(());
            }
            if self.is_alone() {
                self.start();
            }
            for name in &left {
                let Some(state) = self.world.state(name) else {
                    continue;
                };
                if let Some(event) = what_it_asks_for(&state, attempt) {
                    self.note(&format!("{name}: {}", event.label()));
                    self.world.ask(&state, event).await;
                }
            }
            tokio::time::sleep(Duration::from_hours(24 * 100)).await;
            self.bury().await?;
            self.unbroken()?;
        }
        for name in self.names() {
            if let Some(state) = self.world.state(&name).filter(|_| !self.has_ended(&name)) {
                let (phase, held) = (state.phase, &state.held);
                return self.fail(&format!("{name}: nobody can end it: {phase:?} {held:?}"));
            }
        }
        Ok(())
    }

    /// I11: nothing moves any more, whatever the alarms say.
    async fn is_quiet(&mut self) -> Result<(), String> {
        tokio::time::sleep(Duration::from_mins(20)).await;
        self.bury().await?;
        if self.is_alone() {
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

/// What ends an unfinished cutover, by its hold; the last tries use force.
fn what_it_asks_for(state: &State, attempt: usize) -> Option<Event> {
    let asks = |reason: &HoldReason| reason.asks_approval().is_some();
    if attempt + 2 >= PEOPLE_TRY {
        rollback(state, RevertMode::Force)
    } else if state.paused.is_some() {
        commands::resume(state, None).ok()
    } else if state.held.iter().any(asks) {
        commands::approve(state, None, "fine").ok()
    } else if state.drift.is_some() {
        let adopted = commands::adopt_drift(state, "fine").ok();
        adopted.or_else(|| rollback(state, RevertMode::Force))
    } else if state.phase == Phase::Halted {
        let again = commands::retry(state, None).ok();
        again.or_else(|| rollback(state, RevertMode::Swap))
    } else {
        rollback(state, RevertMode::Swap)
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
