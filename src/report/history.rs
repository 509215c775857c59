//! What has happened to one cutover: the entries of its stream, as JSON and as a timeline.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{events, text};
use crate::engine::event::{Envelope, Event};
use crate::engine::foreign_text::one_line;

/// All entries as JSON: an array of `{seq, at, actor, attempt, event: {type, …}}`, by (attempt, seq) (semantics J).
pub fn to_json(entries: &[Envelope]) -> Value {
    sorted(entries)
        .into_iter()
        .map(|entry| {
            json!({
                "seq": entry.seq,
                "at": text::rfc3339(entry.at),
                "actor": entry.actor,
                "attempt": entry.attempt,
                "event": serde_json::to_value(&entry.event).unwrap_or(Value::Null),
            })
        })
        .collect()
}

/// All entries as a timeline: a heading for each attempt, and how long nothing happened where that was long.
pub fn to_text(entries: &[Envelope], width: Option<usize>) -> String {
    let entries = sorted(entries);
    let actor_cells = entries
        .iter()
        .map(|entry| one_line(&entry.actor).chars().count())
        .max()
        .unwrap_or(0)
        .min(ACTOR_CELLS_MAX);
    let mut shown = String::new();
    let mut attempt = 0;
    let mut last: Option<Timestamp> = None;
    for entry in entries {
        if entry.attempt != attempt {
            attempt = entry.attempt;
            shown.push_str(&text::styled(text::TITLE, &format!("attempt {attempt}")));
            shown.push('\n');
            last = None;
        }
        let gap = last.map(|last| entry.at.duration_since(last));
        if let Some(gap) = gap.filter(|gap| gap.as_secs() >= GAP_SHOWN_SECS) {
            let gap = format!("      … {}", text::duration(gap));
            shown.push_str(&text::styled(text::FAINT, &gap));
            shown.push('\n');
        }
        last = Some(entry.at);
        let head = format!(
            "{:>5}  {}  {:<actor_cells$}  ",
            entry.seq,
            text::second(entry.at),
            cut(&one_line(&entry.actor))
        );
        let indent = head.chars().count();
        let line = text::wrap(&events::event(&entry.event), indent, width);
        shown.push_str(&head);
        shown.push_str(&coloured(&entry.event, line.trim_start()));
        shown.push('\n');
    }
    shown
}

/// A gap longer than this is shown in the timeline.
const GAP_SHOWN_SECS: i64 = 3_600;

/// A longer actor is cut, so that the lines stay readable; JSON has it whole.
const ACTOR_CELLS_MAX: usize = 24;

fn cut(actor: &str) -> String {
    if actor.chars().count() <= ACTOR_CELLS_MAX {
        return actor.to_owned();
    }
    let head: String = actor.chars().take(ACTOR_CELLS_MAX - 1).collect();
    format!("{head}…")
}

fn sorted(entries: &[Envelope]) -> Vec<&Envelope> {
    let mut sorted: Vec<&Envelope> = entries.iter().collect();
    sorted.sort_by_key(|entry| (entry.attempt, entry.seq));
    sorted
}

/// The colour of what went well, went back, or stopped.
fn coloured(event: &Event, line: &str) -> String {
    match event {
        Event::Completed { .. } | Event::StepCompleted { .. } => text::styled(text::GOOD, line),
        Event::RevertIntended { .. }
        | Event::RevertPerformedUnjournaled { .. }
        | Event::Halted { .. }
        | Event::Abandoned { .. }
        | Event::DriftDetected { .. } => text::styled(text::BAD, line),
        Event::WeightChangeFailed { .. } | Event::WeightChangeAbandoned { .. } => {
            text::styled(text::WARN, line)
        }
        _ => line.to_owned(),
    }
}
