//! The fleet: all cutovers of one journal, as far as they concern each other.
//!
//! A fold of the whole journal. The `@fleet` stream says what people and `fleet.yaml` want (freeze, limits, resumption);
//! who is in flight, who has completed and how often something went back by itself is taken from the cutovers' own
//! entries, so that a revert never writes to, or waits for, `@fleet`. Entries of different streams may be taken in any
//! order: what `resume --fleet` forgives is named entry by entry.

pub mod commands;
mod damage;
mod held;
mod holds;
mod shared_fate;

pub use damage::Damage;
pub use held::HeldTogether;
pub use shared_fate::SharedFate;

use std::collections::{BTreeMap, BTreeSet};

use damage::Damaged;
use held::Held;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Envelope, Event};
use super::hold::RevertCause;
use super::paged::{Paged, Settled};
use super::plan::Notify;
use super::state::{Phase, State};
use super::units::CutoverName;

/// The label of the entry that says that the failure budget is spent.
const BUDGET_SPENT: &str = "fleet_budget_spent";

/// The stream that the fleet's own entries are in. No cutover can be called so.
pub const FLEET_STREAM: &str = "@fleet";

/// The name of the fleet's stream.
pub fn stream() -> CutoverName {
    CutoverName::from(FLEET_STREAM)
}

/// Whether a stream is about the whole fleet and not about a cutover.
pub fn is_fleet(stream: &CutoverName) -> bool {
    stream.as_str().starts_with('@')
}

/// What a fleet's file says about all cutovers together. A number that is not given is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSettings {
    /// How many cutovers may be between their first step and their end; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// After this many automatic reverts nothing advances until a person resumes the fleet; at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_budget: Option<u32>,
    /// Who is told about the fleet as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

impl FleetSettings {
    /// What satisfies both, where one journal serves directories with a file each.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        let least = |one: Option<u32>, two: Option<u32>| match (one, two) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self {
            max_in_flight: least(self.max_in_flight, other.max_in_flight),
            failure_budget: least(self.failure_budget, other.failure_budget),
            notify: self.notify.or(other.notify),
        }
    }
}

/// A person's freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// Until when; none until somebody unfreezes.
    pub until: Option<Timestamp>,
}

/// Where another cutover stands, as far as those that wait for it must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its phase.
    pub phase: Phase,
    /// The step last intended.
    pub step: u16,
    /// How many steps it has.
    pub steps: u16,
    /// Its last entry.
    pub seq: u64,
}

/// A revert that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setback {
    at: Timestamp,
    /// Whether a failed gate was the cause.
    gate: bool,
}

/// All cutovers of a journal, as far as they concern each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The last entry of `@fleet`; 0 where there is none. Every step is conditional on it.
    pub seq: u64,
    /// When that was.
    pub last_at: Option<Timestamp>,
    /// The limits in force.
    pub settings: FleetSettings,
    /// The file that they came from.
    pub settings_path: Option<String>,
    /// The freeze that was last asked for, if it was not ended; it may be over by now.
    pub freeze: Option<Freeze>,
    /// When a person last resumed the fleet.
    pub resumed_at: Option<Timestamp>,
    /// Entries of `@fleet` that page and whose pages are not known to be delivered.
    pub pages: BTreeMap<u64, Envelope>,
    /// The entries that settle what paged, and of which the fleet's command is not known to have been told.
    pub settled: BTreeMap<u64, Settled>,
    /// Why `@fleet` cannot be understood, if so: then nothing advances, and everything can still go back.
    pub trouble: Option<String>,
    /// How many reverts had been counted when the spent budget was last announced.
    announced: Option<usize>,
    members: BTreeMap<CutoverName, Member>,
    in_flight: BTreeSet<CutoverName>,
    setbacks: BTreeMap<CutoverName, BTreeMap<u64, Setback>>,
    /// Up to which entry a cutover's reverts no longer count.
    forgiven: BTreeMap<CutoverName, u64>,
    held: Held,
    damaged: Damaged,
}

