//! The words of notifications: one line for each entry, and a headline with the state of the cutover.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{events, fleet, holds, text};
use crate::engine::event::Event;
use crate::engine::hold::HoldReason;
use crate::engine::lists::{self, NAMED_MAX};
use crate::engine::notify::Notice;
use crate::engine::paged::Paged;
use crate::engine::state::Phase;
use crate::engine::units::CutoverName;

/// Returns the holds that paged somebody and are over, in one line.
fn over(settles: &[Paged]) -> String {
    let mut facts: Vec<String> = Vec::new();
    for paged in settles {
        if let Paged::Hold(reason) = paged {
            facts.push(holds::fact(reason, None));
        }
    }
    format!("resolved: {}", lists::some(&facts, " · "))
}

/// Returns the line of an entry, without the cutover's name. Holds come with their remedies.
pub fn line(notice: &Notice) -> String {
    let entry = &notice.entry;
    if notice.test {
        return "a test of notifications, sent by `cutover notify-test`; nothing has happened"
            .to_owned();
    }
    let Event::StepHeld { because } = &entry.event else {
        return events::event(&entry.event);
    };
    if !notice.settles.is_empty() && !notice.pages {
        return over(&notice.settles);
    }
    if let Some(words) = together(notice, because) {
        return words;
    }
    let mut lines = Vec::new();
    for reason in because {
        if !notice.pages || reason.pages() {
            lines.push(holds::hold(reason, &entry.cutover, entry.at));
        }
    }
    if lines.is_empty() {
        return events::event(&entry.event);
    }
    lists::some(&lines, " · ")
}

/// The line of a page for several cutovers: how many, which, and the hold of the first. None if it is for one.
fn together(notice: &Notice, because: &[HoldReason]) -> Option<String> {
    if notice.others.is_empty() {
        return None;
    }
    let mut reasons = because.iter();
    let reason = reasons.find(|reason| {
        let cause = reason.common();
        cause.is_some_and(|cause| notice.causes.contains(&cause))
    })?;
    let mut named = vec![notice.entry.cutover.clone()];
    for (name, _) in notice.others.iter().take(NAMED_MAX - 1) {
        named.push(name.clone());
    }
    let services = notice.others.len() + 1;
    Some(fleet::held(reason, services, &named, Some(notice.entry.at)))
}

/// Returns the state of the cutover in one line, with its name.
pub fn headline(notice: &Notice) -> String {
    let entry = &notice.entry;
    if notice.test {
        return format!("{}: {}", entry.cutover, line(notice));
    }
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
        Phase::Reverting => "reverting to the old cluster".to_owned(),
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

/// A channel to which the notifications of a stream cannot be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The stream whose notifications are not delivered.
    pub stream: CutoverName,
    /// The channel, as the plan names it.
    pub channel: String,
    /// When the first try failed.
    pub since: Timestamp,
    /// Number of tries so far.
    pub tries: u32,
    /// Why the last try failed.
    pub why: String,
    /// When the next try is due.
    pub again_at: Timestamp,
    /// True if a running controller tries again.
    pub attended: bool,
}

/// A channel that refused some entries of a stream for good. These entries were skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The stream of the entries.
    pub stream: CutoverName,
    /// The channel, as the plan names it.
    pub channel: String,
    /// Sequence numbers of the skipped entries, as far as they are remembered.
    pub entries: Vec<u64>,
    /// True if one of the entries pages.
    pub page: bool,
    /// When the last entry was skipped.
    pub at: Timestamp,
    /// Why the last entry was refused.
    pub why: String,
}

impl PassedOver {
    /// Returns the JSON form. Fields are only ever added.
    pub fn to_json(&self) -> Value {
        json!({
            "channel": self.channel,
            "entries": self.entries,
            "page": self.page,
            "at": text::rfc3339(self.at),
            "message": self.why,
        })
    }

    /// Returns one line for people.
    pub fn line(&self) -> String {
        let count = text::count(self.entries.len(), "notification");
        let entries: Vec<String> = self.entries.iter().map(u64::to_string).collect();
        let page = if self.page { ", a page among them" } else { "" };
        format!(
            "notifications of {}: {} permanently refused {count}, skipped (entries {}){page}, last at {}: {}",
            self.stream,
            self.channel,
            entries.join(", "),
            text::second(self.at),
            self.why
        )
    }
}

impl Failing {
    /// Returns the JSON form. Fields are only ever added.
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

/// Returns one line for each failing channel and cause.
pub fn failing(all: &[Failing]) -> Vec<String> {
    let mut by_cause: BTreeMap<(&str, &str, bool), (Timestamp, BTreeSet<&str>)> = BTreeMap::new();
    for one in all {
        let entry = by_cause.entry((one.channel.as_str(), one.why.as_str(), one.attended));
        let (since, streams) = entry.or_insert((one.since, BTreeSet::new()));
        *since = (*since).min(one.since);
        streams.insert(one.stream.as_str());
    }
    let mut lines = Vec::new();
    for ((channel, why, attended), (since, streams)) in by_cause {
        let waiting = match streams.first() {
            Some(only) if streams.len() == 1 => (*only).to_owned(),
            Some(_) | None => format!("{} cutovers", text::thousands(streams.len())),
        };
        let then = if attended {
            "and is retried"
        } else {
            "and is not retried now; start a controller on this journal: `cutover run PATH…`"
        };
        lines.push(format!(
            "notifications of {waiting}: {channel} has failed since {}, {then}: {why}",
            text::second(since)
        ));
    }
    lines
}
