//! The channels of plans: secrets looked up, words put in, sent to the service that each is of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::time::Instant;

use super::shorten;
use super::slack;
use super::sns;
use super::webhook;
use crate::engine::foreign_text::one_line;
use crate::engine::notify::Address;
use crate::engine::notify::Notice;
use crate::engine::notify::SecretRef;
use crate::engine::notify::Via;
use crate::engine::paged::Paged;
use crate::ports::Clock;
use crate::ports::Delivery;
use crate::ports::Topics;
use crate::ports::Undelivered;
use crate::reach::http::Answer;
use crate::reach::http::Client;
use crate::reach::http::Request;
use crate::reach::secrets::Environment;
use crate::reach::secrets::Secret;

/// How long one request may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(8);

/// The most characters of what a service said that are repeated.
const SAID_CHARS_MAX: usize = 200;

/// Words a notice for people. Given from outside, because all wording is `report`'s.
#[derive(Clone)]
pub struct Words {
    /// What happened, in one line, without the cutover's name.
    pub line: Arc<dyn Fn(&Notice) -> String + Send + Sync>,
    /// Where the cutover stands, in one line, with its name.
    pub headline: Arc<dyn Fn(&Notice) -> String + Send + Sync>,
}

/// All that it takes to tell channels.
#[derive(Clone)]
pub struct Channels {
    http: Client,
    pub(super) environment: Environment,
    pub(super) topics: Arc<dyn Topics>,
    pub(super) words: Words,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").finish_non_exhaustive()
    }
}

impl Channels {
    /// Connects channels: `environment` looks secrets up, `topics` publishes to SNS.
    pub fn new(
        words: Words,
        environment: Environment,
        topics: Arc<dyn Topics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            http: Client::default(),
            environment,
            topics,
            words,
            clock,
        }
    }

    /// Tells a channel. Returns what is to be known the next time.
    ///
    /// # Errors
    /// What the service said, or why there is no answer; never a secret.
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

    /// Posts a body. Neither the error nor the answer repeats what is `hidden`.
    pub(super) async fn post(
        &self,
        url: &Secret,
        hidden: &[&Secret],
        headers: &[(&str, String)],
        body: String,
    ) -> Result<Answer, Undelivered> {
        let until = Instant::now() + REQUEST_WITHIN;
        self.post_until(until, url, hidden, headers, body).await
    }

    /// The same, and waits for the answer no longer than until then.
    pub(super) async fn post_until(
        &self,
        until: Instant,
        url: &Secret,
        hidden: &[&Secret],
        headers: &[(&str, String)],
        body: String,
    ) -> Result<Answer, Undelivered> {
        let mut headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let agent = concat!("cutover/", env!("CARGO_PKG_VERSION"));
        headers.push(("user-agent".to_owned(), agent.to_owned()));
        let request = Request {
            method: "POST",
            url: url.reveal().to_owned(),
            headers,
            body,
        };
        let hide = |text: String| {
            let hidden = hidden.iter();
            hidden.fold(text, |text, secret| secret.hidden_in(&text))
        };
        let left = until.saturating_duration_since(Instant::now());
        match self.http.send(request, left.min(REQUEST_WITHIN)).await {
            Ok(answer) => Ok(Answer {
                body: hide(answer.body),
                ..answer
            }),
            Err(failure) => Err(Undelivered::because(hide(failure.to_string()))),
        }
    }

    /// What happened, with the cutover's name, for a service that shows it to people as it is (semantics M6).
    pub(super) fn text(&self, notice: &Notice) -> String {
        let line = (self.words.line)(notice);
        one_line(&format!("{}: {line}", notice.entry.cutover))
    }

    /// Where the cutover stands, likewise.
    pub(super) fn headline(&self, notice: &Notice) -> String {
        one_line(&(self.words.headline)(notice))
    }

    /// The notice as a `CloudEvent` (structured JSON), no longer than services take. Its fields only grow.
    ///
    /// Source: `CloudEvents` 1.0.2, required and optional attributes.
    pub(super) fn event(&self, notice: &Notice) -> Value {
        let entry = &notice.entry;
        let mut event = json!({
            "specversion": "1.0",
            "id": notice.idempotency_key(),
            "source": format!("cutover:{}", entry.cutover),
            "type": format!("cutover.{}", notice.kind()),
            "subject": entry.cutover,
            "time": entry.at,
            "datacontenttype": "application/json",
            "data": {
                "idempotency_key": notice.idempotency_key(),
                "cutover": entry.cutover,
                "attempt": entry.attempt,
                "seq": entry.seq,
                "at": entry.at,
                "actor": entry.actor,
                "level": level(notice),
                "message": (self.words.line)(notice),
                "phase": notice.standing.map(|standing| standing.phase.label()),
                "step": notice.standing.map(|standing| standing.step),
                "steps": notice.standing.map(|standing| standing.steps),
                "event": slim(notice),
            },
        });
        if !notice.settles.is_empty() {
            let resolves: Vec<&str> = notice.settles.iter().map(Paged::kind).collect();
            event["data"]["resolves"] = json!(resolves);
        }
        shorten::event(event)
    }
}

/// Looks a secret up.
///
/// # Errors
/// It is not there, cannot be read, is empty or cannot be sent. Names where it was looked for.
pub fn resolve(kept: &SecretRef, environment: &Environment) -> Result<Secret, String> {
    match kept {
        SecretRef::Environment(name) => Secret::variable(name, environment),
        SecretRef::File(path) => Secret::file(path),
    }
}

/// Looks an address up, which may be a secret.
///
/// # Errors
/// As [`resolve`].
pub(super) fn address(address: &Address, environment: &Environment) -> Result<Secret, String> {
    match address {
        Address::Plain(url) => Ok(Secret::new(url.as_str())),
        Address::Kept(kept) => resolve(kept, environment),
    }
}

/// `page` or `info`.
pub(super) fn level(notice: &Notice) -> &'static str {
    if notice.pages { "page" } else { "info" }
}

/// The event, without the plan that it may carry: that has up to 1 MiB, more than services take.
pub(super) fn slim(notice: &Notice) -> Value {
    if notice.test {
        return json!({ "type": notice.kind() });
    }
    let mut event = serde_json::to_value(&notice.entry.event).unwrap_or(Value::Null);
    if let Some(source) = event.get_mut("source").and_then(Value::as_object_mut) {
        source.remove("plan");
        source.remove("text");
    }
    event
}

/// Whether an answer is of the 200s.
pub(super) fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// Whether a refusal is an answer to this message, whenever it is sent: the 400s, without those that ask for another try
/// (408 Request Timeout, 429 Too Many Requests).
///
/// Source: RFC 9110, section 15.5; RFC 6585, section 4.
fn is_for_good(status: u16) -> bool {
    (400..500).contains(&status) && status != 408 && status != 429
}

/// What a service refused with.
pub(super) fn refused(answer: &Answer) -> Undelivered {
    let said: String = answer
        .body
        .chars()
        .filter(|c| !c.is_control())
        .take(SAID_CHARS_MAX)
        .collect();
    let said = said.trim();
    let why = match (answer.status, said) {
        (300..=399, _) => format!("HTTP {}: redirects are not followed", answer.status),
        (status, "") => format!("HTTP {status}"),
        (status, said) => format!("HTTP {status}: {said}"),
    };
    Undelivered {
        why,
        for_good: is_for_good(answer.status),
        again_after: answer.retry_after,
        memo: None,
    }
}
