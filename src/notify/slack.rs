//! Slack: an incoming webhook, or one thread per attempt.
//!
//! With a token, an attempt is one message in the channel that is kept up to date, and every event is a reply to it. The
//! message is updated before the reply is sent: a second update does no harm, but a second reply would be read twice.
//! Sources: Slack API, `chat.postMessage`, `chat.update`, Rate limits, Formatting text for app surfaces.

use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

use super::channels::Channels;
use super::channels::is_success;
use super::channels::refused;
use super::channels::resolve;
use super::shorten;
use crate::engine::notify::Notice;
use crate::engine::notify::SecretRef;
use crate::ports::DELIVER_WITHIN;
use crate::ports::Delivery;
use crate::ports::Undelivered;
use crate::reach::secrets::Secret;

/// The most characters of a text, mark and key aside. Slack refuses an update above 4,000 characters (`msg_too_long`),
/// recommends no more in any text, and cuts texts above 40,000.
///
/// Source: Slack API, `chat.update`, Errors; `chat.postMessage`, Truncating content.
const TEXT_CHARS_MAX: usize = 3_500;

/// Slack's errors if a message can no longer be changed: a new one then takes its place.
const GONE: [&str; 3] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
];

/// Slack's errors if the same message may be accepted later. With every other error Slack refuses this message for good
/// (`invalid_auth`, `channel_not_found`, `msg_too_long` …).
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

/// The most characters of an error that are repeated.
const ERROR_CHARS_MAX: usize = 200;

/// The error if Slack refuses without naming one.
const UNEXPLAINED: &str = "refused without a reason";

/// Posts to an incoming webhook.
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

/// The message of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parent {
    attempt: u32,
    channel: String,
    ts: String,
}

impl Parent {
    fn of(memo: Option<&Value>, attempt: u32) -> Option<Self> {
        let memo = memo?;
        let parent = Self {
            attempt: u32::try_from(memo["attempt"].as_u64()?).ok()?,
            channel: memo["channel"].as_str()?.to_owned(),
            ts: memo["ts"].as_str()?.to_owned(),
        };
        (parent.attempt == attempt).then_some(parent)
    }

    fn memo(&self) -> Value {
        json!({ "attempt": self.attempt, "channel": self.channel, "ts": self.ts })
    }
}

/// Updates the message of the attempt, and replies to it.
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
        // A page is shown in the channel too, not only in the thread.
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

struct Slack<'a> {
    channels: &'a Channels,
    token: Secret,
    api: &'a str,
    /// The time by which all requests must be done, so that the caller still gets the memo of what was sent.
    until: Instant,
}

impl Slack<'_> {
    /// Posts the first message of an attempt.
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
            // Updates need the channel's ID, whatever the plan calls it.
            channel: said["channel"].as_str().unwrap_or(channel).to_owned(),
            ts: ts.to_owned(),
        })
    }

    /// Updates the message. Returns none if it can no longer be changed.
    async fn update(&self, parent: Parent, headline: &str) -> Result<Option<Parent>, Undelivered> {
        let message = json!({ "channel": parent.channel, "ts": parent.ts, "text": headline });
        match self.call("chat.update", &message).await {
            Ok(_) => Ok(Some(parent)),
            Err(undelivered) if GONE.iter().any(|gone| undelivered.why.ends_with(gone)) => Ok(None),
            Err(undelivered) => Err(undelivered),
        }
    }

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

/// The error with the method of the Slack API before its text.
fn in_method(method: &str, undelivered: Undelivered) -> Undelivered {
    Undelivered {
        why: format!("{method}: {}", undelivered.why),
        ..undelivered
    }
}

/// The event in one line, marked if it pages.
fn marked(channels: &Channels, notice: &Notice) -> String {
    let text = escaped(&channels.text(notice));
    if notice.pages {
        format!(":rotating_light: *{text}*")
    } else {
        text
    }
}

/// The idempotency key in small letters, so that a reader can tell a repeated message.
fn key(notice: &Notice) -> String {
    format!("  `{}`", notice.idempotency_key())
}

fn metadata(notice: &Notice) -> Value {
    json!({
        "event_type": "cutover",
        "event_payload": { "idempotency_key": notice.idempotency_key() },
    })
}

/// Escapes what Slack would read as markup, and shortens the text. The limit counts the escaped characters, as Slack does.
fn escaped(text: &str) -> String {
    let mut chars_max = TEXT_CHARS_MAX;
    loop {
        let escaped = escape(&shorten::text(text, chars_max));
        let over = escaped.chars().count().saturating_sub(TEXT_CHARS_MAX);
        if over == 0 {
            return escaped;
        }
        // A character becomes five at most.
        chars_max = chars_max
            .min(text.chars().count())
            .saturating_sub(over.div_ceil(5));
    }
}

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
