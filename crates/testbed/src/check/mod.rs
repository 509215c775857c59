//! The invariants (`ARCHITECTURE.md`, I1 to I15) over whole journals: what entries and effects break.
//!
//! Nothing here calls the code that it checks: bakes, windows and fences are derived anew from the entries. Only the fold is
//! shared, since the state is by definition the fold of the entries. [`cutover_engine::check`] checks single decisions.

mod fleet;
mod jobs;
mod violations;

pub use fleet::FleetChecker;
pub use violations::Violations;

use std::collections::{BTreeMap, BTreeSet};

use cutover_engine::check::Invariant;
use cutover_engine::check::conditions::{
    READS_APART, approved, goes_on, in_its_window, zones_are_whole,
};
use cutover_engine::event::{Envelope, Event, SendOutcome, Target};
use cutover_engine::fold;
use cutover_engine::hold::HoldReason;
use cutover_engine::jobs::HalfId;
use cutover_engine::record::GroupImage;
use cutover_engine::state::{Phase, State};
use cutover_engine::units::WeightPair;
use jiff::{SignedDuration, Timestamp};

use violations::{one, violation};

/// A write's deadline is this long after its decision (semantics A1).
const SENT_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// A write may land this long after its deadline (semantics A3).
const MAY_LAND_FOR: SignedDuration = SignedDuration::from_secs(15);

/// Watches one cutover: takes every entry and every write that took effect, and returns the invariants that they break.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    state: Option<State>,
    world: BTreeMap<usize, WeightPair>,
    /// The groups that somebody else wrote last; the checker does not answer for their weights.
    foreign: BTreeSet<usize>,
    bake: BakeClock,
    /// The steps of this attempt whose bake ended lawfully.
    baked: BTreeSet<u16>,
    paged: BTreeSet<HoldReason>,
    jobs: jobs::FollowedJobs,
}

/// The bake clock, counted from the entries.
#[derive(Debug, Clone, Default)]
struct BakeClock {
    counted: SignedDuration,
    since: Option<Timestamp>,
    skipped: bool,
}

impl Checker {
    /// A checker at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state after the entries so far; none before the first.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Takes the next entry of the stream.
    pub fn entry(&mut self, entry: &Envelope) -> Violations {
        let mut broken = match &self.state {
            Some(before) => self.against(before, entry),
            None => Vec::new(),
        };
        if let Some(before) = &self.state {
            broken.extend(self.jobs.entry(before, entry));
        }
        self.count(entry);
        if let Err(error) = fold::apply(&mut self.state, entry) {
            broken.push(violation(Invariant::I6, error.to_string()));
            return broken;
        }
        self.note_pages(entry);
        if let Event::Halted { .. } = &entry.event
            && !self.is_page(entry.seq)
        {
            broken.push(violation(
                Invariant::I3,
                "it halted without a page".to_owned(),
            ));
        }
        broken
    }

    /// Takes a write of ours that took effect: group `index` now has these weights.
    pub fn applied(&mut self, index: usize, pair: WeightPair) -> Violations {
        let mut broken = Vec::new();
        if pair.sum() == 0 {
            broken.push(violation(
                Invariant::I2,
                format!("group {index} was given {pair}"),
            ));
        }
        self.foreign.remove(&index);
        let before = self.world.insert(index, pair);
        let rises = before.is_some_and(|before| pair.gives_new_more_than(before));
        if rises && !self.is_intended(index, pair) {
            let message =
                format!("group {index} rose to {pair}, which this attempt never intended");
            broken.push(violation(Invariant::I1, message));
        }
        broken
    }

    /// Returns true if this attempt intended these weights for that group.
    fn is_intended(&self, index: usize, pair: WeightPair) -> bool {
        let Some(state) = &self.state else {
            return false;
        };
        match state.intended.get(&index) {
            Some(pairs) => pairs.contains(&pair),
            None => false,
        }
    }

    /// Takes a change of weights by somebody else, or the weights at the beginning.
    pub fn changed_by_others(&mut self, index: usize, pair: WeightPair) {
        self.world.insert(index, pair);
        self.foreign.insert(index);
    }

    /// Takes a change of a job by us that took effect.
    pub fn job_turned(&mut self, half: HalfId, on: bool) -> Violations {
        self.jobs.turned(half, on)
    }

    /// Takes the state of a job at the beginning.
    pub fn job_found(&mut self, half: HalfId, on: bool) {
        self.jobs.found(half, on);
    }

    /// Takes a change of a job by somebody else.
    pub fn job_changed_by_others(&mut self, half: HalfId, on: bool) {
        self.jobs.changed_by_others(half, on);
    }

