//! Shows the thresholds that a rehearsal assumed for the alarms.

use super::film::{Film, Meaning};
use super::look::Look;
use super::{names, verdict};
use crate::report::text;

/// Returns a line for each alarm; `None` if there are no alarms.
pub(super) fn to_text(film: &Film, look: &Look) -> Option<String> {
    if film.assumed.is_empty() {
        return None;
    }
    let mut longest = 0;
    for id in film.assumed.keys() {
        longest = longest.max(names::alarm_of(film, id).chars().count());
    }
    let cells = longest.min(60) + 4;
    let mut lines = vec![text::styled(text::FAINT, "assumed alarm thresholds:")];
    for (id, meaning) in &film.assumed {
        let first = format!("  {}", names::alarm_of(film, id));
        let line = look.hang(&first, cells, &words(meaning));
        lines.push(text::styled(text::FAINT, &line));
    }
    Some(lines.join("\n"))
}

/// Describes the measurement of an alarm, and its threshold.
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
