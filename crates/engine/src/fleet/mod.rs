//! The fleet: all cutovers of one journal, as far as they concern each other.
//!
//! A fold of the whole journal. The `@fleet` stream has the wishes of people and of `fleet.yaml` (freeze, limits,
//! resumption). The cutovers in flight, the completed ones and the automatic reverts are taken from the cutovers' own
//! entries, so that a revert never writes to, or waits for, `@fleet`. Entries of different streams may be taken in any
//! order: `resume --fleet` names each revert that it forgives by its entry.

pub mod commands;
mod damage;
mod held;
mod holds;
pub(crate) mod settings;
pub(crate) mod shared_fate;
mod together;

pub use damage::Damage;
pub use held::HeldTogether;
pub use settings::FleetSettings;
pub use shared_fate::SharedFate;

use std::collections::{BTreeMap, BTreeSet};

use damage::DamagedStreams;
use held::Holding;
use jiff::Timestamp;

use super::event::{Envelope, Event};
use super::hold::RevertCause;
use super::paged::Paged;
use super::state::{Phase, State};
use super::units::CutoverName;

/// The label of the event that the failure budget is spent.
const BUDGET_SPENT: &str = "fleet_budget_spent";

/// The stream of the fleet's own entries. No cutover can have this name.
pub const FLEET_STREAM: &str = "@fleet";

/// The name of the fleet's stream.
pub fn stream() -> CutoverName {
    CutoverName::from(FLEET_STREAM)
}

/// Returns true if a stream belongs to the whole fleet and not to a cutover.
pub fn is_fleet(stream: &CutoverName) -> bool {
    stream.as_str().starts_with('@')
}

/// A person's freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// The person.
    pub actor: String,
    /// The reason given.
    pub reason: String,
    /// The beginning.
    pub at: Timestamp,
    /// The end; none until somebody unfreezes.
    pub until: Option<Timestamp>,
}

/// The progress of another cutover, for those that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its phase.
    pub phase: Phase,
    /// The step last intended.
    pub step: u16,
    /// The number of its steps.
    pub steps: u16,
    /// Its last entry.
    pub seq: u64,
}

/// An automatic revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setback {
    at: Timestamp,
    /// True if a failed gate was the cause.
    gate: bool,
}

/// All cutovers of a journal, as far as they concern each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The last entry of `@fleet`; 0 if there is none. Every step is conditional on it.
    pub seq: u64,
    /// The time of that entry.
    pub last_at: Option<Timestamp>,
    /// The limits in force.
    pub settings: FleetSettings,
    /// The file that they came from.
    pub settings_path: Option<String>,
    /// The last freeze, if nobody ended it; its time may be over by now.
    pub freeze: Option<Freeze>,
    /// The time at which a person last resumed the fleet.
    pub resumed_at: Option<Timestamp>,
    /// Why `@fleet` cannot be used, if it cannot: then nothing advances; reverts and rollbacks still work.
    pub trouble: Option<String>,
    /// The number of reverts when the spent budget was last journaled.
    announced: Option<usize>,
    members: BTreeMap<CutoverName, Member>,
    in_flight: BTreeSet<CutoverName>,
    setbacks: BTreeMap<CutoverName, BTreeMap<u64, Setback>>,
    /// The entry of each cutover up to which its reverts no longer count.
    forgiven: BTreeMap<CutoverName, u64>,
    held: Holding,
    damaged: DamagedStreams,
}

