//! Deciding many cutovers until nothing more is to be said, and journaling what they say together.
//!
//! A turn decides each of them once; what all of them say goes into few appends, and whoever said something is asked
//! again in the next turn. So a thousand reverts are journaled in fifty appends and handed over together.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::book::{self, Draft};
use super::observe::Seen;
use super::round::lawful;
use super::{Controller, ControllerError};
use crate::engine::decide::{Decision, Order, Purpose};
use crate::engine::event::Event;
use crate::engine::fleet;
use crate::engine::observation::{GroupReading, Observation};
use crate::engine::units::CutoverName;
use crate::ports::JournalError;

/// How often one cutover is decided again in one round: a bound, not a number that is ever reached.
const DECISIONS_MAX: usize = 20;

/// How many lost races of the append one cutover may have in one round (semantics F1).
const RACES_MAX: usize = 5;

/// How long decisions are journaled before the orders among them are handed over: an intended write may be sent for
/// 15 s, which a journal on a slow disk must not use up. What is left is decided afresh.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// An order, whose it is, and who else had written to the stream when it was decided.
type Decided = (CutoverName, Order, u64);

/// A cutover that has not come to rest in this round.
#[derive(Default)]
struct Open {
    decisions: usize,
    races: usize,
    /// What is to be written, and who had written to the stream when that was decided: whoever writes after it makes
    /// it stale.
    order: Option<(Order, u64)>,
}

/// What a cutover says in this turn.
struct Turn {
    draft: Draft,
    decision: Decision,
    at: Timestamp,
}

impl Turn {
    fn reverts(&self) -> bool {
        self.decision.goes_back()
    }

    /// Whether the plan will be another one.
    fn accepts(&self) -> bool {
        let is_plan = |event: &Event| matches!(event, Event::PlanAccepted { .. });
        self.draft.events.iter().any(is_plan)
    }

    fn halts(&self) -> bool {
        let is_halt = |event: &Event| matches!(event, Event::Halted { .. });
        self.draft.events.iter().any(is_halt)
    }
}

/// A decision that was not journaled does not count against the bound.
fn unspent(open: &mut BTreeMap<CutoverName, Open>, name: &CutoverName) {
    if let Some(mine) = open.get_mut(name) {
        mine.decisions = mine.decisions.saturating_sub(1);
    }
}