    /// Checks the end of a run in which nothing fails any longer and everything had enough time.
    pub fn finished(&self) -> Violations {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let mut broken = self.jobs.finished(state);
        broken.extend(match state.phase {
            // A person may have adopted other weights than the last step's.
            Phase::Completed => self.all_at(state, "completed", |state, index| {
                Some(state.verified.as_ref()?.get(index)?.pair())
            }),
            Phase::Reverted if state.intended.is_empty() => Vec::new(),
            // Its weights are left as they were.
            Phase::Abandoned => Vec::new(),
            Phase::Reverted => self.all_at(state, "reverted", |state, index| {
                Some(state.baseline.as_ref()?.get(index)?.pair())
            }),
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted => self.waits_for_somebody(state),
        });
        broken.extend(self.unarmed(state));
        broken
    }

    /// I14: a cutover that has written does not wait for its start at another share than the baseline's.
    fn unarmed(&self, state: &State) -> Violations {
        if state.phase != Phase::Waiting || state.intended.is_empty() {
            return Vec::new();
        }
        let mut broken = Vec::new();
        for (index, pair) in &self.world {
            let wanted = state
                .baseline
                .as_ref()
                .and_then(|images| images.get(*index));
            if wanted.map(GroupImage::pair) != Some(*pair) {
                let message = format!("it waits for its start, but group {index} is at {pair}");
                broken.push(violation(Invariant::I14, message));
            }
        }
        broken
    }

    fn waits_for_somebody(&self, state: &State) -> Violations {
        let mut broken = Vec::new();
        if !state
            .held
            .iter()
            .any(|reason| reason.pages() || is_ours_or_asked(reason))
        {
            let message = format!(
                "it is {} and waits for nobody: {:?}",
                state.phase.label(),
                state.held
            );
            broken.push(violation(Invariant::I12, message));
        }
        for reason in &state.held {
            if reason.pages() && !self.paged.contains(&reason.subject()) {
                let message = format!("nobody was paged for {reason:?}");
                broken.push(violation(Invariant::I12, message));
            }
        }
        broken
    }

    fn all_at(
        &self,
        state: &State,
        phase: &str,
        wanted: impl Fn(&State, usize) -> Option<WeightPair>,
    ) -> Violations {
        let mut broken = Vec::new();
        for (index, pair) in &self.world {
            if !self.foreign.contains(index) && wanted(state, *index) != Some(*pair) {
                let message = format!("it has {phase}, but group {index} is at {pair}");
                broken.push(violation(Invariant::I10, message));
            }
        }
        broken
    }

    /// Returns the invariants that an entry breaks, given the state before it.
    fn against(&self, state: &State, entry: &Envelope) -> Violations {
        match &entry.event {
            Event::WeightChangeIntended {
                step,
                targets,
                perform_by,
                ..
            } => self.intended(state, *step, targets, *perform_by),
            Event::StepCompleted { step } => self.step_completed(state, *step, entry.at),
            Event::Completed { adopted: None }
                if !self.baked.contains(&state.plan().step_count()) =>
            {
                one(Invariant::I1, "it completed without the last bake")
            }
            Event::Completed { adopted: Some(_) }
                if state.astray().is_empty() && state.halt.is_none() =>
            {
                one(
                    Invariant::I1,
                    "it completed early, although nothing had drifted",
                )
            }
            Event::Reverted { cancelled: false } => self.reverted(state, entry.at),
            Event::Reverted { cancelled: true } if !state.intended.is_empty() => one(
                Invariant::I10,
                "it was cancelled after a write was intended",
            ),
            _ => Vec::new(),
        }
    }

    fn intended(
        &self,
        state: &State,
        step: u16,
        targets: &[Target],
        perform_by: Timestamp,
    ) -> Violations {
        let decided_at = perform_by - SENT_WITHIN;
        let goes_on = goes_on(state, step);
        let again = state.phase == Phase::Shifting && step == state.verified_step;
        let baked = step == 1 || goes_on || again || self.baked.contains(&(step - 1));
        // A step that has begun is finished in all its zones, even if an amended plan now asks for an approval.
        let approved = goes_on || approved(state, step);
        let in_window = in_its_window(state, step, decided_at);
        let advancing = matches!(
            state.phase,
            Phase::Waiting | Phase::Baking | Phase::Shifting
        );
        let pair = state.plan().step(step).map(|step| step.pair);
        let exact = targets.iter().all(|target| Some(target.to) == pair);
        let whole = zones_are_whole(state, targets);
        let claims = [
            (
                Invariant::I1,
                baked,
                "before the bake of the step before it",
            ),
            (Invariant::I1, state.paused.is_none(), "during a pause"),
            (Invariant::I1, state.halt.is_none(), "while halted"),
            (Invariant::I1, approved, "without its approval"),
            (Invariant::I1, in_window, "outside its window"),
            (Invariant::I8, state.drift.is_none(), "over a drift"),
            (
                Invariant::I4,
                state.rollback.is_none(),
                "after a rollback was requested",
            ),
            (Invariant::I6, advancing, "in a phase that takes no steps"),
            (Invariant::I1, exact, "with other weights than the plan's"),
            (Invariant::I9, whole, "for a part of a zone"),
        ];
        let mut broken = Vec::new();
        for (invariant, holds, message) in claims {
            if !holds {
                let message = format!("step {step} was intended {message}");
                broken.push(violation(invariant, message));
            }
        }
        broken
    }