impl Fleet {
    /// Takes an entry of `@fleet`. Never fails: an unusable entry is noted as [`Fleet::trouble`].
    pub fn take(&mut self, entry: &Envelope) {
        if entry.seq <= self.seq {
            return;
        }
        if entry.seq != self.seq + 1 {
            self.trouble = Some(format!("entry {} follows entry {}", entry.seq, self.seq));
        }
        self.seq = entry.seq;
        if let Some(why) = entry.unbelievable() {
            self.trouble = Some(why);
            return;
        }
        self.last_at = self.last_at.max(Some(entry.at));
        self.take_event(entry);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "everything else is an entry of a cutover and does not belong here"
    )]
    fn take_event(&mut self, entry: &Envelope) {
        match &entry.event {
            Event::FleetSettingsAccepted { settings, path } => {
                self.settings = settings.clone();
                self.settings_path = Some(path.clone());
            }
            Event::FleetFrozen { until, reason } => {
                self.freeze = Some(Freeze {
                    actor: entry.actor.clone(),
                    reason: reason.clone(),
                    at: entry.at,
                    until: *until,
                });
            }
            Event::FleetUnfrozen { .. } => self.freeze = None,
            Event::FleetResumed { forgiven, .. } => {
                for (name, seq) in forgiven {
                    let up_to = self.forgiven.entry(name.clone()).or_default();
                    *up_to = (*up_to).max(*seq);
                }
                self.forget_forgiven();
                self.resumed_at = Some(entry.at);
                self.announced = None;
            }
            Event::FleetBudgetSpent { spent, .. } => self.announced = Some(*spent),
            Event::CutoverDamaged {
                of, entry: of_it, ..
            } => {
                self.damaged.tell(entry.seq, of, *of_it);
            }
            Event::Unreadable { why } => self.trouble = Some(why.clone()),
            // The cutovers in flight follow from their own entries, and a taken slot only decides races; a write to a
            // damaged cutover's records is kept for the record only. Older versions wrote the pages.
            Event::FleetSlotTaken { .. }
            | Event::DamagedTakenBack { .. }
            | Event::FleetHeld { .. }
            | Event::PageSent { .. } => {}
            other => {
                self.trouble = Some(format!(
                    "entry {} is a {}, which is a cutover's",
                    entry.seq,
                    other.label()
                ));
            }
        }
    }

    /// Returns the pages that an entry of `@fleet` ends: resuming the fleet ends the page for the spent budget.
    pub fn settles(&self, event: &Event) -> Vec<Paged> {
        if matches!(event, Event::FleetResumed { .. }) && self.announced.is_some() {
            return vec![Paged::Event(BUDGET_SPENT)];
        }
        Vec::new()
    }

    /// Takes a cutover's entry; `before` is its phase before it, `after` its state after it.
    pub fn note(&mut self, entry: &Envelope, before: Option<Phase>, after: &State) {
        let turned = before != Some(Phase::Reverting) && after.phase == Phase::Reverting;
        if turned
            && let Some(revert) = &after.revert
            && let Some(gate) = setback(&revert.cause)
        {
            let counted = self.forgiven.get(&after.name).copied().unwrap_or(0);
            if entry.seq > counted {
                let setback = Setback { at: entry.at, gate };
                let of = self.setbacks.entry(after.name.clone()).or_default();
                of.insert(entry.seq, setback);
            }
        }
        self.held.note(entry, after);
        if is_in_flight(after) {
            self.in_flight.insert(after.name.clone());
        } else {
            self.in_flight.remove(&after.name);
        }
        let member = Member {
            phase: after.phase,
            step: after.step,
            steps: after.plan().step_count(),
            seq: after.seq,
        };
        self.members.insert(after.name.clone(), member);
    }

    /// The progress of another cutover; none if the journal does not have it.
    pub fn member(&self, name: &CutoverName) -> Option<&Member> {
        self.members.get(name)
    }

    /// The number of cutovers between their first step and their end.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The number of cutovers that may still start now.
    pub fn free_slots(&self) -> usize {
        let Some(max) = self.settings.max_in_flight else {
            return usize::MAX.saturating_sub(self.in_flight());
        };
        as_count(max).saturating_sub(self.in_flight())
    }

    /// The number of automatic reverts since a person last resumed the fleet.
    pub fn setbacks(&self) -> usize {
        self.setbacks.values().map(BTreeMap::len).sum()
    }

    /// The cutovers that were reverted automatically since then.
    pub fn set_back(&self) -> impl Iterator<Item = &CutoverName> {
        self.setbacks.keys()
    }

    /// The budget, if it is spent.
    pub fn budget_spent(&self) -> Option<u32> {
        let budget = self.settings.failure_budget?;
        if self.setbacks() < as_count(budget) {
            return None;
        }
        Some(budget)
    }

    /// The freeze, if it holds at `now`.
    pub fn frozen(&self, now: Timestamp) -> Option<&Freeze> {
        let freeze = self.freeze.as_ref()?;
        if freeze.until.is_some_and(|until| until <= now) {
            return None;
        }
        Some(freeze)
    }

    /// Returns the next event to append to `@fleet`, once, by the first controller that notices it. Both page: the budget is
    /// spent, or a cutover's stream is damaged.
    pub fn news(&self) -> Option<Event> {
        self.spent_news().or_else(|| self.damaged.news())
    }

    fn spent_news(&self) -> Option<Event> {
        let budget = self.budget_spent()?;
        if self
            .announced
            .is_some_and(|announced| announced >= as_count(budget))
        {
            return None;
        }
        Some(Event::FleetBudgetSpent {
            spent: self.setbacks(),
            budget,
            reverted: self.set_back().take(NAMED_MAX).cloned().collect(),
            shared: self.shared_fate(),
        })
    }

    fn forget_forgiven(&mut self) {
        for (name, up_to) in &self.forgiven {
            if let Some(of) = self.setbacks.get_mut(name) {
                of.retain(|seq, _| seq > up_to);
            }
        }
        self.setbacks.retain(|_, of| !of.is_empty());
    }
}

pub use super::lists::NAMED_MAX;

/// A limit as a count; one that does not fit is no limit.
fn as_count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Returns true if a cutover is between its first step and its end.
pub fn is_in_flight(state: &State) -> bool {
    let begun = state.has_started() || state.phase == Phase::Reverting;
    begun && !state.phase.is_final()
}

/// Returns none if a revert does not count against the budget, and otherwise true if a failed gate was its cause. A person's
/// rollback does not count (semantics I), nor does a revert that only finishes an earlier one.
fn setback(cause: &RevertCause) -> Option<bool> {
    match cause {
        RevertCause::AlarmRed { .. }
        | RevertCause::AlarmFlapped { .. }
        | RevertCause::MeasureBeyond { .. }
        | RevertCause::Worse { .. } => Some(true),
        RevertCause::UnknownTooLong { .. }
        | RevertCause::StepFailed { .. }
        | RevertCause::ApprovalTimeout { .. }
        | RevertCause::HookFailed { .. } => Some(false),
        RevertCause::Operator { .. } | RevertCause::LateWrite {} => None,
    }
}
