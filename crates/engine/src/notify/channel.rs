//! The channels of a plan: the log, its command and the services that are notified, and which entries each gets.

use serde::{Deserialize, Serialize};

use super::secret_ref::{Address, SecretRef};
use crate::secret_text::{command_shown, url_shown};

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

impl Notify {
    /// All its channels. The command is the first of them, if there is one.
    pub fn all(&self) -> Vec<Channel> {
        let mut all = Vec::new();
        if !self.command.is_empty() {
            let argv = self.command.clone();
            all.push(Channel::for_pages(Via::Command { argv }));
        }
        all.extend_from_slice(&self.channels);
        all
    }
}

/// Everything that may be told of a stream: the log, which gets every page, and the channels of its `notify`.
pub fn recipients(notify: Option<&Notify>) -> Vec<Channel> {
    let mut all = vec![Channel::for_pages(Via::Log {})];
    if let Some(notify) = notify {
        all.extend(notify.all());
    }
    all
}

/// A channel: a way to tell people, and the entries that are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The way, with its address.
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

/// A way to tell people, with its address. A plan lists only services as channels; the others follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "snake_case")]
pub enum Via {
    /// The log of the process that delivers: a line for each page.
    Log {},
    /// The plan's command, which gets each page and each end of one as JSON on standard input.
    Command {
        /// The program and its arguments; there is no shell.
        argv: Vec<String>,
    },
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
    /// The kind of the channel, for people.
    pub fn service(&self) -> &'static str {
        match self {
            Self::Log {} => LOG,
            Self::Command { .. } => COMMAND,
            Self::SlackWebhook { .. } | Self::SlackThread { .. } => "slack",
            Self::Sns { .. } => "sns",
            Self::Webhook { .. } => WEBHOOK,
        }
    }

    /// The secrets that it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::SlackWebhook { webhook } => vec![webhook],
            Self::SlackThread { token, .. } => vec![token],
            Self::Log {} | Self::Command { .. } | Self::Sns { .. } => Vec::new(),
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

/// The services of channels whose names are not shown as they are.
const LOG: &str = "log";
const COMMAND: &str = "command";
const WEBHOOK: &str = "webhook";

/// Separates the words of a command in the name of its channel: the ASCII character for this.
const BETWEEN_WORDS: &str = "\u{1f}";

impl Channel {
    /// A channel that gets pages, and the ends of pages if it is told of them.
    fn for_pages(via: Via) -> Self {
        Self {
            via,
            on: vec![PAGE.to_owned()],
            except: Vec::new(),
        }
    }

    /// Its name among the channels of a plan: the service and the address, as in the plan. The cursor has this name too, so
    /// that another address is another channel. For people: [`channel_shown`].
    pub fn id(&self) -> String {
        let address = match &self.via {
            Via::Log {} => return LOG.to_owned(),
            Via::Command { argv } => argv.join(BETWEEN_WORDS),
            Via::SlackWebhook { webhook } => webhook.to_string(),
            Via::SlackThread { channel, .. } => channel.clone(),
            Via::Sns { topic_arn } => topic_arn.clone(),
            Via::Webhook { url, .. } => url.to_string(),
        };
        format!("{} {address}", self.via.service())
    }
}

/// A channel's name for people: of a webhook's URL only the scheme and the host, and a command without what looks like a
/// secret (semantics M7).
pub fn channel_shown(id: &str) -> String {
    match id.split_once(' ') {
        Some((WEBHOOK, address)) => format!("{WEBHOOK} {}", url_shown(address)),
        Some((COMMAND, words)) => {
            let argv: Vec<&str> = words.split(BETWEEN_WORDS).collect();
            format!("{COMMAND} {}", command_shown(&argv))
        }
        Some(_) | None => id.to_owned(),
    }
}
