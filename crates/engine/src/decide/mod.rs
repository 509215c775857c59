//! The decision: a pure function of the state (which carries the plan), what was seen, and the time.
//!
//! One call decides one thing. The round appends its events, folds them, and decides again until there are none. So a
//! cleared drift and the step that it held back happen in the same round.

mod active;
mod advance;
mod denied;
mod holds;
mod hooks;
mod jobs;
mod reverting;
mod shifting;
mod turn;
mod watching;

pub use denied::{ALARM_HISTORY, DESCRIBE_ALARMS, GET_CHANGE, METRIC_DATA, hold as denied_hold};
pub use jobs::JOB_WITHIN;
pub use turn::watched;
pub use watching::settle_time;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::evidence::number::Number;
use super::fleet::Fleet;
use super::hold::{HoldReason, RevertCause};
use super::hooks::{Hook, HookId};
use super::jobs::{JobHalf, JobSide};
use super::observation::{FileReading, GroupReading, Observation};
use super::preflight;
use super::record::{GroupImage, RecordSet};
use super::state::{Phase, State};
use super::units::{WeightPair, WriteId};

/// Entries to journal, and effects to perform once they are journaled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Facts to append, conditional on the state's `seq`.
    pub events: Vec<Event>,
    /// Facts for `@fleet`, in the same append.
    pub fleet: Vec<Event>,
    /// The write to send once they are appended.
    pub order: Option<Order>,
    /// Other effects once they are appended: changes of jobs, calls of hooks.
    pub errands: Vec<Errand>,
    /// The reasons why nothing moves; most urgent first.
    pub because: Vec<HoldReason>,
    /// The time at which to decide again if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// True if every gate passed at this reading.
    pub gates_pass: bool,
    /// The new side's share of the requests, in percent, if they are counted.
    pub observed_share: Option<Number>,
}

impl Decision {
    /// Returns true if the new side's share would rise. Only such a decision can be held by the fleet.
    pub fn takes_a_step(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::WeightChangeIntended { .. }))
    }

    /// Returns true if traffic would go back. The fleet never delays that.
    pub fn goes_back(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::RevertIntended { .. }))
    }
}

/// A write to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Identifies it in replies.
    pub write_id: WriteId,
    /// The purpose.
    pub purpose: Purpose,
    /// Each group's part; those of one zone go in one atomic batch.
    pub parts: Vec<Part>,
    /// The last moment at which it may be sent; none for a revert, which is never too late.
    pub send_by: Option<Timestamp>,
}

/// The purpose of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A revert; sent before all other writes.
    Revert,
    /// A step forward.
    Step,
    /// The unchanged images again, because the change id was lost.
    Resubmit,
}

/// One group's part of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The group's index in the plan.
    pub group: usize,
    /// The images that were read (for a swap) or that are written (for an upsert).
    pub image: GroupImage,
    /// The weights that are written.
    pub to: WeightPair,
    /// The kind of write.
    pub how: How,
}

/// The kind of write of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// DELETE of the exact image and CREATE of the same with the new weight.
    Swap,
    /// UPSERT of the image with the new weight.
    Upsert,
}

/// An effect other than a write of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Switches jobs of one side.
    Turn(TurnOrder),
    /// Calls a hook.
    Hook(Box<HookCall>),
}

/// A change of jobs to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnOrder {
    /// Identifies it in answers.
    pub turn_id: WriteId,
    /// The side.
    pub side: JobSide,
    /// True to switch them on, false to switch them off.
    pub on: bool,
    /// The jobs, by index, and how each is switched.
    pub halves: Vec<(usize, JobHalf)>,
    /// The last moment at which it may be sent.
    pub send_by: Timestamp,
}

/// A call of a hook to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// Identifies the hook.
    pub id: HookId,
    /// Identifies this try in answers.
    pub call_id: WriteId,
    /// The idempotency key: the same for every try.
    pub key: String,
    /// The number of the try, from 1.
    pub number: u32,
    /// True if the cutover goes on without the hook if this try fails.
    pub gives_up: bool,
    /// The hook as the plan has it.
    pub hook: Hook,
    /// The cause of the revert, if the hook is called at one.
    pub cause: Option<RevertCause>,
    /// The time of the decision.
    pub at: Timestamp,
}

/// The time for which an intended write may be sent (semantics A1).
pub const PERFORM_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// The least time between the two confirming reads of a revert (semantics A3).
pub const FENCE: SignedDuration = SignedDuration::from_secs(5);

/// The time after its deadline within which a lost write may still land (semantics A3).
pub const LATE: SignedDuration = SignedDuration::from_secs(15);

