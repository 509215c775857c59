//! Shortens texts to the length that a service accepts. A text that is too long is marked, and never refused (semantics
//! M8).

use serde_json::{Value, json};

/// The mark at the end of a shortened text.
pub(super) const MARK: &str = "… (shortened)";

/// The most bytes of an event as JSON, for webhooks and topics. Intermediaries must forward events of 64 KiB. Amazon
/// SNS accepts 256 KiB for a whole message, so the event fits even if its characters are escaped twice.
///
/// Source: `CloudEvents` 1.0.2, Size Limits (64 KiB); SNS API Reference, `Publish` (256 KiB).
pub(super) const EVENT_BYTES_MAX: usize = 60 * 1024;

/// The lengths, in characters, to which the texts of a too long event are shortened. They are tried in this order.
const TEXT_CHARS: [usize; 4] = [4_096, 1_024, 256, 64];

/// Shortens a text to at most `chars_max` characters, including the mark.
pub(super) fn text(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(MARK.chars().count());
    let mut short: String = text.chars().take(kept).collect();
    short.push_str(MARK);
    short
}

/// Shortens an event to at most [`EVENT_BYTES_MAX`] bytes. First its texts are shortened. If that is not enough, its
/// details are reduced to the event's type.
pub(super) fn event(mut event: Value) -> Value {
    for chars_max in TEXT_CHARS {
        if event.to_string().len() <= EVENT_BYTES_MAX {
            return event;
        }
        shorten_texts(&mut event, chars_max);
    }
    if event.to_string().len() > EVENT_BYTES_MAX {
        let kind = event["data"]["event"]["type"].clone();
        event["data"]["event"] = json!({ "type": kind, "shortened": true });
    }
    event
}

/// Shortens every text in a JSON value.
fn shorten_texts(value: &mut Value, chars_max: usize) {
    match value {
        Value::String(long) => *long = text(long, chars_max),
        Value::Array(items) => {
            for item in items {
                shorten_texts(item, chars_max);
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                shorten_texts(field, chars_max);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_left_alone_and_one_that_does_not_says_so() {
        assert_eq!(text("short", 20), "short");
        let short = text(&"é".repeat(105_000), 100);
        assert_eq!(short.chars().count(), 100);
        assert!(short.ends_with(MARK), "{short}");
    }

    #[test]
    fn an_event_fits_whatever_is_in_it_and_keeps_its_type() {
        let said = "\"\u{1}".repeat(52_500);
        let event_of = |details: Value| {
            event(json!({ "id": "api/7", "data": { "message": said, "event": details } }))
        };
        let one = event_of(json!({ "type": "halted", "reason": said, "step": 3 }));
        assert!(one.to_string().len() <= EVENT_BYTES_MAX);
        assert_eq!(one["data"]["event"]["step"], 3, "{one}");
        assert!(one["data"]["message"].as_str().unwrap().ends_with(MARK));
        let many: Vec<String> = (0..100_000).map(|group| format!("group {group}")).collect();
        let one = event_of(json!({ "type": "drift_detected", "groups": many }));
        assert!(one.to_string().len() <= EVENT_BYTES_MAX);
        let left = json!({ "type": "drift_detected", "shortened": true });
        assert_eq!(one["data"]["event"], left);
        assert_eq!(one["id"], "api/7");
        let twice = json!({ "default": one.to_string() }).to_string();
        assert!(twice.len() < 256 * 1024);
    }
}
