//! The fleet's invariants, followed over the entries of all streams.

use std::collections::{BTreeMap, BTreeSet};

use cutover_engine::check::Invariant;
use cutover_engine::event::{Envelope, Event};
use cutover_engine::fleet;
use cutover_engine::hold::RevertCause;
use cutover_engine::ledger::{Ledger, Took};
use cutover_engine::state::{Phase, State};
use cutover_engine::units::{CutoverName, WriteId};
use jiff::Timestamp;

use super::violations::{Violations, one, violation};

/// A person's freeze of the fleet, if there is one.
#[derive(Debug, Clone, Copy, Default)]
enum Frozen {
    #[default]
    No,
    Until(Timestamp),
    UntilTold,
}

/// Watches a whole journal: takes every entry, in the order of the journal, and returns the fleet's violations: a step that
/// begins more cutovers than may be in flight, a step sent although it was journaled after the failure budget was spent, a
/// step during a freeze, a first step before the cutovers that it follows have completed, a write to a damaged stream (I15).
#[derive(Debug, Clone, Default)]
pub struct FleetChecker {
    ledger: Ledger,
    /// The actor who wrote the entry that damaged a stream.
    damaged_by: BTreeMap<CutoverName, String>,
    /// The damaged streams that `@fleet` has, each with its first unusable entry.
    told: BTreeSet<(CutoverName, u64)>,
    max_in_flight: Option<u32>,
    failure_budget: Option<u32>,
    frozen: Frozen,
    /// The reverts that nobody asked for and nobody has forgiven.
    reverts: BTreeSet<(CutoverName, u64)>,
    /// The steps that were journaled after the budget was spent. Their owner must notice that before it sends them.
    late: BTreeSet<(CutoverName, WriteId)>,
    paged: bool,
}

