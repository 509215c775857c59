//! Who is told of what: the channels of a plan, and what an entry of the journal is worth.
//!
//! A channel hears of every entry that it wants, from the entry on by which it came into the plan, in order. How it is
//! reached is the adapters' affair; secrets are named here and never held.

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

/// Who is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// A local command (argv, no shell) that gets each page as JSON on standard input; empty where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Services that are told over the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
}

/// A service that is told over the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// How it is reached.
    #[serde(flatten)]
    pub via: Via,
    /// What it is told: [`PAGE`], [`INFO`], or kinds of [`KINDS`]. Never empty.
    pub on: Vec<String>,
    /// Kinds that it is not told all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// What wakes a person.
pub const PAGE: &str = "page";

/// What is worth knowing, pages included.
pub const INFO: &str = "info";

/// How a service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "snake_case")]
pub enum Via {
    /// An incoming webhook of Slack: one message an entry.
    SlackWebhook {
        /// Its URL, which is a secret by itself.
        webhook: SecretRef,
    },
    /// Slack's API: a message an attempt, kept true, with the entries as replies.
    SlackThread {
        /// The bot's token.
        token: SecretRef,
        /// The channel, by its ID or name.
        channel: String,
        /// Where the API is, without a slash at its end.
        api: String,
    },
    /// A topic of Amazon SNS.
    Sns {
        /// The topic.
        topic_arn: String,
    },
    /// A POST of a `CloudEvent`.
    Webhook {
        /// Where to.
        url: Address,
        /// What it is signed with; none where it is not.
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

/// A channel's name as people see it: of a webhook's URL the scheme and the host (semantics M7).
pub fn channel_shown(id: &str) -> String {
    match id.split_once(' ') {
        Some(("webhook", address)) => format!("webhook {}", url_shown(address)),
        Some(_) | None => id.to_owned(),
    }
}

impl Channel {
    /// Its name among the channels of a plan: the service and where it is, as the plan writes it. It names the cursor too:
    /// another address is another channel.
    pub fn id(&self) -> String {
        let address = match &self.via {
            Via::SlackWebhook { webhook } => webhook.to_string(),
            Via::SlackThread { channel, .. } => channel.clone(),
            Via::Sns { topic_arn } => topic_arn.clone(),
            Via::Webhook { url, .. } => url.to_string(),
        };
        format!("{} {address}", self.via.service())
    }

    /// Whether it is to be told of an entry with these topics.
    pub fn wants(&self, topics: &[Topic]) -> bool {
        let named = |words: &[String], topic: &Topic| {
            words
                .iter()
                .any(|word| topic.kinds.iter().any(|kind| kind == word))
        };
        let level = |word: &str| self.on.iter().any(|own| own == word);
        topics.iter().any(|topic| {
            if topic.follows.as_ref().is_some_and(|page| self.got(page)) {
                // `except` is about what wakes somebody: whoever was woken is told the end (semantics L10).
                return true;
            }
            let asked = level(INFO) || (level(PAGE) && topic.pages) || named(&self.on, topic);
            let worth = topic.pages || topic.informs || named(&self.on, topic);
            asked && worth && !named(&self.except, topic)
        })
    }

    /// Whether it was told of a page that went by these words.
    fn got(&self, kinds: &[&'static str]) -> bool {
        let page = Topic {
            kinds: kinds.to_vec(),
            pages: true,
            informs: false,
            follows: None,
        };
        self.wants(&[page])
    }
}

/// Where a cutover stood after an entry, for a headline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// Whether a person has paused it.
    pub paused: bool,
    /// The step last intended; 0 before the first write and after a revert.
    pub step: u16,
    /// How many there are.
    pub steps: u16,
    /// The new side's share of that step.
    pub share: Share,
}

impl Standing {
    /// Where a cutover stands.
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

/// An entry that somebody is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The entry.
    pub entry: Envelope,
    /// Whether it wakes a person.
    pub pages: bool,
    /// What it settles of what people were woken for.
    pub settles: Vec<Paged>,
    /// Where its cutover stood after it; none for the fleet's own.
    pub standing: Option<Standing>,
    /// Whether nothing has happened, and only the channel is tried.
    pub test: bool,
}

impl Notice {
    /// The same entry always has the same key, however often it is sent, by whomever.
    pub fn idempotency_key(&self) -> String {
        let entry = &self.entry;
        if self.test {
            return format!("{}/test-{}", entry.cutover, entry.at.as_millisecond());
        }
        key(&entry.cutover, entry.seq)
    }

    /// Whether it overtakes others: it wakes somebody, or tells whoever was woken that it is over.
    pub fn is_urgent(&self) -> bool {
        self.pages || !self.settles.is_empty()
    }

    /// What it is about, for programs: the type of the event, or [`TEST`].
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
