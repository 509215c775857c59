//! Decides many cutovers until none of them has anything left to journal, and journals their events together.
//!
//! In a turn each cutover is decided once. The events of all of them go into few appends, and each cutover that had
//! events is decided again in the next turn. So a thousand reverts are journaled in fifty appends and written together.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Controller;
use super::book::{self, Draft};
use super::observe::Seen;
use super::outside::ControllerError;
use super::round::decide_checked;
use crate::engine::decide::{Decision, Order, Purpose};
use crate::engine::event::Event;
use crate::engine::fleet;
use crate::engine::observation::{GroupReading, Observation};
use crate::engine::units::CutoverName;
use crate::ports::JournalError;

/// Largest number of decisions about one cutover in one round. It is never reached in practice.
const DECISIONS_MAX: usize = 20;

/// Largest number of times in one round that a cutover's append may fail because somebody else appended first
/// (semantics F1).
const RACES_MAX: usize = 5;

/// How long decisions are journaled before their orders are handed over. An intended write may be sent for 15 s, and a
/// journal on a slow disk must not use that up. Cutovers whose events were not journaled by then are decided again.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// An order, its cutover, and the epoch of the cutover's stream when the order was decided.
type Decided = (CutoverName, Order, u64);

/// A cutover that may still have something to journal in this round.
#[derive(Default)]
struct OpenCutover {
    decisions: usize,
    races: usize,
    /// The order to hand over, and the epoch of the stream when it was decided. A later entry by anybody else makes
    /// the order stale.
    order: Option<(Order, u64)>,
}

/// The events that a cutover wants to journal in this turn.
struct Proposal {
    draft: Draft,
    decision: Decision,
    at: Timestamp,
}

impl Proposal {
    fn reverts(&self) -> bool {
        self.decision.goes_back()
    }

    /// Returns true if the events give the cutover another plan.
    fn accepts(&self) -> bool {
        let mut events = self.draft.events.iter();
        events.any(|event| matches!(event, Event::PlanAccepted { .. }))
    }

    fn halts(&self) -> bool {
        let mut events = self.draft.events.iter();
        events.any(|event| matches!(event, Event::Halted { .. }))
    }
}

/// Does not count a decision against [`DECISIONS_MAX`], because it was not journaled.
fn unspent(open: &mut BTreeMap<CutoverName, OpenCutover>, name: &CutoverName) {
    if let Some(mine) = open.get_mut(name) {
        mine.decisions = mine.decisions.saturating_sub(1);
    }
}

