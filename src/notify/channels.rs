//! The code that all channels share: it reads secrets, puts notices into words, and sends requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::shorten;
use crate::engine::foreign_text::one_line;
use crate::engine::notify::{self, Address, Notice, SecretRef};
use crate::engine::paged::Paged;
use crate::engine::units::CutoverName;
use crate::ports::{Clock, Topics, Undelivered};
use crate::reach::http::{Answer, Client, Request};
use crate::reach::secrets::{Environment, Secret};

/// The longest time that one request may take.
const REQUEST_WITHIN: Duration = Duration::from_secs(8);

/// The most characters of a service's reply that an error repeats.
const SAID_CHARS_MAX: usize = 200;

/// The functions that put a notice into words for people. The caller provides them, because all wording is in `report`.
#[derive(Clone)]
pub struct Words {
    /// Returns the event in one line, without the cutover's name.
    pub line: Arc<dyn Fn(&Notice) -> String + Send + Sync>,
    /// Returns the cutover's current state in one line, with its name.
    pub headline: Arc<dyn Fn(&Notice) -> String + Send + Sync>,
}

/// Notifies channels through their services.
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
    /// Creates the adapter. `environment` reads the variables of secrets, and `topics` publishes to SNS.
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

    /// Posts a body to a secret address. Neither the error nor the reply contains a secret in `hidden`.
    ///
    /// # Errors
    /// No reply came within 8 s. A reply with an error status is not an error here.
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

    /// Does the same as [`Channels::post`], but waits for the reply no later than `until`.
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
        let left = until.saturating_duration_since(Instant::now());
        match self.http.send(request, left.min(REQUEST_WITHIN)).await {
            Ok(answer) => Ok(Answer {
                body: without_secrets(answer.body, hidden),
                ..answer
            }),
            Err(failure) => {
                let why = without_secrets(failure.to_string(), hidden);
                Err(Undelivered::because(why))
            }
        }
    }

    /// Returns the event in one line, with the cutover's name, for services that show it to people unchanged (semantics
    /// M6).
    pub(super) fn text(&self, notice: &Notice) -> String {
        let line = (self.words.line)(notice);
        if !notice.others.is_empty() {
            // The line names the cutovers.
            return one_line(&line);
        }
        one_line(&format!("{}: {line}", notice.entry.cutover))
    }

    /// Returns the cutover's current state in one line, for services that show it to people unchanged (semantics M6).
    pub(super) fn headline(&self, notice: &Notice) -> String {
        one_line(&(self.words.headline)(notice))
    }

    /// Returns the notice as a `CloudEvent` in structured JSON, shortened to what services accept. Later versions only
    /// add fields.
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
        if !notice.others.is_empty() {
            event["data"]["also"] = json!(keys(&notice.others));
        }
        shorten::event(event)
    }
}

/// Removes secrets from a text.
fn without_secrets(mut text: String, secrets: &[&Secret]) -> String {
    for secret in secrets {
        text = secret.hidden_in(&text);
    }
    text
}

/// Reads a secret from its environment variable or file.
///
/// # Errors
/// The secret does not exist, cannot be read, is empty, or has line breaks or control characters. The message names its
/// variable or file.
pub fn resolve(kept: &SecretRef, environment: &Environment) -> Result<Secret, String> {
    match kept {
        SecretRef::Environment(name) => Secret::variable(name, environment),
        SecretRef::File(path) => Secret::file(path),
    }
}

/// Returns an address. It may be a secret that is read from its variable or file.
///
/// # Errors
/// The same as [`resolve`].
pub(super) fn address(address: &Address, environment: &Environment) -> Result<Secret, String> {
    match address {
        Address::Plain(url) => Ok(Secret::new(url.as_str())),
        Address::Kept(kept) => resolve(kept, environment),
    }
}

/// Returns `page` for a notice that pages, otherwise `info`.
pub(super) fn level(notice: &Notice) -> &'static str {
    if notice.pages { "page" } else { "info" }
}

/// The keys of the entries of other cutovers that a message tells of too.
pub(super) fn keys(others: &[(CutoverName, u64)]) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, seq) in others {
        keys.push(notify::key(name, *seq));
    }
    keys
}

/// Returns the event as JSON, without the plan that it may contain. A plan has up to 1 MiB, more than services accept.
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

/// Returns true if the status of a reply is 200 to 299.
pub(super) fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// Returns true if a service with this status would refuse the same message at any time: 400 to 499, except the
/// statuses that ask for another try (408 Request Timeout, 429 Too Many Requests).
///
/// Source: RFC 9110, section 15.5; RFC 6585, section 4.
fn is_for_good(status: u16) -> bool {
    (400..500).contains(&status) && status != 408 && status != 429
}

/// Returns the error of a service that refused a message.
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