impl FleetChecker {
    /// A checker at the beginning of a journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry, of any stream.
    pub fn entry(&mut self, entry: &Envelope) -> Violations {
        if fleet::is_fleet(&entry.cutover) {
            self.own(entry);
            return Vec::new();
        }
        if self.ledger.is_damaged(&entry.cutover) {
            return self.behind(entry);
        }
        let broken = match &entry.event {
            Event::WeightChangeIntended { step, write_id, .. } => {
                if self.is_spent() {
                    self.late.insert((entry.cutover.clone(), write_id.clone()));
                }
                self.rises(entry, *step)
            }
            Event::WeightChangeSubmitted { write_id, .. }
            | Event::WeightsVerified { write_id, .. } => {
                let key = (entry.cutover.clone(), write_id.clone());
                if self.late.contains(&key) {
                    let message =
                        format!("{} took a step after the failure budget was spent", key.0);
                    return one(Invariant::I1, &message);
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.count(entry);
        match self.ledger.take(entry) {
            Took::Folded { .. } | Took::Fleet | Took::Behind => broken,
            Took::Known => one(Invariant::I6, "an entry has the number of an earlier one"),
            Took::Damages => self.damages(entry),
        }
    }

    /// Takes an entry that damages its stream. Another program may write such an entry; our own controllers may not.
    fn damages(&mut self, entry: &Envelope) -> Violations {
        let (name, actor) = (entry.cutover.clone(), entry.actor.clone());
        let newer = matches!(entry.event, Event::Unreadable { .. });
        let ours = actor.starts_with("controller ") && !newer;
        self.damaged_by.insert(name.clone(), actor);
        if let (true, Some(damage)) = (ours, self.ledger.fleet().damage(&name)) {
            return one(Invariant::I6, &damage.why);
        }
        Vec::new()
    }

    /// I15: only the actor who damaged a stream may go on writing to it, since it may be able to read it.
    fn behind(&mut self, entry: &Envelope) -> Violations {
        self.ledger.take(entry);
        if self.damaged_by.get(&entry.cutover) == Some(&entry.actor) {
            return Vec::new();
        }
        let message = format!(
            "{} wrote to the damaged stream of {}",
            entry.actor, entry.cutover
        );
        one(Invariant::I15, &message)
    }

    /// Checks the end of a run: a spent budget or a damaged stream has paged a person.
    pub fn finished(&self) -> Violations {
        for (name, damage) in self.ledger.fleet().damaged() {
            if !self.told.contains(&(name.clone(), damage.entry)) {
                let message = format!("nobody was paged for the damaged stream of {name}");
                return one(Invariant::I15, &message);
            }
        }
        if self.is_spent() && !self.paged {
            return one(Invariant::I12, "nobody was paged for the spent budget");
        }
        Vec::new()
    }

    /// Returns the number of cutovers between their first step and their end.
    pub fn in_flight(&self) -> usize {
        self.ledger
            .states()
            .filter(|state| is_in_flight(state))
            .count()
    }

    fn own(&mut self, entry: &Envelope) {
        match &entry.event {
            Event::FleetSettingsAccepted { settings, .. } => {
                self.max_in_flight = settings.max_in_flight;
                self.failure_budget = settings.failure_budget;
            }
            Event::FleetFrozen { until, .. } => {
                self.frozen = until.map_or(Frozen::UntilTold, Frozen::Until);
            }
            Event::FleetUnfrozen { .. } => self.frozen = Frozen::No,
            Event::FleetBudgetSpent { .. } => self.paged = true,
            Event::CutoverDamaged { of, entry, .. } => drop(self.told.insert((of.clone(), *entry))),
            Event::FleetResumed { forgiven, .. } => {
                self.reverts.retain(|(name, seq)| match forgiven.get(name) {
                    Some(up_to) => seq > up_to,
                    None => true,
                });
                self.paged = false;
            }
            _ => {}
        }
    }

    fn count(&mut self, entry: &Envelope) {
        let (Event::RevertIntended { cause, .. } | Event::RevertPerformedUnjournaled { cause, .. }) =
            &entry.event
        else {
            return;
        };
        let known = self.ledger.state(&entry.cutover);
        let going = known.is_some_and(|state| state.phase == Phase::Reverting);
        let asked = matches!(
            cause,
            RevertCause::Operator { .. } | RevertCause::LateWrite {}
        );
        if !asked && !going {
            self.reverts.insert((entry.cutover.clone(), entry.seq));
        }
    }

    fn is_spent(&self) -> bool {
        let budget = self
            .failure_budget
            .and_then(|most| usize::try_from(most).ok());
        budget.is_some_and(|most| self.reverts.len() >= most)
    }

    fn rises(&self, entry: &Envelope, step: u16) -> Violations {
        let thawed = match self.frozen {
            Frozen::No => true,
            Frozen::Until(until) => until <= entry.at,
            Frozen::UntilTold => false,
        };
        let mut claims = vec![(thawed, "while the fleet was frozen")];
        if let Some(state) = self.ledger.state(&entry.cutover)
            && state.phase == Phase::Waiting
        {
            let most = self
                .max_in_flight
                .and_then(|most| usize::try_from(most).ok());
            let free = most.is_none_or(|most| self.in_flight() < most);
            claims.push((free, "although the most allowed were in flight"));
            let due = state.plan().after.iter().all(|on| self.has_completed(on));
            claims.push((due, "before the cutovers that it follows had completed"));
        }
        let mut broken = Vec::new();
        for (holds, what) in claims {
            if !holds {
                let message = format!("step {step} of {} was taken {what}", entry.cutover);
                broken.push(violation(Invariant::I1, message));
            }
        }
        broken
    }

    /// Returns true if a cutover has completed and its stream is not damaged.
    fn has_completed(&self, name: &CutoverName) -> bool {
        let Some(state) = self.ledger.state(name) else {
            return false;
        };
        state.phase == Phase::Completed && !self.ledger.is_damaged(name)
    }
}

fn is_in_flight(state: &State) -> bool {
    match state.phase {
        Phase::Waiting | Phase::Completed | Phase::Reverted | Phase::Abandoned => false,
        Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Reverting => true,
        Phase::Halted => state.first_write.is_some(),
    }
}
