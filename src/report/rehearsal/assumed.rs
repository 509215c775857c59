//! What was taken for granted about the alarms.

use super::Look;
use super::film::{Film, Meaning};
use super::names;
use super::verdict;
use crate::report::text;

/// One line an alarm; none where there is no alarm.
pub(super) fn to_text(film: &Film, look: &Look) -> Option<String> {
    if film.assumed.is_empty() {
        return None;
    }
    let title = text::styled(
        text::FAINT,
        "taken for granted about the alarms, which are red for:",
    );
    let names = film
        .assumed
        .keys()
        .map(|id| names::alarm_of(film, id).chars().count());
    let cells = names.max().unwrap_or_default().min(60) + 4;
    let lines = film.assumed.iter().map(|(id, meaning)| {
        let first = format!("  {}", names::alarm_of(film, id));
        let line = look.hang(&first, cells, &words(meaning));
        text::styled(text::FAINT, &line)
    });
    let lines: Vec<String> = std::iter::once(title).chain(lines).collect();
    Some(lines.join("\n"))
}

/// What an alarm measures, and when it is red.
fn words(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Errors { above, old_side } => format!(
            "{} side, failed requests above {}",
            side(*old_side),
            verdict::percent(*above)
        ),
        Meaning::Latency { above_ms, old_side } => format!(
            "{} side, p99 above {} ms",
            side(*old_side),
            verdict::amount(*above_ms)
        ),
    }
}

fn side(old: bool) -> &'static str {
    if old { "old" } else { "new" }
}
