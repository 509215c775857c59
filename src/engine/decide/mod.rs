//! The decision: a pure function of the state (which carries the plan), what was seen, and the time.
//!
//! One call decides one thing. The round appends its events, folds them, and asks again until there are none; so a
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

/// What is to be journaled, and then done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Facts to append, conditional on the state's `seq`.
    pub events: Vec<Event>,
    /// Facts for `@fleet`, in the same append.
    pub fleet: Vec<Event>,
    /// What to write once they are appended; at most one order.
    pub order: Option<Order>,
    /// What else to do once they are appended: changes of jobs, calls of hooks.
    pub errands: Vec<Errand>,
    /// Why nothing moves; most urgent first.
    pub because: Vec<HoldReason>,
    /// When to decide again if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// Whether this was a reading at which every gate passed.
    pub gates_pass: bool,
    /// The new side's share of the requests, in percent, where they are counted.
    pub observed_share: Option<Number>,
}

impl Decision {
    /// Whether the new side's share would rise: what the fleet has a say in.
    pub fn takes_a_step(&self) -> bool {
        let intends = |event: &Event| matches!(event, Event::WeightChangeIntended { .. });
        self.events.iter().any(intends)
    }

    /// Whether traffic would go back, which nothing about the fleet ever delays.
    pub fn goes_back(&self) -> bool {
        let reverts = |event: &Event| matches!(event, Event::RevertIntended { .. });
        self.events.iter().any(reverts)
    }
}

/// A write to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Identifies it in replies.
    pub write_id: WriteId,
    /// What it is for.
    pub purpose: Purpose,
    /// Each group's part; those of one zone go in one atomic batch.
    pub parts: Vec<Part>,
    /// The last moment at which it may be sent; none for a revert, which is never too late.
    pub send_by: Option<Timestamp>,
}

/// What a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The way back; goes before everything else.
    Revert,
    /// A step forward.
    Step,
    /// The same images once more, for a change id that was lost.
    Resubmit,
}

/// One group's part of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The group's index in the plan.
    pub group: usize,
    /// The images that are there (for a swap) or that are written (for an upsert).
    pub image: GroupImage,
    /// The weights that are written.
    pub to: WeightPair,
    /// How.
    pub how: How,
}

/// How a part is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// DELETE of the exact image and CREATE of the same with the new weight.
    Swap,
    /// UPSERT of the image with the new weight.
    Upsert,
}

/// Something to carry out beside the weights.
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
    /// On, or off.
    pub on: bool,
    /// The jobs, by index, and how each is switched.
    pub halves: Vec<(usize, JobHalf)>,
    /// The last moment at which it may be sent.
    pub send_by: Timestamp,
}

/// A call of a hook to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// Which.
    pub id: HookId,
    /// Identifies this try in answers.
    pub call_id: WriteId,
    /// The idempotency key: the same for every try.
    pub key: String,
    /// The try, from 1.
    pub number: u32,
    /// Whether things go on without it if this try fails.
    pub gives_up: bool,
    /// What is called.
    pub hook: Hook,
    /// Why everything is taken back, where it is.
    pub cause: Option<RevertCause>,
    /// When it was decided.
    pub at: Timestamp,
}

/// How long an intended write may be sent (semantics A1).
pub const PERFORM_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// How far apart the two confirming reads of a revert are, at least (semantics A3).
pub const FENCE: SignedDuration = SignedDuration::from_secs(5);

/// How long after its deadline a lost write may still land (semantics A3).
pub const LATE: SignedDuration = SignedDuration::from_secs(15);

/// How long after the end of a revert a late write of ours is looked for (semantics A4).
pub const RESIDUE: SignedDuration = SignedDuration::from_secs(15 * 60);

/// How long a step may take to be verified in all zones (semantics A7), and a change to be INSYNC (semantics A6).
pub const STEP_WITHIN: SignedDuration = SignedDuration::from_secs(10 * 60);

