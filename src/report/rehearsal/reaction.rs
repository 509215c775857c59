//! Shows how the time from a fault until the traffic is back was spent.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::film::{Reaction, Reel};
use super::glyphs;
use super::look::title;
use crate::report::text;

/// One part of the time, between two stages.
struct ReactionPart {
    /// The name of the part, for people.
    name: &'static str,
    /// The key of the part in JSON. Its value is in seconds.
    key: &'static str,
    /// How long the part took; `None` if its start or its end is not known.
    took: Option<SignedDuration>,
}

/// Returns the parts, in order. If a stage is not known (an alarm that was set by hand has no metric), its part has no
/// length, and the next part begins where the one before ended. A part that ended before it began took no time.
fn parts(reaction: &Reaction) -> Vec<ReactionPart> {
    let mut parts = Vec::new();
    let mut last = reaction.fault_at;
    for (name, key, at) in [
        ("metric delay", "metric_delay_secs", reaction.metric_at),
        ("alarm", "alarm_secs", reaction.alarm_at),
        ("poll", "poll_secs", reaction.decided_at),
        ("write", "write_secs", reaction.written_at),
        ("propagation", "propagation_secs", reaction.in_sync_at),
        ("cache tail", "cache_tail_secs", reaction.drained_at),
    ] {
        let took = match (last, at) {
            (Some(from), Some(to)) => Some(to.duration_since(from).max(SignedDuration::ZERO)),
            (Some(_) | None, None) | (None, Some(_)) => None,
        };
        parts.push(ReactionPart { name, key, took });
        last = at.or(last);
    }
    parts
}

/// Returns the time from the first known stage to the last one; `None` if fewer than two are known.
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

/// Width of the longest bar, in columns.
const BAR_CELLS: i128 = 30;

/// Returns a bar for each part; `None` if nothing reverted or no part is known.
pub(super) fn to_text(reel: &Reel) -> Option<String> {
    let reaction = reel.reaction.as_ref()?;
    let parts = parts(reaction);
    let longest = parts.iter().filter_map(|part| part.took).max()?;
    let began = match reaction.fault_at {
        Some(_) => "from the fault until the traffic is back",
        None => "the revert",
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

/// Returns a duration. Anything above zero is not shown as `0s`.
fn short(took: SignedDuration) -> String {
    if took.as_secs() == 0 && took > SignedDuration::ZERO {
        return "< 1s".to_owned();
    }
    text::duration(took)
}

/// Returns a bar, exact to an eighth of a cell. Anything above zero is visible.
fn bar(took: SignedDuration, longest: SignedDuration) -> String {
    let (took, longest) = (took.as_millis(), longest.as_millis().max(1));
    let eighths = (took * BAR_CELLS * 8 / longest).max(i128::from(took > 0));
    let whole = usize::try_from(eighths / 8).unwrap_or_default();
    let part = usize::try_from(eighths % 8).unwrap_or_default();
    let mut bar = "█".repeat(whole);
    bar.extend(part.checked_sub(1).and_then(|part| glyphs::PARTS.get(part)));
    bar
}

/// Returns the times of the stages and the lengths of the parts as JSON; null if nothing reverted.
pub(super) fn to_json(reaction: Option<&Reaction>) -> Value {
    let Some(reaction) = reaction else {
        return Value::Null;
    };
    let mut shown = json!({
        "fault_at": reaction.fault_at.map(text::rfc3339),
        "metric_at": reaction.metric_at.map(text::rfc3339),
        "alarm_at": reaction.alarm_at.map(text::rfc3339),
        "decided_at": reaction.decided_at.map(text::rfc3339),
        "written_at": reaction.written_at.map(text::rfc3339),
        "in_sync_at": reaction.in_sync_at.map(text::rfc3339),
        "drained_at": reaction.drained_at.map(text::rfc3339),
        "total_secs": seconds(whole(reaction)),
    });
    for part in parts(reaction) {
        shown[part.key] = json!(seconds(part.took));
    }
    shown
}

fn seconds(took: Option<SignedDuration>) -> Option<i64> {
    took.map(|took| took.as_secs())
}
