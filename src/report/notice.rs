//! What people are told over channels: one line an entry, and where a cutover stands.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use serde_json::json;

use super::events;
use super::holds;
use super::text;
use crate::engine::event::{Envelope, Event};
use crate::engine::lists;
use crate::engine::notify::Notice;
use crate::engine::paged::Paged;
use crate::engine::state::Phase;
use crate::engine::units::CutoverName;

/// A page, or the end of one, in one line, without the cutover's name.
pub fn page(entry: &Envelope, settles: &[Paged]) -> String {
    match &entry.event {
        Event::StepHeld { .. } if !settles.is_empty() => over(settles),
        event => events::event(event),
    }
}

/// What people were woken for and is over.
fn over(settles: &[Paged]) -> String {
    let mut facts: Vec<String> = Vec::new();
    for paged in settles {
        if let Paged::Hold(reason) = paged {
            facts.push(holds::fact(reason, None));
        }
    }
    format!("resolved: {}", lists::some(&facts, " · "))
}

/// What happened, in one line, without the cutover's name. Of holds it says what to do about them, too.
pub fn line(notice: &Notice) -> String {
    let entry = &notice.entry;
    if notice.test {
        return "a test of notifications, sent by `cutover notify-test`; nothing has happened"
            .to_owned();
    }
    match &entry.event {
        Event::StepHeld { .. } if !notice.settles.is_empty() && !notice.pages => {
            over(&notice.settles)
        }
        Event::StepHeld { because } => {
            let worth = |pages: bool| {
                because
                    .iter()
                    .filter(move |reason| !pages || reason.pages())
            };
            let lines: Vec<String> = worth(notice.pages)
                .map(|reason| holds::hold(reason, &entry.cutover, entry.at))
                .collect();
            if lines.is_empty() {
                events::event(&entry.event)
            } else {
                lists::some(&lines, " · ")
            }
        }
        event => events::event(event),
    }
}

/// Where the cutover stands, in one line, with its name.
pub fn headline(notice: &Notice) -> String {
    let entry = &notice.entry;
    let Some(standing) = notice.standing.filter(|_| !notice.test) else {
        if notice.test {
            return format!("{}: {}", entry.cutover, line(notice));
        }
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
        Phase::Abandoned => format!(
            "abandoned at step {} of {}: nothing more is written",
            standing.step, standing.steps
        ),
        Phase::Halted => format!(
            "halted at step {} of {}: a person is needed",
            standing.step, standing.steps
        ),
    };
    let paused = if standing.paused && !standing.phase.is_final() {
        " (paused)"
    } else {
        ""
    };
    format!("{}{attempt}: {stands}{paused}", entry.cutover)
}

/// A channel that cannot be told of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The stream.
    pub stream: CutoverName,
    /// The channel, as the plan names it.
    pub channel: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// What was said.
    pub why: String,
    /// When it is tried again.
    pub again_at: Timestamp,
    /// Whether a controller runs that tries it.
    pub attended: bool,
}

/// A channel that never took some entries of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The stream.
    pub stream: CutoverName,
    /// The channel, as the plan names it.
    pub channel: String,
    /// The entries, as far as they are remembered.
    pub entries: Vec<u64>,
    /// Whether one of them pages.
    pub page: bool,
    /// When the last one was passed over.
    pub at: Timestamp,
    /// What was said of the last one.
    pub why: String,
}

impl PassedOver {
    /// As JSON has it. Its fields only grow.
    pub fn to_json(&self) -> Value {
        json!({
            "channel": self.channel,
            "entries": self.entries,
            "page": self.page,
            "at": text::rfc3339(self.at),
            "message": self.why,
        })
    }

    /// In one line.
    pub fn line(&self) -> String {
        let count = text::count(self.entries.len(), "notification");
        let entries: Vec<String> = self.entries.iter().map(u64::to_string).collect();
        let page = if self.page { ", a page among them" } else { "" };
        format!(
            "notifications of {}: {} refused {count} for good, skipped (entries {}){page}, last at {}: {}",
            self.stream,
            self.channel,
            entries.join(", "),
            text::second(self.at),
            self.why
        )
    }
}

impl Failing {
    /// As JSON has it. Its fields only grow.
    pub fn to_json(&self) -> Value {
        json!({
            "channel": self.channel,
            "failing_since": text::rfc3339(self.since),
            "tries": self.tries,
            "message": self.why,
            "again_at": if self.attended { Some(text::rfc3339(self.again_at)) } else { None },
        })
    }
}

/// Channels that fail, a line a channel and cause.
pub fn failing(all: &[Failing]) -> Vec<String> {
    let mut by_cause: BTreeMap<(&str, &str, bool), (Timestamp, BTreeSet<&str>)> = BTreeMap::new();
    for one in all {
        let entry = by_cause.entry((one.channel.as_str(), one.why.as_str(), one.attended));
        let (since, streams) = entry.or_insert((one.since, BTreeSet::new()));
        *since = (*since).min(one.since);
        streams.insert(one.stream.as_str());
    }
    let line = |((channel, why, attended), (since, streams)): (_, (Timestamp, BTreeSet<&str>))| {
        let streams: Vec<&str> = streams.into_iter().collect();
        let waiting = match streams.as_slice() {
            [only] => (*only).to_owned(),
            many => format!("{} cutovers", text::thousands(many.len())),
        };
        let then = if attended {
            "and is tried again"
        } else {
            "and nobody tries again now; `cutover run` on this journal does"
        };
        format!(
            "notifications of {waiting}: {channel} has failed since {}, {then}: {why}",
            text::second(since)
        )
    };
    by_cause.into_iter().map(line).collect()
}
