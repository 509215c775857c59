//! Sends notices to Slack: to an incoming webhook, or with a token to one thread per attempt.
//!
//! With a token, an attempt has one message in the channel that is kept up to date, and every event is a reply to it.
//! The message is updated before the reply is sent. A second update does no harm, but a second reply would be read
//! twice. Sources: Slack API, `chat.postMessage`, `chat.update`, Rate limits, Formatting text for app surfaces.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::channels::{Channels, is_success, refused, resolve};
use super::shorten;
use crate::engine::notify::{Notice, SecretRef};
use crate::ports::{DELIVER_WITHIN, Delivery, Undelivered};
use crate::reach::secrets::Secret;

/// The most characters of a text, without the mark of a page and the key. Slack refuses an update above 4,000
/// characters (`msg_too_long`), recommends no more in any text, and cuts texts above 40,000.
///
/// Source: Slack API, `chat.update`, Errors; `chat.postMessage`, Truncating content.
const TEXT_CHARS_MAX: usize = 3_500;

/// Slack's errors if a message can no longer be changed. Then a new message is posted in its place.
const GONE: [&str; 3] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
];

/// Slack's errors after which the same message may be accepted later. After every other error, Slack would refuse the
/// same message at any time (`invalid_auth`, `channel_not_found`, `msg_too_long` …).
///
/// Source: Slack API, `chat.postMessage` and `chat.update`, Errors; Rate limits.
const PASSING: [&str; 11] = [
    "ratelimited",
    "rate_limited",
    "message_limit_exceeded",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
    "org_login_required",
    "accesslimited",
    UNEXPLAINED,
];

/// The most characters of Slack's error that a message repeats.
const ERROR_CHARS_MAX: usize = 200;

/// The error if Slack refuses a message and does not say why.
const UNEXPLAINED: &str = "refused without a reason";

/// Posts a notice to an incoming webhook. The channel needs no data for its next delivery.
///
/// # Errors
/// The address cannot be read, Slack refused the message, or no reply came.
pub(super) async fn post(
    channels: &Channels,
    delivery: &Delivery,
    webhook: &SecretRef,
) -> Result<Option<Value>, Undelivered> {
    let notice = &delivery.notice;
    let url = resolve(webhook, &channels.environment).map_err(Undelivered::because)?;
    let text = format!("{}{}", marked(channels, notice), key(notice));
    let body = json!({ "text": text }).to_string();
    let headers = [("content-type", "application/json; charset=utf-8".to_owned())];
    let answer = channels.post(&url, &[&url], &headers, body).await?;
    if is_success(&answer) {
        Ok(None)
    } else {
        Err(refused(&answer))
    }
}

/// The message of an attempt, to which all events are replies. It is the channel's data for the next delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parent {
    /// The attempt, from 1.
    attempt: u32,
    /// The ID of the Slack channel.
    channel: String,
    /// Slack's ID of the message.
    ts: String,
}

impl Parent {
    /// Reads the message of an attempt from the channel's data. `None` if the data is of another attempt or cannot be
    /// read.
    fn of(memo: Option<&Value>, attempt: u32) -> Option<Self> {
        let memo = memo?;
        let parent = Self {
            attempt: u32::try_from(memo["attempt"].as_u64()?).ok()?,
            channel: memo["channel"].as_str()?.to_owned(),
            ts: memo["ts"].as_str()?.to_owned(),
        };
        (parent.attempt == attempt).then_some(parent)
    }

    /// Returns the channel's data for the next delivery.
    fn memo(&self) -> Value {
        json!({ "attempt": self.attempt, "channel": self.channel, "ts": self.ts })
    }
}

/// Updates the message of the attempt, or posts it, and replies to it with the event. Returns the channel's data for
/// the next delivery.
///
/// # Errors
/// The token cannot be read, Slack refused a message, or no reply came. If only the reply failed, the error has the
/// channel's data.
pub(super) async fn thread(
    channels: &Channels,
    delivery: &Delivery,
    token: &SecretRef,
    (channel, api): (&str, &str),
) -> Result<Option<Value>, Undelivered> {
    let token = resolve(token, &channels.environment).map_err(Undelivered::because)?;
    let slack = Slack {
        channels,
        token,
        api,
        until: Instant::now() + DELIVER_WITHIN,
    };
    let notice = &delivery.notice;
    let headline = escaped(&channels.headline(notice));
    let known = Parent::of(delivery.memo.as_ref(), notice.entry.attempt);
    let kept = match known {
        Some(parent) => slack.update(parent, &headline).await?,
        None => None,
    };
    let parent = match kept {
        Some(parent) => parent,
        None => slack.begin(notice, channel, &headline).await?,
    };
    let reply = json!({
        "channel": parent.channel,
        "thread_ts": parent.ts,
        "text": format!("{}{}", marked(channels, notice), key(notice)),
        // A page is also shown in the channel, not only in the thread.
        "reply_broadcast": notice.pages,
        "unfurl_links": false,
        "metadata": metadata(notice),
    });
    let replied = slack.call("chat.postMessage", &reply).await;
    replied.map_err(|undelivered| Undelivered {
        memo: Some(parent.memo()),
        ..undelivered
    })?;
    Ok(Some(parent.memo()))
}

