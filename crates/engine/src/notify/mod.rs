//! Notifications: the channels of a plan, and the entries of the journal that each of them gets.
//!
//! A channel gets every entry that it wants, in order, beginning with the entry that put it into the plan. The adapters
//! deliver; secrets are only named here, never held.

pub(crate) mod channel;
mod news;
mod secret_ref;
mod topics;

pub use channel::{Channel, INFO, Notify, PAGE, Via, channel_shown, recipients};
pub use news::News;
pub use secret_ref::Address;
pub use secret_ref::MalformedRef;
pub use secret_ref::SecretRef;
pub use topics::KINDS;
pub use topics::Topic;
pub use topics::follow_ups;
pub use topics::fresh;
pub use topics::topics;

use std::hash::{DefaultHasher, Hash, Hasher};

use super::event::Envelope;
use super::hold::HoldReason;
use super::paged::Paged;
use super::state::{Phase, State};
use super::units::{CutoverName, Share};

impl Channel {
    /// Returns true if it gets a notice with these topics. The log gets pages, a command also the ends of pages; the words
    /// of `on` and `except` decide for all others.
    pub fn gets(&self, notice: &Notice, topics: &[Topic]) -> bool {
        match self.via {
            Via::Log {} => notice.pages,
            Via::Command { .. } => notice.is_urgent() && self.wants(topics),
            Via::SlackWebhook { .. }
            | Via::SlackThread { .. }
            | Via::Sns { .. }
            | Via::Webhook { .. } => self.wants(topics),
        }
    }

    /// Returns true if its words ask for an entry with these topics.
    pub fn wants(&self, topics: &[Topic]) -> bool {
        topics.iter().any(|topic| self.wants_topic(topic))
    }

    fn wants_topic(&self, topic: &Topic) -> bool {
        if topic.follows.as_ref().is_some_and(|page| self.got(page)) {
            // `except` is about pages: a channel that got a page gets its end too (semantics L10).
            return true;
        }
        let named = topic.is_named_in(&self.on);
        let asked = self.has_word(INFO) || (self.has_word(PAGE) && topic.pages) || named;
        let worth = topic.pages || topic.informs || named;
        asked && worth && !topic.is_named_in(&self.except)
    }

    fn has_word(&self, word: &str) -> bool {
        self.on.iter().any(|own| own == word)
    }

    /// Returns true if it got a page of these kinds.
    fn got(&self, kinds: &[&'static str]) -> bool {
        self.wants_topic(&Topic {
            kinds: kinds.to_vec(),
            pages: true,
            informs: false,
            follows: None,
        })
    }
}

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

#[cfg(test)]
mod tests;
