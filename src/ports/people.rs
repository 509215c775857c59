//! Telling people: pages, channels and topics.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::event::Envelope;
use crate::engine::notify::{Channel, Notice};
use crate::engine::paged::Paged;

/// Something that a person is woken for, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entry that pages, or that settles what paged.
    pub entry: Envelope,
    /// Stable over retries: the same entry always has the same key.
    pub idempotency_key: String,
    /// What the entry settles of what people were woken for; empty for one that wakes them.
    pub settles: Vec<Paged>,
    /// The command of the plan's `notify`, if it has one.
    pub command: Option<Vec<String>>,
}

/// What a channel is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The channel.
    pub channel: Channel,
    /// What it is about.
    pub notice: Notice,
    /// What the channel's adapter noted after the delivery before.
    pub memo: Option<serde_json::Value>,
}

/// Why something was not delivered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Undelivered {
    /// What was said. Holds no secrets.
    pub why: String,
    /// Whether the service answered that it does not take this message: the same message is refused again.
    pub for_good: bool,
    /// When the channel wants to be asked again, if it said so.
    pub again_after: Option<Duration>,
    /// What is to be noted all the same, where a part of it was done.
    pub memo: Option<serde_json::Value>,
}

impl Undelivered {
    /// That nothing was done, and why.
    pub fn because(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ..Self::default()
        }
    }
}

/// How long one delivery to a channel may take.
pub const DELIVER_WITHIN: Duration = Duration::from_secs(17);

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers a page to the log and the plan's command; an error means that it is tried again.
    async fn page(&self, page: &Page) -> Result<(), String>;

    /// Whether it reaches channels at all; those of a rehearsal are told nothing.
    fn has_channels(&self) -> bool {
        false
    }

    /// Tells a channel. Returns what its adapter must know the next time, in the same stream. It ends within
    /// [`DELIVER_WITHIN`], so that what was done of it by then is known; an error means that it is tried again.
    async fn deliver(&self, delivery: &Delivery) -> Result<Option<serde_json::Value>, Undelivered> {
        let service = delivery.channel.via.service();
        Err(Undelivered::because(format!(
            "{service} is not reached from here"
        )))
    }
}

/// A message for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic_arn: String,
    /// ASCII without line breaks, at most 99 characters.
    pub subject: String,
    /// A JSON object with a text for each protocol.
    pub message: String,
    /// What subscriptions can filter by.
    pub attributes: BTreeMap<&'static str, String>,
    /// For FIFO topics: what stays in order.
    pub group: String,
    /// For FIFO topics: what is the same.
    pub deduplication: String,
}

/// Publishes to topics: Amazon SNS.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Publishes a message, within its own timeout.
    ///
    /// # Errors
    /// What SNS said, or why there is no answer.
    async fn publish(&self, publication: &Publication) -> Result<(), Undelivered>;
}
