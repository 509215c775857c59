//! The history of one cutover: the entries of its stream, as JSON and as a timeline.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{events, text};
use crate::engine::event::{Envelope, Event};
use crate::engine::fleet::is_fleet;
use crate::engine::fold;
use crate::engine::foreign_text::one_line;
use crate::engine::notify::{News, Notify};

/// Returns all entries as JSON: an array of `{seq, at, actor, attempt, event: {type, …}}`, by (attempt, seq) (semantics
/// J).
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

/// Returns all entries as a timeline, with a heading for each attempt and a line for each long gap.
pub fn to_text(entries: &[Envelope], width: Option<usize>) -> String {
    let logged_only = logged_only(entries);
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
        let mut line = events::event(&entry.event);
        if logged_only.contains(&entry.seq) {
            line.push_str(LOGGED_ONLY);
        }
        let line = text::wrap(&line, indent, width);
        shown.push_str(&head);
        shown.push_str(&coloured(&entry.event, line.trim_start()));
        shown.push('\n');
    }
    shown
}

/// What is said of a page that goes only to the log.
const LOGGED_ONLY: &str = " (page logged only: no `notify` gets it)";

/// The entries of a stream whose pages go only to the log (semantics L10). In a damaged stream, as far as it can be
/// followed.
fn logged_only(entries: &[Envelope]) -> BTreeSet<u64> {
    let mut only = BTreeSet::new();
    let mut state = None;
    let mut fleets = None;
    for entry in entries {
        let news = News::of(state.as_ref(), entry);
        let (pages, notify) = if is_fleet(&entry.cutover) {
            if let Event::FleetSettingsAccepted { settings, .. } = &entry.event {
                fleets.clone_from(&settings.notify);
            }
            // The people of a damaged cutover are told of it too, whatever the fleet's file says.
            let damage = matches!(entry.event, Event::CutoverDamaged { .. });
            (entry.event.pages() && !damage, fleets.as_ref())
        } else {
            if fold::apply(&mut state, entry).is_err() {
                break;
            }
            let Some(after) = &state else {
                break;
            };
            (
                after.pages.contains(&entry.seq),
                after.plan().notify.as_ref(),
            )
        };
        let channels = notify.map(Notify::all).unwrap_or_default();
        let (_, told) = news.notice(entry, pages, None, channels);
        if pages && told.is_empty() {
            only.insert(entry.seq);
        }
    }
    only
}

/// Shortest gap that is shown in the timeline, in seconds.
const GAP_SHOWN_SECS: i64 = 3_600;

/// Longest actor that is shown in full, in characters. A longer one is shortened, so that lines stay readable; JSON has
/// it in full.
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

/// Returns the line in the colour of success, failure or a warning. The lines of most events have no colour.
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
