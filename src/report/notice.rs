//! What people are told over channels: one line an entry, and where a cutover stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::json;

use super::events;
use super::holds;
use super::text;
use crate::engine::event::Event;
use crate::engine::notify::Notice;
use crate::engine::state::Phase;
use crate::ports::Cursor;

/// What happened, in one line, without the cutover's name. Of holds it says what to do about them, too.
pub fn line(notice: &Notice) -> String {
    let entry = &notice.entry;
    match &entry.event {
        Event::StepHeld { because } => {
            let worth = |pages: bool| because.iter().filter(move |reason| !pages || reason.pages());
            let lines: Vec<String> = worth(notice.pages)
                .map(|reason| holds::hold(reason, &entry.cutover, entry.at))
                .collect();
            if lines.is_empty() {
                events::event(&entry.event)
            } else {
                lines.join(" · ")
            }
        }
        event => events::event(event),
    }
}

/// Where the cutover stands, in one line, with its name.
pub fn headline(notice: &Notice) -> String {
    let entry = &notice.entry;
    let Some(standing) = notice.standing else {
        return format!("the fleet: {}", line(notice));
    };
    let attempt = if entry.attempt > 1 {
        format!(", attempt {}", entry.attempt)
    } else {
        String::new()
    };
    let step = format!(
        "step {} of {}, {} on the new cluster",
        standing.step,
        standing.steps,
        text::share(standing.share)
    );
    let stands = match standing.phase {
        Phase::Waiting => "not started".to_owned(),
        Phase::Shifting => format!("moving to {step}"),
        Phase::Settling => format!("settling at {step}"),
        Phase::Baking => format!("baking {step}"),
        Phase::Completed => "completed: all traffic is on the new cluster".to_owned(),
        Phase::Reverting => "going back to the old cluster".to_owned(),
        Phase::Reverted => "reverted: back on the old cluster".to_owned(),
        Phase::Halted => format!("halted at step {} of {}: a person is needed", standing.step, standing.steps),
    };
    let paused = if standing.paused && !standing.phase.is_final() {
        " (paused)"
    } else {
        ""
    };
    format!("{}{attempt}: {stands}{paused}", entry.cutover)
}

/// Channels that have failed, a line a channel and cause. `status` shows them.
pub fn troubles(cursors: &[Cursor], now: Timestamp) -> Vec<String> {
    let mut by_cause: BTreeMap<(&str, &str), (Timestamp, Vec<&str>)> = BTreeMap::new();
    for cursor in cursors {
        let Some(trouble) = &cursor.trouble else {
            continue;
        };
        let entry = by_cause.entry((cursor.channel.as_str(), trouble.why.as_str()));
        let (since, streams) = entry.or_insert((trouble.since, Vec::new()));
        *since = (*since).min(trouble.since);
        streams.push(cursor.stream.as_str());
    }
    let line = |((channel, why), (since, streams)): ((&str, &str), (Timestamp, Vec<&str>))| {
        let waiting = match streams.as_slice() {
            [only] => (*only).to_owned(),
            many => format!("{} cutovers", text::thousands(many.len())),
        };
        format!(
            "notifications: {channel} has failed since {} for {waiting}: {why}; it is tried again",
            text::when(since, now)
        )
    };
    by_cause.into_iter().map(line).collect()
}

/// A failing channel as JSON has it. Its fields only grow.
pub fn trouble_json(cursor: &Cursor) -> Option<Value> {
    let trouble = cursor.trouble.as_ref()?;
    Some(json!({
        "channel": cursor.channel,
        "failing_since": text::rfc3339(trouble.since),
        "tries": trouble.tries,
        "message": trouble.why,
        "again_at": text::rfc3339(trouble.again_at),
    }))
}