impl Controller {
    /// Decides these cutovers until none has anything left to journal, and hands their orders to the zone writers.
    pub(super) async fn decide_until_quiet(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<(), ControllerError> {
        self.break_glass_for_starts(names, seen);
        let mut open: BTreeMap<CutoverName, OpenCutover> = BTreeMap::new();
        for name in names {
            open.insert(name.clone(), OpenCutover::default());
        }
        let mut orders: Vec<Decided> = Vec::new();
        let mut gathered_since = Instant::now();
        while !open.is_empty() {
            self.see_setbacks().await?;
            let proposals = self.propose_all(&mut open, seen, &mut orders);
            if gathered_since.elapsed() >= GATHER_FOR {
                self.hand_over(std::mem::take(&mut orders));
                gathered_since = Instant::now();
            }
            let left = self.journal_proposals(proposals, &mut open, seen).await?;
            for name in left {
                rest(&name, &mut open, seen, &mut orders);
            }
        }
        self.hand_over(orders);
        self.errands.begin();
        Ok(())
    }

    /// Decides each open cutover once. Cutovers without events are done for this round, and their orders are ready.
    fn propose_all(
        &mut self,
        open: &mut BTreeMap<CutoverName, OpenCutover>,
        seen: &mut Seen,
        orders: &mut Vec<Decided>,
    ) -> Vec<Proposal> {
        let mut proposals: Vec<Proposal> = Vec::new();
        let (mut slots, mut taken) = (self.book.fleet().free_slots(), false);
        let names: Vec<CutoverName> = open.keys().cloned().collect();
        for name in names {
            let (Some(observation), Some(mine)) = (seen.get_mut(&name), open.get_mut(&name)) else {
                open.remove(&name);
                continue;
            };
            let Some(proposal) = self.propose(&name, observation, mine) else {
                rest(&name, open, seen, orders);
                continue;
            };
            if !proposal.decision.fleet.is_empty() {
                // All of them saw the same free slots. After these have been given out, the other cutovers are decided
                // again.
                if slots == 0 && taken {
                    unspent(open, &name);
                    continue;
                }
                (slots, taken) = (slots.saturating_sub(1), true);
            }
            proposals.push(proposal);
        }
        // Reverts go first, because they need not wait for the journal. If it hangs, its two seconds are lost only
        // once.
        proposals.sort_by_key(|proposal| !proposal.reverts());
        proposals
    }

    /// Decides one cutover. Returns `None` if it has no events; its order, if it has one, is then in `mine`.
    fn propose(
        &mut self,
        name: &CutoverName,
        observation: &mut Observation,
        mine: &mut OpenCutover,
    ) -> Option<Proposal> {
        while mine.decisions < DECISIONS_MAX {
            mine.decisions += 1;
            self.drop_outdated(name, observation);
            // The clock may have jumped since the round began, so it is read again.
            observation.clock_skew = self.clock_skew();
            (observation.passed_at, observation.passed_for) = self.passed(name);
            let at = self.now();
            let state = self.book.state(name)?;
            let seq = state.seq;
            let decision = decide_checked(state, self.book.fleet(), observation, at);
            if decision.events.is_empty() {
                self.note_glance(name, &decision, observation, at);
                let epoch = self.performer.epoch(name);
                let order = decision.order.map(|order| (order, epoch));
                mine.order = mine.order.take().or(order);
                return None;
            }
            if self.starts(name, &decision) && !self.break_glass_first(name, &decision) {
                observation
                    .break_glass_error
                    .clone_from(&self.break_glass_error);
                continue;
            }
            let draft = Draft {
                fleet: decision.fleet.clone(),
                unless_moved: self.conditions(name, &decision),
                ..Draft::alone(name.clone(), seq, decision.events.clone())
            };
            return Some(Proposal {
                draft,
                decision,
                at,
            });
        }
        tracing::error!(
            cutover = %name,
            "decided {DECISIONS_MAX} times in one round without an end; it goes on in the next round"
        );
        None
    }

    /// Discards the readings of the groups if another controller has written to the stream since they were read: one of
    /// its writes may have changed the records in between.
    fn drop_outdated(&mut self, name: &CutoverName, observation: &mut Observation) {
        let Some(note) = self.notes.get(name) else {
            return;
        };
        if self.book.rival_seq(name) <= note.groups_read_after {
            return;
        }
        let mut groups = observation.groups.iter();
        if groups.any(|reading| !matches!(reading, GroupReading::NotRead)) {
            observation.groups.fill(GroupReading::NotRead);
            self.outdated.insert(name.clone());
        }
    }

    /// Journals proposals, many cutovers in one append, for about [`GATHER_FOR`] at most. The others are decided again.
    /// Returns the cutovers that are done for this round.
    async fn journal_proposals(
        &mut self,
        proposals: Vec<Proposal>,
        open: &mut BTreeMap<CutoverName, OpenCutover>,
        seen: &mut Seen,
    ) -> Result<Vec<CutoverName>, ControllerError> {
        let drafts = proposals.iter().map(|one| one.draft.clone()).collect();
        let (mut proposals, mut left) = (proposals.into_iter(), Vec::new());
        let began = Instant::now();
        for group in book::groups(drafts) {
            let now = self.now();
            let answers = self.book.append_group(now, &group).await;
            let group: Vec<Proposal> = proposals.by_ref().take(group.len()).collect();
            // The epochs are read before anything else: an entry that comes after the append makes its orders stale.
            let mut epochs = Vec::new();
            for proposal in &group {
                epochs.push(self.performer.epoch(&proposal.draft.name));
            }
            let steps = group.iter().any(|one| one.decision.takes_a_step());
            let stands = !steps || self.step_stands().await?;
            for ((answer, proposal), epoch) in answers.into_iter().zip(group).zip(epochs) {
                let name = proposal.draft.name.clone();
                let Some((mine, observation)) = open.get_mut(&name).zip(seen.get_mut(&name)) else {
                    continue;
                };
                if answer.is_ok() && !stands && proposal.decision.takes_a_step() {
                    self.note_head(&name);
                    self.take_back_unsent(&name, proposal.decision.order.as_ref());
                    continue;
                }
                let accepts = proposal.accepts();
                if !self.take_answer(proposal, answer, epoch, (mine, observation))? || accepts {
                    left.push(name.clone());
                }
                // The readings belong to the previous plan.
                if accepts {
                    seen.remove(&name);
                }
            }
            self.note_strangers();
            if began.elapsed() >= GATHER_FOR {
                break;
            }
        }
        for proposal in proposals {
            unspent(open, &proposal.draft.name);
        }
        Ok(left)
    }

    /// Returns the streams besides its own that a step depends on, each with its last entry: `@fleet`, and for a start
    /// those of the cutovers that it comes after. Empty if the decision takes no step.
    fn conditions(&self, name: &CutoverName, decision: &Decision) -> Vec<(CutoverName, u64)> {
        if !decision.takes_a_step() {
            return Vec::new();
        }
        let mut streams = vec![fleet::stream()];
        if let Some(state) = self.book.state(name)
            && !state.has_started()
        {
            // The cutover's own stream is a condition anyway; a plan that comes after itself is refused when it is
            // loaded.
            let after = state.plan().after.iter();
            streams.extend(after.filter(|other| *other != name).cloned());
        }
        let mut conditions = Vec::new();
        for stream in streams {
            let seq = self.book.seq(&stream);
            conditions.push((stream, seq));
        }
        conditions
    }

    /// Reads the journal if the fleet has a failure budget, so that reverts of other controllers count before anything
    /// is decided.
    async fn see_setbacks(&mut self) -> Result<(), ControllerError> {
        if self.book.fleet().settings.failure_budget.is_some() {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Handles the journal's answer to one proposal. Returns false if the cutover is done for this round.
    fn take_answer(
        &mut self,
        proposal: Proposal,
        answer: Result<(), JournalError>,
        epoch: u64,
        (mine, observation): (&mut OpenCutover, &mut Observation),
    ) -> Result<bool, ControllerError> {
        let (reverts, halts) = (proposal.reverts(), proposal.halts());
        let name = &proposal.draft.name;
        let journaled = answer.is_ok();
        match answer {
            Ok(()) => self.journal_answered(Ok(()))?,
            Err(JournalError::Conflict { .. }) => {
                mine.races += 1;
                return Ok(mine.races <= RACES_MAX);
            }
            Err(error) => {
                self.journal_answered(Err(error))?;
                // A revert never waits for the journal.
                let (at, events) = (proposal.at, &proposal.draft.events);
                if !self.book.fold_unjournaled(name, at, events) {
                    self.note_glance(name, &proposal.decision, observation, at);
                    return Ok(false);
                }
            }
        }
        self.note_head(name);
        if reverts || halts {
            self.performer.drop_queued(name);
            mine.order = None;
        }
        // Jobs and hooks are begun only if the intent is in the journal itself, not only in memory.
        if journaled {
            let prepared = self.prepare_errands(name, proposal.decision.errands);
            observation.beside.under_way.extend(prepared);
        }
        observation.beside.hushed |= self.book.is_unjournaled(name);
        if let Some(order) = proposal.decision.order {
            mine.order = Some((order, epoch));
            observation.in_flight = true;
        }
        Ok(true)
    }

    /// Hands orders to the writers of their zones, many together, so that they can be packed into few batches.
    fn hand_over(&mut self, mut orders: Vec<Decided>) {
        orders.sort_by_key(|(_, order, _)| order.purpose);
        let now = self.now();
        for (name, order, epoch) in orders {
            let Some(state) = self.book.state(&name) else {
                continue;
            };
            if self.book.is_damaged(&name) {
                continue; // The state that it was decided from may be wrong.
            }
            let label = match order.purpose {
                Purpose::Revert => format!("{name} revert #{}", state.seq),
                Purpose::Step | Purpose::Resubmit => {
                    format!("{name} step {} #{}", state.step, state.seq)
                }
            };
            self.performer.perform(
                &name,
                |group| state.plan().account_of_group(group).clone(),
                &order,
                epoch,
                &label,
                now,
            );
        }
    }
}

/// Ends a cutover's part in this round. Its order, if it has one, is added to `orders`.
fn rest(
    name: &CutoverName,
    open: &mut BTreeMap<CutoverName, OpenCutover>,
    seen: &mut Seen,
    orders: &mut Vec<Decided>,
) {
    let Some((order, epoch)) = open.remove(name).and_then(|mine| mine.order) else {
        return;
    };
    if let Some(observation) = seen.get_mut(name) {
        observation.in_flight = true;
        orders.push((name.clone(), order, epoch));
    }
}
