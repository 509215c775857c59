//! Notifications: channels and topics.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use cutover_engine::notify::{Channel, Notice};

/// A message for a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The channel.
    pub channel: Channel,
    /// The notice that it delivers.
    pub notice: Notice,
    /// The note that the channel's adapter left after its last delivery.
    pub memo: Option<serde_json::Value>,
}

/// A delivery that failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Undelivered {
    /// The failure. Holds no secrets.
    pub why: String,
    /// The service refuses this message for good: the same message will be refused again.
    pub for_good: bool,
    /// The wait that the channel asked for, if it did.
    pub again_after: Option<Duration>,
    /// The adapter's note, if a part of the delivery was done.
    pub memo: Option<serde_json::Value>,
}

impl Undelivered {
    /// A delivery of which no part was done.
    pub fn because(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ..Self::default()
        }
    }
}

/// The longest time for one delivery to a channel.
pub const DELIVER_WITHIN: Duration = Duration::from_secs(17);

/// Tells people over channels.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Returns true if it tells anybody. In a rehearsal it tells nobody, and nothing is handed to it.
    fn tells(&self) -> bool {
        true
    }

    /// Delivers a message to a channel. Returns the adapter's note for its next delivery of the same stream. Ends
    /// within [`DELIVER_WITHIN`], so that it is known which part was done. After an error it is tried again.
    ///
    /// # Errors
    /// The answer of the channel, or the reason why there is none.
    async fn deliver(&self, delivery: &Delivery) -> Result<Option<serde_json::Value>, Undelivered>;
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
    /// The attributes that subscriptions can filter by.
    pub attributes: BTreeMap<&'static str, String>,
    /// For FIFO topics: the message group, within which the order is kept.
    pub group: String,
    /// For FIFO topics: the deduplication id.
    pub deduplication: String,
}

/// Publishes to topics: Amazon SNS.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Publishes a message, within its own timeout.
    ///
    /// # Errors
    /// The answer of SNS, or the reason why there is none.
    async fn publish(&self, publication: &Publication) -> Result<(), Undelivered>;
}