/// How often groups are compared with what was last verified while nothing else needs them.
pub const DRIFT_CHECK_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// How long reads must have failed before a revert is written without them (semantics A5).
pub const BLIND_REVERT_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// Decides.
///
/// A decision for which [`Decision::takes_a_step`] holds is appended conditional on `@fleet` standing at `fleet.seq`, and a
/// start also on the streams that it waits for. No other decision asks for either.
pub fn decide(state: &State, fleet: &Fleet, observation: &Observation, now: Timestamp) -> Decision {
    if let Some(damage) = fleet.damage(&state.name) {
        // This is only where it was last known to stand: a newer version's controller may be at work (I15).
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
        // Nothing more is written, whatever is there.
        Phase::Abandoned => Decision::default(),
        Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking | Phase::Halted => {
            active::decide(&view)
        }
    };
    // Weights first: what goes back beside them is asked for only when nothing is to be said about them.
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

/// A plan file that has the name of this cutover, which is over, and is another plan (semantics L9).
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

/// Takes the jobs back and calls hooks, beside a revert.
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

/// Whether the plan's jobs are to be looked at now, by a process that last began to at `looked_at`.
pub fn wants_jobs(state: &State, looked_at: Option<Timestamp>, now: Timestamp) -> bool {
    jobs::wants_look(state, looked_at, now.max(state.last_at))
}

/// Whether the groups must be read before this cutover can be decided. `observation` need not hold groups yet.
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

/// Whether the groups must be read before this cutover can be decided, however lately they were read for nothing but
/// drift.
pub fn wants_groups_at_once(
    state: &State,
    fleet: &Fleet,
    observation: &Observation,
    now: Timestamp,
) -> bool {
    wants_groups_if(false, state, fleet, observation, now)
}

/// `due`: whether it is time to look for drift.
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
        // What was once sent may be there after all (I14).
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

/// How far AWS's clock and ours may differ (semantics D3).
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);

/// A controller's clock may be a little behind the one that wrote the last entry; more than this holds (semantics D3).
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// Everything that a decision looks at.
struct View<'a> {
    state: &'a State,
    fleet: &'a Fleet,
    observation: &'a Observation,
    now: Timestamp,
    /// What this machine's clock says; `now` is never before the last entry.
    clock: Timestamp,
}

impl View<'_> {
    /// Whether this machine's clock is behind the one that wrote the last entry.
    fn clock_went_back(&self) -> bool {
        self.state.last_at.duration_since(self.clock) > CLOCK_TOLERANCE
    }

    /// Returns true if this machine's wall clock was set since the last reading at which all gates passed: it has moved on
    /// by another time than really passed. What it says then measures no bake, whether AWS contradicts it or not.
    fn clock_was_set(&self) -> bool {
        let (Some(at), Some(really)) = (self.observation.passed_at, self.observation.passed_for)
        else {
            return false;
        };
        let by_wall = self.clock.duration_since(at);
        (by_wall - really).abs() > CLOCK_TOLERANCE
    }

    /// What AWS's clock says, as far as it is known.
    fn aws_now(&self) -> Timestamp {
        let skew = self.observation.clock_skew;
        skew.and_then(|skew| self.clock.checked_add(skew).ok())
            .unwrap_or(self.now)
    }

    /// An identifier for the write that the next entry intends: unique, because the append is conditional on `seq`.
    fn next_write_id(&self) -> WriteId {
        let State { attempt, seq, .. } = self.state;
        WriteId::from(format!("{attempt}-{}-{}", seq + 1, self.observation.me))
    }

    /// How long ago something was, for what is given up or taken back when it takes too long: by this machine's clock, and
    /// where AWS or the journal contradicts that one, no longer than by AWS's. A jump is no time that has passed.
    fn elapsed(&self, since: Timestamp) -> SignedDuration {
        let by_ours = self.now.duration_since(since);
        if !self.clock_went_back() && holds::skew(self).is_none() {
            return by_ours;
        }
        let by_aws = self.aws_now().duration_since(since);
        // Nobody whose clock is right wrote what is so far ahead of AWS: only a wrong clock can tell how long ago it was.
        if by_aws < -SKEW_MAX * 2 {
            by_ours
        } else {
            by_aws.min(by_ours)
        }
    }

    /// The image of a group as read in this round, or none.
    fn image(&self, index: usize) -> Option<GroupImage> {
        let group = self.state.plan().records.get(index)?;
        preflight::read_image(group, self.observation.groups.get(index)?).ok()
    }

    /// Whether a group was read in this round, whatever was there.
    fn was_read(&self, index: usize) -> bool {
        matches!(
            self.observation.groups.get(index),
            Some(GroupReading::Read { .. })
        )
    }

    /// Whether all groups were read in this round and are as last verified.
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

    /// All records of a group's name and type, as read in this round or, where it was not read, as known.
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
