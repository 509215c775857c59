//! Peace: nothing fails any longer. Red gates must then be answered in time. Every cutover must end, or wait for a person who
//! was paged and who can end it. A cutover that is over must stay quiet.

use std::collections::BTreeSet;
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

/// The longest time from a red gate until its cutover is on its way back, and from there until all its weights are back:
/// a round, the read, the write.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
const BACK_WITHIN: Duration = Duration::from_secs(40);

/// The time that a drill waits for earlier faults to end.
const DRILL_AFTER: Duration = Duration::from_secs(90);

/// Peace lasts longer than the longest plan: five bakes of 90 days, and a clock that was wrong by a month.
const PEACE_DAYS: u64 = 500;
const STRIDE_DAYS: u64 = 10;

/// The number of times that people try to end the cutovers that wait for them.
const PEOPLE_TRY: usize = 12;

/// How the cutovers ended before people tidied up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub(super) completed: u64,
    pub(super) reverted: u64,
}

impl Scenario {
    /// Makes everything work: every process has a journal and the right time, and at least one is alive.
    async fn peace(&mut self) -> Result<(), String> {
        self.note("peace");
        self.all_green();
        for source in &self.sources {
            self.world.file(&source.path, plans::reading(source));
        }
        self.world.glass.fail(false);
        *locked(&self.world.pages_fail) = false;
        for process in &self.processes {
            let by = process.luck.clock_offset();
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

    /// Turns a gate red in peace. Every cutover that it guards must go back at once, even if its steps are held.
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
        let mut all = Vec::new();
        for index in 0..self.sources.len() {
            if let Some(state) = self.armed(index) {
                let mut gates = state.plan().gates.alarms.iter();
                if gates.any(|its| its.id == gate) {
                    all.push(state.name);
                }
            }
        }
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

    /// The state of a cutover that a red gate would take back now; none if none would.
    fn armed(&self, index: usize) -> Option<State> {
        let name = &self.sources[index].plan.name;
        let damaged = locked(&self.world.witness).fleet().damage(name).is_some();
        if damaged {
            return None;
        }
        self.world.state(name).filter(is_armed)
    }

    /// Checks that the weights in Route 53 are the baseline's.
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

    /// Ends the faults, and checks that every cutover comes to an end.
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

    /// Waits until all cutovers have ended, or none has ended for longer than the longest plan takes.
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

    /// Returns true if the cutover is over. A damaged one is left as it is and counts as over.
    fn has_ended(&self, name: &CutoverName) -> bool {
        let witness = locked(&self.world.witness);
        let state = witness.state(name);
        state.is_some_and(|state| state.phase.is_final()) || witness.fleet().damage(name).is_some()
    }

    /// I15: a page was sent about a damaged cutover.
    fn is_told_damaged(&self, name: &CutoverName) -> Result<(), String> {
        let told = locked(&self.world.pages).iter().any(
            |page| matches!(&page.notice.entry.event, Event::CutoverDamaged { of, .. } if of == name),
        );
        if told {
            return Ok(());
        }
        self.fail(&format!("{name}: nobody was paged about the damage"))
    }

    /// A person lifts what holds all cutovers: a freeze, a spent budget, limits.
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
            let held = self.world.state(name).map(|state| state.held);
            if held
                .into_iter()
                .flatten()
                .any(|reason| is_by_fleet(&reason))
            {
                return self.fail(&format!("{name}: the fleet holds it for no reason"));
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<CutoverName> {
        let sources = self.sources.iter();
        sources.map(|source| source.plan.name.clone()).collect()
    }

    /// I12: it has ended or waits for a person; and every page that was due was delivered.
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
        let nobody = state.held.iter().all(ends_by_itself);
        if !state.phase.is_final() && nobody {
            let held = &state.held;
            return self.fail(&format!(
                "{name} waits forever, and for no person: {held:?}"
            ));
        }
        if state.phase.is_final() {
            return Ok(());
        }
        for service in ["log", "command"] {
            let told = self.told(name, service);
            let missing: Vec<u64> = state.pages.difference(&told).copied().collect();
            if !missing.is_empty() {
                return self.fail(&format!("{name}: the {service} did not get {missing:?}"));
            }
        }
        Ok(())
    }

    /// The entries of a cutover that a channel of this kind was told of, by messages of their own or with others.
    fn told(&self, name: &CutoverName, service: &str) -> BTreeSet<u64> {
        let mut told = BTreeSet::new();
        for page in locked(&self.world.pages).iter() {
            if page.channel.via.service() != service {
                continue;
            }
            let entry = &page.notice.entry;
            let own = (entry.cutover.clone(), entry.seq);
            for (cutover, seq) in page.notice.others.iter().chain([&own]) {
                if cutover == name {
                    told.insert(*seq);
                }
            }
        }
        told
    }

    /// The paged person can end it: with the command that the hold asks for, or in any case by force.
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
            if self.has_ended(&name) {
                continue;
            }
            if let Some(state) = self.world.state(&name) {
                let (phase, held) = (state.phase, &state.held);
                return self.fail(&format!("{name}: nobody can end it: {phase:?} {held:?}"));
            }
        }
        Ok(())
    }

    /// I11: a cutover that is over no longer changes anything, whatever the alarms say.
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
            return self.fail("a cutover that is over is not quiet");
        }
        self.unbroken()
    }
}

/// The command that may end an unfinished cutover, by its hold; the last tries use force.
fn what_it_asks_for(state: &State, attempt: usize) -> Option<Event> {
    let mut held = state.held.iter();
    let asks_approval = held.any(|reason| reason.asks_approval().is_some());
    if attempt + 2 >= PEOPLE_TRY {
        rollback(state, RevertMode::Force)
    } else if state.paused.is_some() {
        commands::resume(state, None).ok()
    } else if asks_approval {
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

/// Returns true if the fleet causes this hold.
fn is_by_fleet(reason: &HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::Frozen { .. } | HoldReason::BudgetSpent { .. } | HoldReason::FleetFull { .. }
    )
}

/// Returns true if time alone ends this hold.
fn ends_by_itself(reason: &HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::Settling { .. }
            | HoldReason::Baking { .. }
            | HoldReason::Shifting { .. }
            | HoldReason::Reverting { .. }
    )
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
