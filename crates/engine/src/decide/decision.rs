//! Decisions: the entries to journal, and the writes and calls that follow them.

use jiff::Timestamp;

use crate::event::Event;
use crate::evidence::number::Number;
use crate::hold::{HoldReason, RevertCause};
use crate::hooks::{Hook, HookId};
use crate::jobs::{JobHalf, JobSide};
use crate::record::GroupImage;
use crate::units::{WeightPair, WriteId};

/// The result of a decision: entries to journal, and what to carry out once they are journaled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The events to append to the cutover's stream, on the condition that its last entry is still the state's.
    pub events: Vec<Event>,
    /// The events to append to `@fleet`, in the same append.
    pub fleet: Vec<Event>,
    /// The write to send once the events are appended. `None` if nothing is to be written.
    pub order: Option<Order>,
    /// Changes of jobs and calls of hooks to carry out once the events are appended.
    pub errands: Vec<Errand>,
    /// The holds: why nothing moves now, most urgent first.
    pub because: Vec<HoldReason>,
    /// The time at which to decide again if nothing happens before. `None` if only a new reading or entry matters.
    pub wake_at: Option<Timestamp>,
    /// True if the time up to this reading counts as bake: every gate passed, nothing has drifted, and the clock is
    /// right.
    pub gates_pass: bool,
    /// The new side's share of the requests, in percent. `None` if requests are not counted.
    pub observed_share: Option<Number>,
}

impl Decision {
    /// Returns true if this decision takes a step, so that the new side's share would rise. Only such a decision can be
    /// held by the fleet.
    pub fn takes_a_step(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::WeightChangeIntended { .. }))
    }

    /// Returns true if this decision begins a revert. The fleet never delays that.
    pub fn goes_back(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::RevertIntended { .. }))
    }

    /// Returns a decision of one event.
    pub(super) fn of(event: Event) -> Self {
        Self {
            events: vec![event],
            ..Self::default()
        }
    }

    /// Returns a decision of one event, with a write that follows it.
    pub(super) fn with_order(event: Event, order: Order) -> Self {
        Self {
            events: vec![event],
            order: Some(order),
            ..Self::default()
        }
    }

    /// Adds the events, calls, holds and wake-up time of another decision.
    pub(super) fn add(&mut self, more: Self) {
        self.events.extend(more.events);
        self.errands.extend(more.errands);
        self.because.extend(more.because);
        self.wake_by(more.wake_at);
    }

    /// Makes `at` the latest wake-up time, if `at` is given.
    pub(super) fn wake_by(&mut self, at: Option<Timestamp>) {
        self.wake_at = self.wake_at.into_iter().chain(at).min();
    }

    /// Returns a decision that only holds, for this reason.
    pub(super) fn hold(reason: HoldReason) -> Self {
        Self {
            because: vec![reason],
            ..Self::default()
        }
    }
}

/// A write that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The ID of the write, which replies to it carry.
    pub write_id: WriteId,
    /// The purpose of the write, which decides its urgency.
    pub purpose: Purpose,
    /// The groups to write, each with its new weights. Those of one zone go into one atomic batch.
    pub parts: Vec<Part>,
    /// The last moment at which the write may be sent. `None` for a revert, which is never too late.
    pub send_by: Option<Timestamp>,
}

/// The purpose of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A revert. It is sent before all other writes.
    Revert,
    /// A step.
    Step,
    /// The unchanged images again, because the change ID was lost (semantics A6).
    Resubmit,
}

/// The part of a write that concerns one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The group's index in the plan's `records`.
    pub group: usize,
    /// The image that was read, for a swap, or the image that is written with new weights, for an upsert.
    pub image: GroupImage,
    /// The weights that are written.
    pub to: WeightPair,
    /// The kind of changes that the batch has for this group.
    pub how: How,
}

/// The kind of changes that a batch has for one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// DELETE of the exact image and CREATE of the same image with the new weights.
    Swap,
    /// UPSERT of the image with the new weights.
    Upsert,
}

/// Something to carry out that is not a write of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Switches jobs of one side on or off.
    Turn(TurnOrder),
    /// Calls a hook.
    Hook(Box<HookCall>),
}

/// A change of jobs that is to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnOrder {
    /// The ID of the change of jobs, which its answer carries.
    pub turn_id: WriteId,
    /// The side whose jobs are switched.
    pub side: JobSide,
    /// True to switch them on, false to switch them off.
    pub on: bool,
    /// The jobs, by index in the plan, each with the way in which it is switched.
    pub halves: Vec<(usize, JobHalf)>,
    /// The last moment at which the change may be sent.
    pub send_by: Timestamp,
}

/// A call of a hook that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// The hook and the point at which it is called.
    pub id: HookId,
    /// The ID of this try, which its answer carries.
    pub call_id: WriteId,
    /// The idempotency key, which is the same for every try.
    pub key: String,
    /// The number of the try, from 1.
    pub number: u32,
    /// True if this is the last try and the cutover goes on without the hook if it fails.
    pub gives_up: bool,
    /// The hook as the plan has it.
    pub hook: Hook,
    /// The cause of the revert. `None` if the hook is not called during a revert.
    pub cause: Option<RevertCause>,
    /// The time at which the call was decided.
    pub at: Timestamp,
}
