//! A rehearsal as JSON. Fields are only ever added; docs/reference/json.md documents them.

use serde_json::{Value, json};

use super::film::{Film, Reel, Tally};
use super::{reaction, verdict};
use crate::report::{history, text};

/// Returns a whole rehearsal as JSON.
pub fn to_json(film: &Film) -> Value {
    let mut entries = Vec::new();
    for reel in &film.reels {
        entries.extend_from_slice(&reel.entries);
    }
    json!({
        "seed": film.seed,
        "start": text::rfc3339(film.start),
        "end": text::rfc3339(film.end),
        "assumed": assumed(film),
        "faults": film.faults,
        "never_happened": film.never,
        "cutovers": film.reels.iter().map(|reel| cutover(film, reel)).collect::<Vec<_>>(),
        "calls": film.calls,
        "writes": calls(film, "ChangeResourceRecordSets"),
        "alarm_reads": calls(film, "DescribeAlarms"),
        "history": history::to_json(&entries),
    })
}

/// Returns the number of calls of one AWS operation.
fn calls(film: &Film, operation: &str) -> u64 {
    film.calls.get(operation).copied().unwrap_or(0)
}

/// Returns each alarm with its assumed measurement and threshold.
fn assumed(film: &Film) -> Value {
    let mut all = Vec::new();
    for (id, meaning) in &film.assumed {
        let mut shown = serde_json::to_value(id).unwrap_or(Value::Null);
        if let (Value::Object(shown), Ok(Value::Object(more))) =
            (&mut shown, serde_json::to_value(meaning))
        {
            shown.extend(more);
        }
        all.push(shown);
    }
    Value::Array(all)
}

fn cutover(film: &Film, reel: &Reel) -> Value {
    let mut shown = json!({
        "name": reel.name,
        "phase": reel.phase.label(),
        "ended_at": text::rfc3339(reel.phase_since),
        "steps": reel.plan.steps.len(),
        "requests": requests(&reel.tally),
        "reaction": reaction::to_json(reel.reaction.as_ref()),
        "frames": reel.frames,
        "frames_near_revert": reel.near,
    });
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, verdict::to_json(film, reel))
    {
        shown.extend(more);
    }
    shown
}

/// Returns the numbers of requests, rounded to whole ones.
fn requests(tally: &Tally) -> Value {
    json!({
        "all": tally.requests.round(),
        "failed": tally.failed.round(),
        "failed_by_cutover": tally.failed_by_cutover.round(),
        "failed_without_revert": tally.failed_without_revert.round(),
    })
}
