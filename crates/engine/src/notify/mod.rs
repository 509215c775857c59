//! Notifications: the channels of a plan, and the entries of the journal that each of them gets.
//!
//! A channel gets every entry that it wants, in order, beginning with the entry that put it into the plan. The adapters
//! deliver; secrets are only named here, never held.

mod secret_ref;
mod topics;

pub use secret_ref::Address;
pub use secret_ref::MalformedRef;
pub use secret_ref::SecretRef;
pub use topics::KINDS;
pub use topics::Topic;
pub use topics::follow_ups;
pub use topics::fresh;
pub use topics::topics;

use serde::{Deserialize, Serialize};

use super::event::Envelope;
use super::paged::Paged;
use super::secret_text::url_shown;
use super::state::{Phase, State};
use super::units::{CutoverName, Share};

/// A plan's `notify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// A local command (argv, no shell) that gets each page as JSON on standard input; empty if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Services that are notified over the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
}

/// A service that is notified over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The service and its address.
    #[serde(flatten)]
    pub via: Via,
    /// The entries that it gets: [`PAGE`], [`INFO`], or kinds of [`KINDS`]. Never empty.
    pub on: Vec<String>,
    /// The kinds that it does not get, although `on` includes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// The word for entries that page.
pub const PAGE: &str = "page";

/// The word for entries that inform, pages included.
pub const INFO: &str = "info";

/// A service and its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "snake_case")]
pub enum Via {
    /// An incoming webhook of Slack: one message for each entry.
    SlackWebhook {
        /// Its URL, which is a secret by itself.
        webhook: SecretRef,
    },
    /// Slack's API: one message for each attempt, kept up to date, with the entries as replies.
    SlackThread {
        /// The bot's token.
        token: SecretRef,
        /// The channel, by its ID or name.
        channel: String,
        /// The address of the API, without a slash at its end.
        api: String,
    },
    /// A topic of Amazon SNS.
    Sns {
        /// The topic.
        topic_arn: String,
    },
    /// A POST of a `CloudEvent`.
    Webhook {
        /// The address.
        url: Address,
        /// The key that it is signed with; none if it is not signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<SecretRef>,
    },
}

impl Via {
    /// The service, for people.
    pub fn service(&self) -> &'static str {
        match self {
            Self::SlackWebhook { .. } | Self::SlackThread { .. } => "slack",
            Self::Sns { .. } => "sns",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// The secrets that it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::SlackWebhook { webhook } => vec![webhook],
            Self::SlackThread { token, .. } => vec![token],
            Self::Sns { .. } => Vec::new(),
            Self::Webhook { url, secret } => {
                let url = match url {
                    Address::Kept(kept) => Some(kept),
                    Address::Plain(_) => None,
                };
                url.into_iter().chain(secret).collect()
            }
        }
    }
}

/// A channel's name for people, with only the scheme and the host of a webhook's URL (semantics M7).
pub fn channel_shown(id: &str) -> String {
    match id.split_once(' ') {
        Some(("webhook", address)) => format!("webhook {}", url_shown(address)),
        Some(_) | None => id.to_owned(),
    }
}

impl Channel {
    /// Its name among the channels of a plan: the service and the address, as in the plan. The cursor has this name too, so
    /// that another address is another channel.
    pub fn id(&self) -> String {
        let address = match &self.via {
            Via::SlackWebhook { webhook } => webhook.to_string(),
            Via::SlackThread { channel, .. } => channel.clone(),
            Via::Sns { topic_arn } => topic_arn.clone(),
            Via::Webhook { url, .. } => url.to_string(),
        };
        format!("{} {address}", self.via.service())
    }

    /// Returns true if it gets an entry with these topics.
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
    /// The state of its cutover after it; none for the fleet's own.
    pub standing: Option<Standing>,
    /// True if nothing has happened and the channel is only tested.
    pub test: bool,
}

impl Notice {
    /// The idempotency key: the same for every delivery of an entry, by any process.
    pub fn idempotency_key(&self) -> String {
        let entry = &self.entry;
        if self.test {
            return format!("{}/test-{}", entry.cutover, entry.at.as_millisecond());
        }
        key(&entry.cutover, entry.seq)
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