impl Fleet {
    /// Takes an entry of `@fleet`. Never fails: an entry that makes no sense is noted as [`Fleet::trouble`].
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
        if entry.event.pages() {
            self.pages.insert(entry.seq, entry.clone());
        }
        let of = self.settles(&entry.event);
        let commanded = self.settings.notify.as_ref();
        if !of.is_empty() && commanded.is_some_and(|notify| !notify.command.is_empty()) {
            let entry = entry.clone();
            self.settled.insert(entry.seq, Settled { entry, of });
        }
        self.take_event(entry);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "everything else is an entry of a cutover, and out of place here whatever it is"
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
            Event::FleetHeld { reason, since, .. } => self.held.tell(entry, reason, *since),
            Event::CutoverDamaged {
                of, entry: of_it, ..
            } => {
                self.damaged.tell(entry.seq, of, *of_it);
            }
            Event::Unreadable { why } => self.trouble = Some(why.clone()),
            // Who is in flight is told by the cutovers' own entries, and this one only decides races; what a person had
            // written is for the record.
            Event::FleetSlotTaken { .. } | Event::DamagedTakenBack { .. } => {}
            Event::PageSent { of, .. } => {
                self.pages.remove(of);
                self.settled.remove(of);
            }
            other => {
                self.trouble = Some(format!(
                    "entry {} is a {}, which is a cutover's",
                    entry.seq,
                    other.label()
                ));
            }
        }
    }

    /// What an entry of `@fleet` settles of what it woke people for: whoever resumes the fleet gives it its budget back.
    pub fn settles(&self, event: &Event) -> Vec<Paged> {
        if matches!(event, Event::FleetResumed { .. }) && self.announced.is_some() {
            return vec![Paged::Event(BUDGET_SPENT)];
        }
        Vec::new()
    }

    /// Takes note of a cutover after one more of its entries; `before` is its phase before it.
    pub fn note(&mut self, entry: &Envelope, before: Option<Phase>, after: &State) {
        let turned = before != Some(Phase::Reverting) && after.phase == Phase::Reverting;
        let cause = after.revert.as_ref().map(|revert| &revert.cause);
        if let Some(gate) = cause.filter(|_| turned).and_then(setback) {
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

    /// Where another cutover stands; none where the journal does not know it.
    pub fn member(&self, name: &CutoverName) -> Option<&Member> {
        self.members.get(name)
    }

    /// How many cutovers are between their first step and their end.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// How many more may start now.
    pub fn free_slots(&self) -> usize {
        let most = |max: u32| usize::try_from(max).unwrap_or(usize::MAX);
        let max = self.settings.max_in_flight.map_or(usize::MAX, most);
        max.saturating_sub(self.in_flight())
    }

    /// How many automatic reverts there were since a person last resumed the fleet.
    pub fn setbacks(&self) -> usize {
        self.setbacks.values().map(BTreeMap::len).sum()
    }

    /// The cutovers that went back by themselves since then.
    pub fn set_back(&self) -> impl Iterator<Item = &CutoverName> {
        self.setbacks.keys()
    }

    /// The budget, if it is spent.
    pub fn budget_spent(&self) -> Option<u32> {
        let budget = self.settings.failure_budget?;
        let spent = self.setbacks() >= usize::try_from(budget).unwrap_or(usize::MAX);
        spent.then_some(budget)
    }

    /// The freeze, if it holds at `now`.
    pub fn frozen(&self, now: Timestamp) -> Option<&Freeze> {
        let holds = |freeze: &&Freeze| freeze.until.is_none_or(|until| now < until);
        self.freeze.as_ref().filter(holds)
    }

    /// What is to be appended to `@fleet` by whoever notices it first, and pages, once: that the budget is spent, that a
    /// cutover's stream is damaged, and that many wait for a person by what looks like one cause.
    pub fn news(&self) -> Option<Event> {
        self.spent_news()
            .or_else(|| self.damaged.news())
            .or_else(|| self.held_news())
    }

    fn held_news(&self) -> Option<Event> {
        let (together, since) = self.held.news()?;
        Some(Event::FleetHeld {
            reason: together.reason,
            services: together.services,
            named: together.named,
            since,
        })
    }

    fn spent_news(&self) -> Option<Event> {
        let budget = self.budget_spent()?;
        let known = usize::try_from(budget).unwrap_or(usize::MAX);
        if self.announced.is_some_and(|announced| announced >= known) {
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

/// Whether a cutover is between its first step and its end.
pub fn is_in_flight(state: &State) -> bool {
    let begun = state.has_started() || state.phase == Phase::Reverting;
    begun && !state.phase.is_final()
}

/// Whether a revert counts against the budget, and then whether a failed gate was its cause. What a person asked for
/// does not count (semantics I), nor what only finishes an earlier revert.
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
