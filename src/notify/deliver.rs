//! Notifies a channel through its service.

use serde_json::Value;

use super::channels::Channels;
use super::slack;
use super::sns;
use super::webhook;
use crate::engine::notify::Via;
use crate::ports::Delivery;
use crate::ports::Undelivered;

impl Channels {
    /// Notifies a channel. Returns the memo for the next delivery, if the channel needs one.
    ///
    /// # Errors
    /// The service refused, or there is no answer. The message contains no secret.
    pub async fn deliver(&self, delivery: &Delivery) -> Result<Option<Value>, Undelivered> {
        match &delivery.channel.via {
            Via::SlackWebhook { webhook } => slack::post(self, delivery, webhook).await,
            Via::SlackThread {
                token,
                channel,
                api,
            } => slack::thread(self, delivery, token, (channel, api)).await,
            Via::Sns { topic_arn } => sns::publish(self, delivery, topic_arn).await,
            Via::Webhook { url, secret } => {
                webhook::post(self, delivery, url, secret.as_ref()).await
            }
        }
    }
}
