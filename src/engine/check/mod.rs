//! The invariants (`ARCHITECTURE.md`, I1 to I15), restated over the plan, the events, the readings and the world.
//!
//! Nothing here asks the code that it checks: verdicts, bakes and fences are derived anew from readings and entries.
//! Only the fold is shared, since the state is by definition the fold of the entries. Four callers: unit tests,
//! property tests, the simulator after every event, and the live loop, which looks at a decision with [`decision()`]
//! before it is journaled; [`Violation::halts`] is its answer.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a law speaks of a few events, and is silent on all others, future ones too"
)]

mod armed;
mod decision;
mod fleet;
mod jobs;
mod measures;

pub use decision::decision;
pub use fleet::FleetChecker;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::decide;
use super::event::{Envelope, Event, Target};
use super::fold;
use super::hold::{HaltReason, HoldReason};
use super::jobs::HalfId;
use super::record::GroupImage;
use super::state::{Answer, Phase, State};
use super::units::WeightPair;

/// The laws that hold at every moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The new side's share rises only after a whole bake, approved, unpaused, with every gate passing.
    I1,
    /// No group sums to zero, and both members are written together.
    I2,
    /// A failed gate makes a revert, or Halted with a page, in the same round.
    I3,
    /// Nothing that holds steps delays a revert.
    I4,
    /// Unknown is never a pass.
    I5,
    /// Killed anywhere and started again, it ends in the same place: the journal can always be read.
    I6,
    /// Several controllers end where one would.
    I7,
    /// Nobody else's change is overwritten, but by force.
    I8,
    /// All groups of a zone take a step in one batch.
    I9,
    /// A revert ends only when the baseline was read twice, a fence apart.
    I10,
    /// A finished world is quiet.
    I11,
    /// Every hold names what it waits for; if that is a person, it has paged.
    I12,
    /// A job runs on one side: old or new, never both by our hand.
    I13,
    /// Gates are armed from the moment a step's write may have been applied until the end. A share that this attempt did not
    /// verify is drift, never `waiting`.
    I14,
    /// Trouble in one stream stays there: that cutover is left alone and somebody is paged; all others go on.
    I15,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An invariant that does not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{invariant}: {message}")]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How it is broken.
    pub message: String,
}

impl Violation {
    /// The entry that halts the cutover and wakes somebody; none where it is over, going back or halted already, since
    /// nothing may stop a revert, and nothing more can be stopped in the others.
    pub fn halts(&self, state: &State) -> Option<Event> {
        let advances = match state.phase {
            Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking => true,
            Phase::Completed
            | Phase::Reverting
            | Phase::Reverted
            | Phase::Halted
            | Phase::Abandoned => false,
        };
        advances.then(|| Event::Halted {
            reason: HaltReason::Invariant {
                message: self.to_string(),
            },
        })
    }
}

/// The two reads that end a revert are at least this far apart (semantics A3).
const READS_APART: SignedDuration = SignedDuration::from_secs(5);

/// A write's deadline is this long after its decision (semantics A1).
const SENT_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// How far apart the looks at a window are that must stay open: no entry is finer than minutes, and no plan is.
const LOOKS_APART: SignedDuration = SignedDuration::from_mins(15);

/// A write may land this long after its deadline (semantics A3).
const MAY_LAND_FOR: SignedDuration = SignedDuration::from_secs(15);

/// Watches one cutover: is fed every entry and every write that took effect, and says what they break.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    state: Option<State>,
    world: BTreeMap<usize, WeightPair>,
    /// The groups that somebody else wrote last; where they stand is not ours to answer for.
    foreign: BTreeSet<usize>,
    bake: BakeClock,
    /// The steps of this attempt whose bake ended lawfully.
    baked: BTreeSet<u16>,
    paged: BTreeSet<HoldReason>,
    jobs: jobs::Jobs,
}

/// The bake clock, counted from the entries.
#[derive(Debug, Clone, Default)]
struct BakeClock {
    counted: SignedDuration,
    since: Option<Timestamp>,
    skipped: bool,
}

