//! A notice: an entry to notify people of, and the state of its cutover.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::event::Envelope;
use crate::hold::HoldReason;
use crate::paged::Paged;
use crate::state::{Phase, State};
use crate::units::{CutoverName, Share};

/// The state of a cutover after an entry, for a headline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// True if a person has paused it.
    pub paused: bool,
    /// The step last intended; 0 before the first write and after a revert.
    pub step: u16,
    /// The number of steps.
    pub steps: u16,
    /// The new side's share of that step.
    pub share: Share,
}

impl Standing {
    /// The headline of a state.
    pub fn of(state: &State) -> Self {
        let step = state.plan().step(state.step);
        Self {
            phase: state.phase,
            paused: state.paused.is_some(),
            step: state.step,
            steps: state.plan().step_count(),
            share: step.map_or(Share::ZERO, |step| step.share),
        }
    }
}

/// An entry to notify people of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The entry.
    pub entry: Envelope,
    /// True if it pages.
    pub pages: bool,
    /// The earlier pages that it ends.
    pub settles: Vec<Paged>,
    /// If it pages only for causes that other cutovers may have too: these causes ([`HoldReason::common`]). Notices with
    /// the same ones can be told together.
    pub causes: Vec<HoldReason>,
    /// The entries of other cutovers, with the same causes, that this message tells of too.
    pub others: Vec<(CutoverName, u64)>,
    /// The state of its cutover after it; none for the fleet's own.
    pub standing: Option<Standing>,
    /// True if nothing has happened and the channel is only tested.
    pub test: bool,
}

impl Notice {
    /// The idempotency key: the same for every delivery of an entry, by any process. A message that tells of several
    /// entries has a key that stands for exactly these: another set of entries is another message.
    pub fn idempotency_key(&self) -> String {
        let entry = &self.entry;
        if self.test {
            return format!("{}/test-{}", entry.cutover, entry.at.as_millisecond());
        }
        let own = key(&entry.cutover, entry.seq);
        if self.others.is_empty() {
            return own;
        }
        let mut hasher = DefaultHasher::new();
        self.others.hash(&mut hasher);
        format!("{own}+{}-{:016x}", self.others.len(), hasher.finish())
    }

    /// Returns true if it is delivered before others, because it pages or ends a page.
    pub fn is_urgent(&self) -> bool {
        self.pages || !self.settles.is_empty()
    }

    /// Its kind, for programs: the type of the event, or [`TEST`].
    pub fn kind(&self) -> &'static str {
        if self.test {
            TEST
        } else {
            self.entry.event.label()
        }
    }
}

/// The kind of a test.
pub const TEST: &str = "notify_test";

/// The key of an entry.
pub fn key(stream: &CutoverName, seq: u64) -> String {
    format!("{stream}/{seq}")
}