/// Calls of the Slack API for one delivery.
struct Slack<'a> {
    channels: &'a Channels,
    token: Secret,
    api: &'a str,
    /// The time at which all requests must be done, so that the caller still gets the data about the sent messages.
    until: Instant,
}

impl Slack<'_> {
    /// Posts the first message of an attempt.
    ///
    /// # Errors
    /// Slack refused it, or no reply came.
    async fn begin(
        &self,
        notice: &Notice,
        channel: &str,
        headline: &str,
    ) -> Result<Parent, Undelivered> {
        let message = json!({
            "channel": channel,
            "text": headline,
            "unfurl_links": false,
            "metadata": metadata(notice),
        });
        let said = self.call("chat.postMessage", &message).await?;
        let Some(ts) = said["ts"].as_str() else {
            let why = "chat.postMessage: the answer names no message";
            return Err(Undelivered::because(why));
        };
        Ok(Parent {
            attempt: notice.entry.attempt,
            // Updates need the channel's ID, and the plan may name the channel otherwise.
            channel: said["channel"].as_str().unwrap_or(channel).to_owned(),
            ts: ts.to_owned(),
        })
    }

    /// Updates the message of an attempt. `None` if it can no longer be changed.
    ///
    /// # Errors
    /// Slack refused the update for another reason, or no reply came.
    async fn update(&self, parent: Parent, headline: &str) -> Result<Option<Parent>, Undelivered> {
        let message = json!({ "channel": parent.channel, "ts": parent.ts, "text": headline });
        match self.call("chat.update", &message).await {
            Ok(_) => Ok(Some(parent)),
            Err(undelivered) if GONE.iter().any(|gone| undelivered.why.ends_with(gone)) => Ok(None),
            Err(undelivered) => Err(undelivered),
        }
    }

    /// Calls a method of the Slack API, and returns its reply.
    ///
    /// # Errors
    /// Slack refused the call, or no reply came. The message does not contain the token.
    async fn call(&self, method: &str, message: &Value) -> Result<Value, Undelivered> {
        let url = Secret::new(format!("{}/{method}", self.api));
        let headers = [
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("authorization", format!("Bearer {}", self.token.reveal())),
        ];
        let body = message.to_string();
        let hidden = [&self.token];
        let channels = self.channels;
        let posted = channels.post_until(self.until, &url, &hidden, &headers, body);
        let answer = posted.await.map_err(|error| in_method(method, error))?;
        if !is_success(&answer) {
            return Err(in_method(method, refused(&answer)));
        }
        let Ok(said) = serde_json::from_str::<Value>(&answer.body) else {
            let error = Undelivered::because("the answer is not JSON");
            return Err(in_method(method, error));
        };
        if said["ok"] == true {
            return Ok(said);
        }
        let error = said["error"].as_str().unwrap_or(UNEXPLAINED);
        let why = shorten::text(&self.token.hidden_in(error), ERROR_CHARS_MAX);
        Err(Undelivered {
            why: format!("{method}: {why}"),
            for_good: !PASSING.contains(&error),
            again_after: answer.retry_after,
            memo: None,
        })
    }
}

/// Puts the method of the Slack API before the text of an error.
fn in_method(method: &str, undelivered: Undelivered) -> Undelivered {
    Undelivered {
        why: format!("{method}: {}", undelivered.why),
        ..undelivered
    }
}

/// Returns the event in one line, marked if it pages.
fn marked(channels: &Channels, notice: &Notice) -> String {
    let text = escaped(&channels.text(notice));
    if notice.pages {
        format!(":rotating_light: *{text}*")
    } else {
        text
    }
}

/// Returns the idempotency key in small print, so that a reader recognises a repeated message.
fn key(notice: &Notice) -> String {
    format!("  `{}`", notice.idempotency_key())
}

/// Returns the metadata of a message, with its idempotency key, for programs.
fn metadata(notice: &Notice) -> Value {
    json!({
        "event_type": "cutover",
        "event_payload": { "idempotency_key": notice.idempotency_key() },
    })
}

/// Escapes characters that Slack would read as markup, and shortens the text. The limit counts escaped characters, as
/// Slack does.
fn escaped(text: &str) -> String {
    let mut chars_max = TEXT_CHARS_MAX;
    loop {
        let escaped = escape(&shorten::text(text, chars_max));
        let over = escaped.chars().count().saturating_sub(TEXT_CHARS_MAX);
        if over == 0 {
            return escaped;
        }
        // One character becomes at most five.
        chars_max = chars_max
            .min(text.chars().count())
            .saturating_sub(over.div_ceil(5));
    }
}

/// Escapes characters that Slack would read as markup.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_long_as_slack_takes_it_once_it_is_escaped() {
        assert_eq!(escaped("a < b & c"), "a &lt; b &amp; c");
        for long in ["&".repeat(105_000), "x".repeat(105_000)] {
            let short = escaped(&long);
            let chars = short.chars().count();
            assert!(chars <= TEXT_CHARS_MAX, "{chars}");
            assert!(chars > TEXT_CHARS_MAX / 2, "{chars}");
            assert!(short.ends_with(shorten::MARK));
        }
    }
}
