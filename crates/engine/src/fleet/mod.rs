//! The fleet: all cutovers of one journal, as far as they concern each other.
//!
//! The fleet is a fold of the whole journal. The `@fleet` stream has what people and `fleet.yaml` ask for: freezes,
//! limits and resumptions. The cutovers under way, the completed ones and the automatic reverts are derived from the
//! cutovers' own entries. So a revert never writes to `@fleet` and never waits for it. Entries of different streams may
//! be folded in any order, because `resume --fleet` names each revert that it forgives by its entry.

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

/// The label of [`Event::FleetBudgetSpent`].
const BUDGET_SPENT: &str = "fleet_budget_spent";

/// The name of the stream of the fleet's own entries. No cutover can have this name.
pub const FLEET_STREAM: &str = "@fleet";

/// Returns the name of the fleet's stream.
pub fn stream() -> CutoverName {
    CutoverName::from(FLEET_STREAM)
}

/// Returns true if a stream belongs to the whole fleet and not to one cutover.
pub fn is_fleet(stream: &CutoverName) -> bool {
    stream.as_str().starts_with('@')
}

/// A freeze of the fleet, which a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// The person who asked for the freeze.
    pub actor: String,
    /// The reason that the person gave.
    pub reason: String,
    /// The time at which it began.
    pub at: Timestamp,
    /// The time at which it ends. `None` if it lasts until a person ends it.
    pub until: Option<Timestamp>,
}

/// The progress of one cutover, for the cutovers that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// How far the cutover is.
    pub phase: Phase,
    /// The number of the step last intended; 0 before the first write and after a revert.
    pub step: u16,
    /// The number of its steps.
    pub steps: u16,
    /// The number of its last entry.
    pub seq: u64,
}

/// An automatic revert, which counts against the failure budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setback {
    /// The time of the entry that began it.
    at: Timestamp,
    /// True if a failed gate was the cause.
    gate: bool,
}

/// All cutovers of a journal, as far as they concern each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The number of the last entry of `@fleet`; 0 if there is none. Every step is conditional on it.
    pub seq: u64,
    /// The time of that entry. `None` if there is none.
    pub last_at: Option<Timestamp>,
    /// The limits in force.
    pub settings: FleetSettings,
    /// The path of the file that the limits came from. `None` if there was none.
    pub settings_path: Option<String>,
    /// The last freeze. `None` if a person ended it. It stays here after its time is over.
    pub freeze: Option<Freeze>,
    /// The time at which a person last resumed the fleet. `None` if nobody did.
    pub resumed_at: Option<Timestamp>,
    /// Why `@fleet` cannot be used. Then no step is taken; reverts and rollbacks still work. `None` if it can be used.
    pub trouble: Option<String>,
    /// The number of reverts when the spent budget was last journaled. `None` if it was not since the fleet was last
    /// resumed.
    announced: Option<usize>,
    /// The progress of each cutover.
    members: BTreeMap<CutoverName, Member>,
    /// The cutovers between their first step and their end.
    in_flight: BTreeSet<CutoverName>,
    /// The automatic reverts of each cutover that still count, by the number of the entry that began them.
    setbacks: BTreeMap<CutoverName, BTreeMap<u64, Setback>>,
    /// For each cutover, the number of the entry up to which its reverts no longer count.
    forgiven: BTreeMap<CutoverName, u64>,
    held: Holding,
    damaged: DamagedStreams,
}

impl Fleet {
    /// Folds an entry of `@fleet`. Never fails: an entry that cannot be used is recorded in [`Fleet::trouble`].
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

    /// Returns the pages that an entry of `@fleet` ends. Resuming the fleet ends the page about the spent budget.
    pub fn settles(&self, event: &Event) -> Vec<Paged> {
        if matches!(event, Event::FleetResumed { .. }) && self.announced.is_some() {
            return vec![Paged::Event(BUDGET_SPENT)];
        }
        Vec::new()
    }

    /// Folds a cutover's entry. `before` is the cutover's phase before the entry, `after` its state after it.
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

    /// Returns the progress of a cutover. `None` if the journal does not have it.
    pub fn member(&self, name: &CutoverName) -> Option<&Member> {
        self.members.get(name)
    }

    /// Returns the number of cutovers between their first step and their end.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the number of cutovers that may still start now.
    pub fn free_slots(&self) -> usize {
        let Some(max) = self.settings.max_in_flight else {
            return usize::MAX.saturating_sub(self.in_flight());
        };
        as_count(max).saturating_sub(self.in_flight())
    }

    /// Returns the number of automatic reverts since a person last resumed the fleet.
    pub fn setbacks(&self) -> usize {
        self.setbacks.values().map(BTreeMap::len).sum()
    }

    /// Returns the cutovers that were reverted automatically since a person last resumed the fleet.
    pub fn set_back(&self) -> impl Iterator<Item = &CutoverName> {
        self.setbacks.keys()
    }

    /// Returns the failure budget if it is spent. `None` if it is not spent, or if there is none.
    pub fn budget_spent(&self) -> Option<u32> {
        let budget = self.settings.failure_budget?;
        if self.setbacks() < as_count(budget) {
            return None;
        }
        Some(budget)
    }

    /// Returns the freeze that is in force at `now`. `None` if there is none.
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

    /// Returns an event if the budget is spent and that was not journaled yet.
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

    /// Removes the automatic reverts that no longer count.
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

/// Converts a limit to a count. A limit that does not fit is no limit.
fn as_count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Returns true if a cutover is between its first step and its end.
pub fn is_in_flight(state: &State) -> bool {
    let begun = state.has_started() || state.phase == Phase::Reverting;
    begun && !state.phase.is_final()
}

/// Returns `None` if a revert with this cause does not count against the failure budget; otherwise true if a failed
/// gate was the cause. A person's rollback does not count (semantics I4), nor does the revert of a late write, which
/// only finishes an earlier one.
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
