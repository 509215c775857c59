//! The history of one cutover: the entries of its stream, as JSON and as a timeline.

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

/// All entries as a timeline: a heading for each attempt, and a line for each long gap.
pub fn to_text(entries: &[Envelope], width: Option<usize>) -> String {
    let entries = sorted(entries);
    let mut actor_cells = 0;
    for entry in &entries {
        actor_cells = actor_cells.max(one_line(&entry.actor).chars().count());
    }
    let actor_cells = actor_cells.min(ACTOR_CELLS_MAX);
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
        if let Some(gap) = gap
            && gap.as_secs() >= GAP_SHOWN_SECS
        {
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

/// A gap of this length or more is shown in the timeline.
const GAP_SHOWN_SECS: i64 = 3_600;

/// A longer actor is shortened, so that the lines stay readable; JSON has it whole.
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

/// The line in the colour of success, of failure, or of a warning; most events have none.
fn coloured(event: &Event, line: &str) -> String {
    let good = matches!(event, Event::Completed { .. } | Event::StepCompleted { .. });
    let bad = matches!(
        event,
        Event::RevertIntended { .. }
            | Event::RevertPerformedUnjournaled { .. }
            | Event::Halted { .. }
            | Event::Abandoned { .. }
            | Event::DriftDetected { .. }
    );
    let warning = matches!(
        event,
        Event::WeightChangeFailed { .. } | Event::WeightChangeAbandoned { .. }
    );
    if good {
        text::styled(text::GOOD, line)
    } else if bad {
        text::styled(text::BAD, line)
    } else if warning {
        text::styled(text::WARN, line)
    } else {
        line.to_owned()
    }
}