    fn step_completed(&self, state: &State, step: u16, at: Timestamp) -> Violations {
        let running = self.bake.since.map(|since| at.duration_since(since));
        let counted = self.bake.counted + running.unwrap_or(SignedDuration::ZERO);
        let wanted = state.plan().step(step).map(|step| step.bake);
        if self.bake.skipped || wanted.is_some_and(|wanted| counted >= wanted) {
            return Vec::new();
        }
        let message = format!("step {step} completed after {counted:#} of {wanted:?}");
        vec![violation(Invariant::I1, message)]
    }

    fn reverted(&self, state: &State, at: Timestamp) -> Violations {
        let Some(revert) = &state.revert else {
            return one(Invariant::I10, "a revert ended that never began");
        };
        let Some(seen) = revert.baseline_seen else {
            return one(Invariant::I10, "the baseline was read only once");
        };
        let mut broken = Vec::new();
        if at.duration_since(seen) < READS_APART {
            let message = "the two confirming reads are less than 5 s apart".to_owned();
            broken.push(violation(Invariant::I10, message));
        }
        if let Some(write) = &state.write {
            let answered = write.targets.iter().all(|target| {
                matches!(
                    write.answers.get(&target.group),
                    Some(SendOutcome::Accepted | SendOutcome::Refused(..))
                )
            });
            if !answered && at < write.perform_by + MAY_LAND_FOR {
                let message = "a write of ours may still land".to_owned();
                broken.push(violation(Invariant::I10, message));
            }
        }
        broken.extend(self.all_at(state, "reverted", |state, index| {
            Some(state.baseline.as_ref()?.get(index)?.pair())
        }));
        broken
    }

    /// Returns true if a retry begins another attempt, or the last bake anew.
    fn leaves_its_phase(&self) -> bool {
        let phase = self.state.as_ref().map(|state| state.phase);
        matches!(phase, Some(Phase::Reverted | Phase::Halted))
    }

    /// Follows the bake clock.
    fn count(&mut self, entry: &Envelope) {
        match &entry.event {
            Event::BakeStarted { .. } => self.bake = BakeClock::default(),
            // Another attempt bakes all its steps, and after a halt the last one bakes again (semantics E5). The retry of
            // a hook changes no bake.
            Event::RetryRequested { .. } if self.leaves_its_phase() => {
                self.bake = BakeClock::default();
                self.baked.clear();
            }
            Event::GatesPassed {} => self.bake.since = Some(entry.at),
            Event::BakeCounted { until, running } => {
                if let Some(since) = self.bake.since {
                    self.bake.counted += until.duration_since(since).max(SignedDuration::ZERO);
                }
                self.bake.since = running.then_some(*until);
            }
            Event::BakeSkipDecided { skipped: true, .. } => self.bake.skipped = true,
            Event::StepCompleted { step } => {
                self.baked.insert(*step);
            }
            _ => {}
        }
    }

    fn note_pages(&mut self, entry: &Envelope) {
        if !self.is_page(entry.seq) {
            return;
        }
        match &entry.event {
            Event::StepHeld { because } => {
                let subjects = because.iter().map(HoldReason::subject);
                self.paged.extend(subjects);
            }
            Event::Halted { reason } => {
                let reason = reason.clone();
                self.paged.insert(HoldReason::Halted { reason }.subject());
            }
            _ => {}
        }
    }

    fn is_page(&self, seq: u64) -> bool {
        matches!(&self.state, Some(state) if state.pages.contains(&seq))
    }
}

/// Returns true if a hold ends by itself with time, was asked for by a person, or waits for another cutover or for a person
/// whom the fleet has paged ([`FleetChecker::finished`]).
fn is_ours_or_asked(reason: &HoldReason) -> bool {
    matches!(
        reason,
        HoldReason::Paused { .. }
            | HoldReason::Frozen { .. }
            | HoldReason::BudgetSpent { .. }
            | HoldReason::Dependency { .. }
            | HoldReason::FleetFull { .. }
            | HoldReason::TooFewRequests { .. }
            | HoldReason::MeasureNear { .. }
            | HoldReason::JobsFiring { .. }
            | HoldReason::JobsRunning { .. }
            | HoldReason::WindowShut {
                opens_at: Some(_),
                ..
            }
            | HoldReason::Settling { until: Some(_), .. }
            | HoldReason::Baking { until: Some(_), .. }
    )
}
