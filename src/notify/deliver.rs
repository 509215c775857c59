//! Notifies a channel: in the log, by a command, or through its service.

use async_trait::async_trait;
use serde_json::Value;

use super::channels::Channels;
use super::{command, log, slack, sns, webhook};
use crate::engine::notify::Via;
use crate::ports::{Delivery, Notifier, Undelivered};

#[async_trait]
impl Notifier for Channels {
    async fn deliver(&self, delivery: &Delivery) -> Result<Option<Value>, Undelivered> {
        match &delivery.channel.via {
            Via::Log {} => {
                log::deliver(self, &delivery.notice);
                Ok(None)
            }
            Via::Command { argv } => command::deliver(self, &delivery.notice, argv).await,
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