type Violations = Vec<Violation>;

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
            && !self.pages_wait_for(entry.seq)
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
        let meant = self.state.as_ref().is_some_and(|state| {
            let intended = state.intended.get(&index);
            intended.is_some_and(|pairs| pairs.contains(&pair))
        });
        if rises && !meant {
            let message =
                format!("group {index} rose to {pair}, which this attempt never intended");
            broken.push(violation(Invariant::I1, message));
        }
        broken
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

    /// Takes what a job is at the beginning.
    pub fn job_found(&mut self, half: HalfId, on: bool) {
        self.jobs.found(half, on);
    }

    /// Takes a change of a job by somebody else.
    pub fn job_changed_by_others(&mut self, half: HalfId, on: bool) {
        self.jobs.changed_by_others(half, on);
    }

    /// The end of a run in which nothing fails any more and everything had time: where does it stand?
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
            // Its weights are left where they were.
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

    /// I14: nothing that was ever written waits for its start at another share than the baseline's.
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
                let message = format!("it waits for its start, and group {index} is at {pair}");
                broken.push(violation(Invariant::I14, message));
            }
        }
        broken
    }

    fn waits_for_somebody(&self, state: &State) -> Violations {
        let names = |reason: &&HoldReason| reason.pages() || is_ours_or_asked(reason);
        let mut broken = Vec::new();
        if state.held.iter().find(names).is_none() {
            let message = format!(
                "it is {} and waits for nobody: {:?}",
                state.phase.label(),
                state.held
            );
            broken.push(violation(Invariant::I12, message));
        }
        for reason in state.held.iter().filter(|reason| reason.pages()) {
            if !self.paged.contains(&reason.subject()) {
                let message = format!("nobody was woken for {reason:?}");
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
        let astray = self
            .world
            .iter()
            .filter(|(index, _)| !self.foreign.contains(index))
            .filter(|(index, pair)| wanted(state, **index) != Some(**pair));
        astray
            .map(|(index, pair)| {
                violation(
                    Invariant::I10,
                    format!("it has {phase}, but group {index} is at {pair}"),
                )
            })
            .collect()
    }

    /// What an entry breaks, seen from the state before it.
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
        let mut broken = Vec::new();
        let mut claim = |invariant: Invariant, holds: bool, message: &str| {
            if !holds {
                let message = format!("step {step} was intended {message}");
                broken.push(violation(invariant, message));
            }
        };
        let goes_on = goes_on(state, step);
        let again = state.phase == Phase::Shifting && step == state.verified_step;
        let baked = step == 1 || goes_on || again || self.baked.contains(&(step - 1));
        claim(
            Invariant::I1,
            baked,
            "before the bake of the step before it",
        );
        claim(Invariant::I1, state.paused.is_none(), "during a pause");
        claim(Invariant::I1, state.halt.is_none(), "while halted");
        // Begun with it, a step is finished in all its zones, also where an amend asks for an approval meanwhile.
        let approved = goes_on || approved(state, step);
        claim(Invariant::I1, approved, "without its approval");
        claim(
            Invariant::I1,
            in_its_window(state, step, decided_at),
            "outside its window",
        );
        claim(Invariant::I8, state.drift.is_none(), "over a drift");
        claim(
            Invariant::I4,
            state.rollback.is_none(),
            "after a rollback was asked for",
        );
        let advancing = matches!(
            state.phase,
            Phase::Waiting | Phase::Baking | Phase::Shifting
        );
        claim(Invariant::I6, advancing, "in a phase that takes no steps");
        let pair = state.plan().step(step).map(|step| step.pair);
        let exact = targets.iter().all(|target| Some(target.to) == pair);
        claim(Invariant::I1, exact, "with other weights than the plan's");
        claim(
            Invariant::I9,
            zones_are_whole(state, targets),
            "for a part of a zone",
        );
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
        let landing = state.write.as_ref().filter(|write| {
            let sure = |answer: Option<&Answer>| {
                matches!(answer, Some(Answer::Accepted | Answer::Refused(..)))
            };
            let mut targets = write.targets.iter();
            !targets.all(|target| sure(write.answers.get(&target.group)))
        });
        if landing.is_some_and(|write| at < write.perform_by + MAY_LAND_FOR) {
            let message = "a write of ours may still land".to_owned();
            broken.push(violation(Invariant::I10, message));
        }
        broken.extend(self.all_at(state, "reverted", |state, index| {
            Some(state.baseline.as_ref()?.get(index)?.pair())
        }));
        broken
    }

    /// Whether a retry begins something anew: another attempt, or the last bake.
    fn leaves_its_phase(&self) -> bool {
        let phase = self.state.as_ref().map(|state| state.phase);
        matches!(phase, Some(Phase::Reverted | Phase::Halted))
    }

    /// Follows the bake clock.
    fn count(&mut self, entry: &Envelope) {
        match &entry.event {
            Event::BakeStarted { .. } => self.bake = BakeClock::default(),
            // Another attempt bakes all its steps, and after a halt the last one bakes again (semantics E5). A hook that is called
            // again changes no bake.
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
        if !self.pages_wait_for(entry.seq) {
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

    fn pages_wait_for(&self, seq: u64) -> bool {
        matches!(&self.state, Some(state) if state.pages.contains_key(&seq))
    }
}

/// Whether a hold ends by itself, by the passing of time, or because of what a person asked for; or waits for another
/// cutover, or for a person whom the fleet has paged ([`FleetChecker::finished`]).
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

/// Whether every group of a touched zone is moved, or is where the step takes it already.
fn zones_are_whole(state: &State, targets: &[Target]) -> bool {
    let Some(images) = state.verified.as_ref().or(state.baseline.as_ref()) else {
        return targets.len() == state.plan().records.len();
    };
    let Some(to) = targets.first().map(|target| target.to) else {
        return true;
    };
    let moved = |index: usize| targets.iter().any(|target| target.group == index);
    let touched = |image: &GroupImage| targets.iter().any(|target| target.zone == image.zone);
    images
        .iter()
        .enumerate()
        .all(|(index, image)| !touched(image) || moved(index) || image.pair() == to)
}

/// Whether a step has the approval that it needs, given for the step as it is now.
/// Whether a step is under way: some group has its weights, so that the others may follow whatever the clock says.
fn goes_on(state: &State, step: u16) -> bool {
    let pair = state.plan().step(step).map(|step| step.pair);
    let mut images = state.verified.iter().flatten();
    let moved = images.any(|image| Some(image.pair()) == pair);
    state.phase == Phase::Shifting && step == state.step && moved
}

/// I1: a bake counts only while every group was verified at the step's own weights.
fn at_its_share(state: &State) -> bool {
    let pair = state.plan().step(state.verified_step).map(|step| step.pair);
    let mut images = state.verified.iter().flatten();
    images.all(|image| Some(image.pair()) == pair)
}

fn approved(state: &State, number: u16) -> bool {
    let Some(step) = state.plan().step(number) else {
        return false;
    };
    let given = state.approvals.get(&number);
    let fits =
        given.map(|given| (given.pair, given.bake_secs)) == Some((step.pair, step.bake.as_secs()));
    !step.approval || fits
}

/// Whether the window is open for step `number`, by looking at what the wall shows. A step that was begun inside its
/// window is finished in all its zones.
fn in_its_window(state: &State, number: u16, at: Timestamp) -> bool {
    let Some(windows) = &state.plan().windows else {
        return true;
    };
    let goes_on = goes_on(state, number);
    if goes_on || !windows.whole_bake {
        return goes_on || windows.is_open(at);
    }
    let over = at + decide::watched(state, number);
    let mut look = at;
    while look < over {
        if !windows.is_open(look) {
            return false;
        }
        look += LOOKS_APART;
    }
    true
}

fn violation(invariant: Invariant, message: String) -> Violation {
    Violation { invariant, message }
}

fn one(invariant: Invariant, message: &str) -> Violations {
    vec![violation(invariant, message.to_owned())]
}
