//! Sends notices to Amazon SNS, with a text for people, the event for programs, and attributes to filter by.
//!
//! Source: SNS API Reference, `Publish`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::channels::{Channels, level};
use super::shorten;
use crate::ports::{Delivery, Publication, Undelivered};

/// The most characters of a subject. Source: SNS API Reference, `Publish` (less than 100).
const SUBJECT_CHARS_MAX: usize = 99;

/// The most characters of a text for people.
const TEXT_CHARS_MAX: usize = 1_000;

/// Publishes a notice to a topic. The channel needs no data for its next delivery.
///
/// # Errors
/// SNS refused the message, or no reply came.
pub(super) async fn publish(
    channels: &Channels,
    delivery: &Delivery,
    topic_arn: &str,
) -> Result<Option<Value>, Undelivered> {
    let notice = &delivery.notice;
    let text = shorten::text(&channels.text(notice), TEXT_CHARS_MAX);
    let event = channels.event(notice).to_string();
    let key = notice.idempotency_key();
    let publication = Publication {
        topic_arn: topic_arn.to_owned(),
        subject: subject(&format!("[{}] {text}", level(notice))),
        // People read e-mail and SMS. All other subscribers get the event.
        message: json!({ "default": event, "email": text, "sms": text }).to_string(),
        attributes: BTreeMap::from([
            ("cutover", notice.entry.cutover.to_string()),
            ("event", notice.kind().to_owned()),
            ("idempotency_key", key.clone()),
            ("level", level(notice).to_owned()),
        ]),
        group: notice.entry.cutover.to_string(),
        deduplication: key,
    };
    channels.topics.publish(&publication).await?;
    Ok(None)
}

/// Returns a subject that SNS accepts: ASCII without control characters. Other characters become `?`.
fn subject(text: &str) -> String {
    let mut subject = String::new();
    for character in text.chars().take(SUBJECT_CHARS_MAX) {
        let printable = (' '..='~').contains(&character);
        subject.push(if printable { character } else { '?' });
    }
    subject
}