/// The time after the end of a revert for which the controller looks for a late write of its own (semantics A4).
pub const RESIDUE: SignedDuration = SignedDuration::from_secs(15 * 60);

/// The time within which a step must be verified in all zones (semantics A7), and a change be in sync (semantics A6).
pub const STEP_WITHIN: SignedDuration = SignedDuration::from_secs(10 * 60);

/// The interval at which groups are compared with the last verified images if nothing else needs them.
pub const DRIFT_CHECK_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// The time for which reads must have failed before a revert is written without them (semantics A5).
pub const BLIND_REVERT_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Decides one thing.
///
/// If [`Decision::takes_a_step`] is true, the caller appends the decision conditional on `@fleet` being at `fleet.seq`, and
/// a start also conditional on the streams that it waits for. No other decision has these conditions.
pub fn decide(state: &State, fleet: &Fleet, observation: &Observation, now: Timestamp) -> Decision {
    if let Some(damage) = fleet.damage(&state.name) {
        // The state is only the last known one: a newer version's controller may be at work (I15).
        return Decision {
            because: vec![damage.hold()],
            ..Decision::default()
        };
    }
    let at = now.max(state.last_at);
    let view = View {
        state,
        fleet,
        observation,
        now: at,
        clock: now,
    };
    let mut decision = match state.phase {
        Phase::Completed | Phase::Reverted => {
            reverting::asked_again(&view).unwrap_or_else(|| reverting::late_write(&view))
        }
        Phase::Reverting => reverting::decide(&view),
        // Nothing more is ever written.
        Phase::Abandoned => Decision::default(),
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => {
            active::decide(&view)
        }
    };
    // Weights first: jobs and hooks follow only if there is nothing to decide about the weights.
    if jobs::goes_back(state) && decision.events.is_empty() && decision.order.is_none() {
        beside_a_revert(&view, &mut decision);
    }
    if state.phase == Phase::Reverting {
        decision.because.extend(denied::holds(&view));
    }
    if let (Phase::Reverting, Some(fate)) = (state.phase, fleet.shared_fate_of(&state.name)) {
        decision.because.push(HoldReason::SharedFate {
            services: fate.services,
            named: fate.named,
            since: fate.since,
        });
    }
    decision.because.extend(name_used(state, &observation.file));
    decision.because.sort();
    decision.because.dedup();
    if decision.events.is_empty() && !state.phase.is_final() {
        decision
            .events
            .extend(holds::journal(state, &decision.because, at));
    }
    decision
}

/// Returns a hold if the plan file has the name of this finished cutover but is another plan (semantics L9).
pub fn name_used(state: &State, file: &FileReading) -> Option<HoldReason> {
    let FileReading::Plan(source) = file else {
        return None;
    };
    if !state.phase.is_final()
        || source.plan.name != state.name
        || source.digest == state.source.digest
    {
        return None;
    }
    Some(HoldReason::NameUsed {
        path: source.path.clone(),
        phase: state.phase,
        unresolved: state.write.is_some(),
    })
}

/// Takes the jobs back and calls hooks during a revert.
fn beside_a_revert(view: &View<'_>, decision: &mut Decision) {
    for more in [hooks::before_revert(view), jobs::back(view)] {
        if let Some(more) = more {
            decision.add(more);
        }
        if !decision.events.is_empty() {
            return;
        }
    }
}

/// Returns true if the plan's jobs must be read now by a process that last began to read them at `looked_at`.
pub fn wants_jobs(state: &State, looked_at: Option<Timestamp>, now: Timestamp) -> bool {
    jobs::wants_look(state, looked_at, now.max(state.last_at))
}

/// Returns true if the groups must be read before this cutover can be decided. `observation` need not hold groups yet.
pub fn wants_groups(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    let at = now.max(state.last_at);
    let due = observation
        .groups_read_at
        .is_none_or(|read_at| at.duration_since(read_at) >= DRIFT_CHECK_EVERY);
    wants_groups_if(due, state, fleet, observation, now)
}

/// Returns true if the groups must be read before this cutover can be decided, leaving aside the regular drift check.
pub fn wants_groups_at_once(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    wants_groups_if(false, state, fleet, observation, now)
}

