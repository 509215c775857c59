//! From a fault to the traffic being back: where the time went.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::film::{Reaction, Reel};
use super::glyphs;
use super::title;
use crate::report::text;

/// One part of the time, between two moments.
struct Part {
    /// Its name, for people.
    name: &'static str,
    /// Its name in JSON, in seconds.
    key: &'static str,
    /// How long it took; none where one of its moments is not known.
    took: Option<SignedDuration>,
}

/// The parts, in order. A moment that is not known (an alarm that was set by hand has no metric) has no part, and the next
/// one begins where the one before ended; a part that ended before it began took no time.
fn parts(reaction: &Reaction) -> [Part; 6] {
    let mut last = reaction.fault_at;
    let mut part = |name, key, at: Option<Timestamp>| {
        let length =
            |from: Timestamp, to: Timestamp| to.duration_since(from).max(SignedDuration::ZERO);
        let took = last.zip(at).map(|(from, to)| length(from, to));
        last = at.or(last);
        Part { name, key, took }
    };
    [
        part("metric delay", "metric_delay_secs", reaction.metric_at),
        part("alarm", "alarm_secs", reaction.alarm_at),
        part("poll", "poll_secs", reaction.decided_at),
        part("write", "write_secs", reaction.written_at),
        part("propagation", "propagation_secs", reaction.in_sync_at),
        part("cache tail", "cache_tail_secs", reaction.drained_at),
    ]
}

/// From the first known moment to the last one.
fn whole(reaction: &Reaction) -> Option<SignedDuration> {
    let moments = [
        reaction.fault_at,
        reaction.metric_at,
        reaction.alarm_at,
        reaction.decided_at,
        reaction.written_at,
        reaction.in_sync_at,
        reaction.drained_at,
    ];
    let mut known = moments.into_iter().flatten();
    let first = known.next()?;
    Some(known.next_back()?.duration_since(first))
}

/// How wide the longest bar is.
const BAR_CELLS: i128 = 30;

/// A bar for each part; none where nothing went back.
pub(super) fn to_text(reel: &Reel) -> Option<String> {
    let reaction = reel.reaction.as_ref()?;
    let parts = parts(reaction);
    let longest = parts.iter().filter_map(|part| part.took).max()?;
    let began = match reaction.fault_at {
        Some(_) => "from the fault to the traffic being back",
        None => "the way back",
    };
    let all = text::duration(whole(reaction)?);
    let mut lines = vec![title(reel, &format!("{began}, {all}"))];
    for part in parts {
        let Some(took) = part.took else { continue };
        let bar = bar(took, longest);
        let line = format!("  {:<12} {:>8}  {bar}", part.name, short(took));
        lines.push(line.trim_end().to_owned());
    }
    Some(lines.join("\n"))
}

/// Down to the second up to an hour, where seconds count.
fn short(took: SignedDuration) -> String {
    if took.as_secs() == 0 && took > SignedDuration::ZERO {
        return "< 1s".to_owned();
    }
    text::duration(took)
}

/// A bar, to an eighth of a cell. What took any time shows.
fn bar(took: SignedDuration, longest: SignedDuration) -> String {
    let (took, longest) = (took.as_millis(), longest.as_millis().max(1));
    let eighths = (took * BAR_CELLS * 8 / longest).max(i128::from(took > 0));
    let whole = usize::try_from(eighths / 8).unwrap_or_default();
    let part = usize::try_from(eighths % 8).unwrap_or_default();
    let mut bar = "█".repeat(whole);
    bar.extend(part.checked_sub(1).and_then(|part| glyphs::PARTS.get(part)));
    bar
}

/// The moments and the parts; null where nothing went back.
pub(super) fn to_json(reaction: Option<&Reaction>) -> Value {
    let Some(reaction) = reaction else {
        return Value::Null;
    };
    let moment = |at: Option<Timestamp>| at.map(text::rfc3339);
    let seconds = |took: Option<SignedDuration>| took.map(|took| took.as_secs());
    let mut shown = json!({
        "fault_at": moment(reaction.fault_at),
        "metric_at": moment(reaction.metric_at),
        "alarm_at": moment(reaction.alarm_at),
        "decided_at": moment(reaction.decided_at),
        "written_at": moment(reaction.written_at),
        "in_sync_at": moment(reaction.in_sync_at),
        "drained_at": moment(reaction.drained_at),
        "total_secs": seconds(whole(reaction)),
    });
    for part in parts(reaction) {
        shown[part.key] = Value::from(seconds(part.took));
    }
    shown
}
