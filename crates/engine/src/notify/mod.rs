//! Notifications: the channels of a plan, and the entries of the journal that each of them gets.
//!
//! A channel gets every entry that it wants, in order, beginning with the entry that put it into the plan. The adapters
//! deliver; secrets are only named here, never held.

pub(crate) mod channel;
mod news;
mod notice;
mod secret_ref;
mod topics;

pub use channel::{Channel, INFO, Notify, PAGE, Via, channel_shown, recipients};
pub use news::News;
pub use notice::{Notice, Standing, TEST, key};
pub use secret_ref::Address;
pub use secret_ref::MalformedRef;
pub use secret_ref::SecretRef;
pub use topics::KINDS;
pub use topics::Topic;
pub use topics::follow_ups;
pub use topics::fresh;
pub use topics::topics;

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

#[cfg(test)]
mod tests;
