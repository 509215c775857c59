//! The channels of a plan: the services that are notified, and which entries each gets.

use serde::{Deserialize, Serialize};

use super::secret_ref::{Address, SecretRef};
use crate::secret_text::url_shown;

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
    /// The entries that it gets: [`PAGE`], [`INFO`], or kinds of [`KINDS`](super::KINDS). Never empty.
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
}

/// A channel's name for people, with only the scheme and the host of a webhook's URL (semantics M7).
pub fn channel_shown(id: &str) -> String {
    match id.split_once(' ') {
        Some(("webhook", address)) => format!("webhook {}", url_shown(address)),
        Some(_) | None => id.to_owned(),
    }
}
