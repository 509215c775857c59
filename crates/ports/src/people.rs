//! Notifications: channels and topics.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use cutover_engine::notify::{Channel, Notice};

/// A message that is to be delivered to a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The channel that receives the message.
    pub channel: Channel,
    /// The contents of the message.
    pub notice: Notice,
    /// The data that the channel's adapter returned after its last delivery of this stream. `None` before the first
    /// one.
    pub memo: Option<serde_json::Value>,
}

/// Why a delivery failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Undelivered {
    /// The message of the failure, without secrets.
    pub why: String,
    /// True if the service refuses this message for good: it would refuse the same message again.
    pub for_good: bool,
    /// The wait before the next try that the service asked for. `None` if it asked for none.
    pub again_after: Option<Duration>,
    /// The adapter's data for the next try, if a part of the delivery was done.
    pub memo: Option<serde_json::Value>,
}

impl Undelivered {
    /// Returns the failure of a delivery of which no part was done.
    pub fn because(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ..Self::default()
        }
    }
}

/// The longest time that one delivery to a channel may take.
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

/// A message for a topic of Amazon SNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The ARN of the topic.
    pub topic_arn: String,
    /// The subject: ASCII without line breaks, at most 99 characters.
    pub subject: String,
    /// The message: a JSON object with one text for each protocol.
    pub message: String,
    /// The attributes that subscriptions can filter by.
    pub attributes: BTreeMap<&'static str, String>,
    /// The message group of a FIFO topic, within which messages keep their order. Not sent to other topics.
    pub group: String,
    /// The deduplication ID for a FIFO topic. Not sent to other topics.
    pub deduplication: String,
}

/// Publishes messages to topics of Amazon SNS.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Publishes a message, within its own timeout.
    ///
    /// # Errors
    /// SNS refused the message, or no reply came.
    async fn publish(&self, publication: &Publication) -> Result<(), Undelivered>;
}