/// Returns true if the groups must be read. `due` is true if it is time for the regular drift check.
fn wants_groups_if(
    due: bool,
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    if fleet.damage(&state.name).is_some() {
        return due; // For people to see.
    }
    let now = now.max(state.last_at);
    match state.phase {
        Phase::Completed | Phase::Abandoned => false,
        Phase::Reverted => {
            state.write.is_some() && now.duration_since(state.phase_since) <= RESIDUE
        }
        Phase::Reverting | Phase::Shifting => !observation.in_flight,
        // If a write was once intended, it may have landed after all (I14).
        Phase::Waiting if state.intended.is_empty() && !fleet.holds(state, now).is_empty() => false,
        Phase::Waiting | Phase::Settling | Phase::Baking | Phase::Halted => {
            let view = View {
                state,
                fleet,
                observation,
                now,
                clock: now,
            };
            due || state.drift.is_some() || active::wants_groups(&view)
        }
    }
}

/// The largest accepted difference between AWS's clock and this machine's (semantics D3).
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);

/// The largest accepted lag of a controller's clock behind the one that wrote the last entry (semantics D3).
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// The input of a decision.
struct View<'a> {
    state: &'a State,
    fleet: &'a Fleet,
    observation: &'a Observation,
    now: Timestamp,
    /// The time by this machine's clock; `now` is never before the last entry.
    clock: Timestamp,
}

impl View<'_> {
    /// Returns true if this machine's clock is behind the one that wrote the last entry.
    fn clock_went_back(&self) -> bool {
        self.state.last_at.duration_since(self.clock) > CLOCK_TOLERANCE
    }

    /// Returns true if this machine's wall clock was set since the last reading at which all gates passed: it moved on by
    /// another time than really passed. No bake is measured with it then, even if AWS's clock agrees with it.
    fn clock_was_set(&self) -> bool {
        let (Some(at), Some(really)) = (self.observation.passed_at, self.observation.passed_for)
        else {
            return false;
        };
        let by_wall = self.clock.duration_since(at);
        (by_wall - really).abs() > CLOCK_TOLERANCE
    }

    /// The time by AWS's clock, or `now` if its skew is not known.
    fn aws_now(&self) -> Timestamp {
        match self.observation.clock_skew {
            Some(skew) => self.clock.checked_add(skew).unwrap_or(self.now),
            None => self.now,
        }
    }

    /// An identifier for the write that the next entry intends: unique, because the append is conditional on `seq`.
    fn next_write_id(&self) -> WriteId {
        let State { attempt, seq, .. } = self.state;
        WriteId::from(format!("{attempt}-{}-{}", seq + 1, self.observation.me))
    }

    /// The time since `since`, for what is given up or reverted when it takes too long. It is measured by this machine's
    /// clock; if AWS or the journal contradicts that clock, it is no longer than by AWS's. A jump of the clock does not
    /// count.
    fn elapsed(&self, since: Timestamp) -> SignedDuration {
        let by_ours = self.now.duration_since(since);
        if !self.clock_went_back() && holds::skew(self).is_none() {
            return by_ours;
        }
        let by_aws = self.aws_now().duration_since(since);
        // A `since` so far ahead of AWS was written by a wrong clock, so only a wrong clock can measure from it.
        if by_aws < -SKEW_MAX * 2 {
            by_ours
        } else {
            by_aws.min(by_ours)
        }
    }

    /// The image of a group as read in this round; none if it was not read or is not complete.
    fn image(&self, index: usize) -> Option<GroupImage> {
        let group = self.state.plan().records.get(index)?;
        preflight::read_image(group, self.observation.groups.get(index)?).ok()
    }

    /// Returns true if a group was read in this round, whatever was found.
    fn was_read(&self, index: usize) -> bool {
        matches!(
            self.observation.groups.get(index),
            Some(GroupReading::Read { .. })
        )
    }

    /// Returns true if all groups were read in this round and are as last verified.
    fn all_as_verified(&self) -> bool {
        let Some(verified) = &self.state.verified else {
            return false;
        };
        verified
            .iter()
            .enumerate()
            .all(|(index, image)| self.image(index).as_ref() == Some(image))
    }

    /// Tells of groups that somebody else changed, and of those without both members what is there instead.
    fn drift_detected(&self, groups: BTreeMap<usize, Option<GroupImage>>) -> Event {
        let mut members = BTreeMap::new();
        for (index, image) in &groups {
            if image.is_none()
                && let Some(found) = self.members(*index)
            {
                members.insert(*index, found.to_vec());
            }
        }
        Event::DriftDetected { groups, members }
    }

    /// All records of a group's name and type, as read in this round or, if it was not read, as known.
    fn members(&self, index: usize) -> Option<&[RecordSet]> {
        if let Some(GroupReading::Read { members, .. }) = self.observation.groups.get(index) {
            return Some(members);
        }
        self.state.found.get(&index).map(Vec::as_slice)
    }

    fn groups(&self) -> usize {
        self.state.plan().records.len()
    }
}
