//! Decisions: the entries to journal, and the writes and calls that follow them.

use jiff::Timestamp;

use crate::event::Event;
use crate::evidence::number::Number;
use crate::hold::{HoldReason, RevertCause};
use crate::hooks::{Hook, HookId};
use crate::jobs::{JobHalf, JobSide};
use crate::record::GroupImage;
use crate::units::{WeightPair, WriteId};

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

    pub(super) fn of(event: Event) -> Self {
        Self {
            events: vec![event],
            ..Self::default()
        }
    }

    pub(super) fn with_order(event: Event, order: Order) -> Self {
        Self {
            events: vec![event],
            order: Some(order),
            ..Self::default()
        }
    }

    /// Adds the events, errands, holds and wake time of another decision.
    pub(super) fn add(&mut self, more: Self) {
        self.events.extend(more.events);
        self.errands.extend(more.errands);
        self.because.extend(more.because);
        self.wake_by(more.wake_at);
    }

    /// Wakes at `at` at the latest, if it is given.
    pub(super) fn wake_by(&mut self, at: Option<Timestamp>) {
        self.wake_at = self.wake_at.into_iter().chain(at).min();
    }

    pub(super) fn hold(reason: HoldReason) -> Self {
        Self {
            because: vec![reason],
            ..Self::default()
        }
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