impl Controller {
    /// Decides these cutovers until each is at rest, and hands over what is to be written.
    pub(super) async fn settle_all(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<(), ControllerError> {
        self.break_glass_for_starts(names, seen);
        let fresh = |name: &CutoverName| (name.clone(), Open::default());
        let mut open: BTreeMap<CutoverName, Open> = names.iter().map(fresh).collect();
        let mut orders: Vec<Decided> = Vec::new();
        let mut gathered_since = Instant::now();
        while !open.is_empty() {
            self.see_setbacks().await?;
            let turns = self.take_turns(&mut open, seen, &mut orders);
            if gathered_since.elapsed() >= GATHER_FOR {
                self.hand_over(std::mem::take(&mut orders));
                gathered_since = Instant::now();
            }
            let left = self.journal_turns(turns, &mut open, seen).await?;
            for name in left {
                rest(&name, &mut open, seen, &mut orders);
            }
        }
        self.hand_over(orders);
        self.errands.begin();
        Ok(())
    }

    /// Decides each of them once. Those that have nothing to say are at rest, and their orders are ready.
    fn take_turns(
        &mut self,
        open: &mut BTreeMap<CutoverName, Open>,
        seen: &mut Seen,
        orders: &mut Vec<Decided>,
    ) -> Vec<Turn> {
        let mut turns: Vec<Turn> = Vec::new();
        let (mut slots, mut taken) = (self.book.fleet().free_slots(), false);
        let names: Vec<CutoverName> = open.keys().cloned().collect();
        for name in names {
            let decided = seen
                .get_mut(&name)
                .zip(open.get_mut(&name))
                .map(|(observation, mine)| self.take_turn(&name, observation, mine));
            match decided {
                // All of them saw the same free slots; who comes too late for one decides again when they are taken.
                Some(Some(turn)) if slots == 0 && taken && !turn.decision.fleet.is_empty() => {
                    unspent(open, &name);
                }
                Some(Some(turn)) => {
                    if !turn.decision.fleet.is_empty() {
                        (slots, taken) = (slots.saturating_sub(1), true);
                    }
                    turns.push(turn);
                }
                Some(None) => rest(&name, open, seen, orders),
                None => drop(open.remove(&name)),
            }
        }
        // A journal that hangs costs its two seconds once, and the first to find out must be who need not wait for it.
        turns.sort_by_key(|turn| !turn.reverts());
        turns
    }

    /// Decides one cutover. None: it is at rest, with the order in `mine` if there is one.
    fn take_turn(
        &mut self,
        name: &CutoverName,
        observation: &mut Observation,
        mine: &mut Open,
    ) -> Option<Turn> {
        while mine.decisions < DECISIONS_MAX {
            mine.decisions += 1;
            self.drop_outdated(name, observation);
            // The clock may have jumped since the round began, and now is asked of it again.
            observation.clock_skew = self.clock_skew();
            (observation.passed_at, observation.passed_for) = self.passed(name);
            let at = self.now();
            let state = self.book.state(name)?;
            let seq = state.seq;
            let decision = lawful(state, self.book.fleet(), observation, at);
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
            return Some(Turn {
                draft,
                decision,
                at,
            });
        }
        tracing::error!(cutover = %name, "a round did not come to rest; it goes on in the next one");
        None
    }

    /// What was read before another controller wrote says nothing about what that one has done since: a write of its own
    /// may have landed in between.
    fn drop_outdated(&mut self, name: &CutoverName, observation: &mut Observation) {
        let read_after = self.notes.get(name).map(|note| note.groups_read_after);
        let is_read = |reading: &GroupReading| !matches!(reading, GroupReading::NotRead);
        let outdated = read_after.is_some_and(|seq| self.book.rival_seq(name) > seq);
        if outdated && observation.groups.iter().any(is_read) {
            observation.groups.fill(GroupReading::NotRead);
            self.outdated.insert(name.clone());
        }
    }

    /// Journals what was said, many cutovers in an append, for a while; who was not heard is asked again. Returns those
    /// that are to be left alone in this round.
    async fn journal_turns(
        &mut self,
        turns: Vec<Turn>,
        open: &mut BTreeMap<CutoverName, Open>,
        seen: &mut Seen,
    ) -> Result<Vec<CutoverName>, ControllerError> {
        let drafts = turns.iter().map(|turn| turn.draft.clone()).collect();
        let (mut turns, mut left) = (turns.into_iter(), Vec::new());
        let began = Instant::now();
        for group in book::groups(drafts) {
            let now = self.now();
            let answers = self.book.append_group(now, &group).await;
            let group: Vec<Turn> = turns.by_ref().take(group.len()).collect();
            // Whoever writes after the append makes an order of it stale, also if that is read right away.
            let epoch = |turn: &Turn| self.performer.epoch(&turn.draft.name);
            let epochs: Vec<u64> = group.iter().map(epoch).collect();
            let steps = group.iter().any(|turn| turn.decision.takes_a_step());
            let stands = !steps || self.step_stands().await?;
            for ((answer, turn), epoch) in answers.into_iter().zip(group).zip(epochs) {
                let name = turn.draft.name.clone();
                let Some((mine, observation)) = open.get_mut(&name).zip(seen.get_mut(&name)) else {
                    continue;
                };
                if answer.is_ok() && !stands && turn.decision.takes_a_step() {
                    self.note_head(&name);
                    self.take_back_unsent(&name, turn.decision.order.as_ref());
                    continue;
                }
                let accepts = turn.accepts();
                if !self.turn_answered(turn, answer, epoch, (mine, observation))? || accepts {
                    left.push(name.clone());
                }
                // What was read, was read for the plan before.
                if accepts {
                    seen.remove(&name);
                }
            }
            self.note_strangers();
            if began.elapsed() >= GATHER_FOR {
                break;
            }
        }
        for turn in turns {
            unspent(open, &turn.draft.name);
        }
        Ok(left)
    }

    /// What a step depends on besides its own stream: the fleet, and for a start what it comes after.
    fn conditions(&self, name: &CutoverName, decision: &Decision) -> Vec<(CutoverName, u64)> {
        if !decision.takes_a_step() {
            return Vec::new();
        }
        let stands = |stream: CutoverName| {
            let seq = self.book.seq(&stream);
            (stream, seq)
        };
        let state = self.book.state(name);
        let starting = state.filter(|state| !state.has_started());
        let after = starting.map_or_else(Vec::new, |state| state.plan().after.clone());
        // Its own stream is a condition anyway; a plan that comes after itself is refused where it is loaded.
        let others = after.into_iter().filter(|other| other != name);
        std::iter::once(fleet::stream())
            .chain(others)
            .map(stands)
            .collect()
    }

    /// Where the fleet has a failure budget, what others had to take back counts before anything is decided.
    async fn see_setbacks(&mut self) -> Result<(), ControllerError> {
        if self.book.fleet().settings.failure_budget.is_some() {
            self.refresh().await?;
        }
        Ok(())
    }

    /// Takes what the journal said to one cutover's turn; false if it is to be left alone in this round.
    fn turn_answered(
        &mut self,
        turn: Turn,
        answer: Result<(), JournalError>,
        epoch: u64,
        (mine, observation): (&mut Open, &mut Observation),
    ) -> Result<bool, ControllerError> {
        let (name, reverts, halts) = (&turn.draft.name, turn.reverts(), turn.halts());
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
                if !self.book.shadow(name, turn.at, &turn.draft.events) {
                    self.note_glance(name, &turn.decision, observation, turn.at);
                    return Ok(false);
                }
            }
        }
        self.note_head(name);
        if reverts || halts {
            self.performer.drop_queued(name);
            mine.order = None;
        }
        // Only what the journal itself has taken is begun beside the weights.
        if journaled {
            let prepared = self.prepare_errands(name, turn.decision.errands);
            observation.beside.under_way.extend(prepared);
        }
        observation.beside.hushed |= self.book.is_shadowed(name);
        if let Some(order) = turn.decision.order {
            mine.order = Some((order, epoch));
            observation.in_flight = true;
        }
        Ok(true)
    }

    /// Hands orders to the writers of their zones: many together, so that they can be packed into few batches.
    fn hand_over(&mut self, mut orders: Vec<Decided>) {
        orders.sort_by_key(|(_, order, _)| order.purpose);
        let now = self.now();
        for (name, order, epoch) in orders {
            let Some(state) = self.book.state(&name) else {
                continue;
            };
            if self.book.is_damaged(&name) {
                continue; // What it was decided from is no longer known to be so.
            }
            let label = match order.purpose {
                Purpose::Revert => format!("{name} revert #{}", state.seq),
                Purpose::Step | Purpose::Resubmit => {
                    format!("{name} step {} #{}", state.step, state.seq)
                }
            };
            let account_of = |group| state.plan().account_of_group(group).clone();
            self.performer
                .perform(&name, account_of, &order, epoch, &label, now);
        }
    }
}

/// One cutover is done for this round; its order is ready, if it has one.
fn rest(
    name: &CutoverName,
    open: &mut BTreeMap<CutoverName, Open>,
    seen: &mut Seen,
    orders: &mut Vec<Decided>,
) {
    let order = open.remove(name).and_then(|mine| mine.order);
    if let Some(((order, epoch), observation)) = order.zip(seen.get_mut(name)) {
        observation.in_flight = true;
        orders.push((name.clone(), order, epoch));
    }
}
