//! Counts the calls that a rollback will make, to show them before it asks for confirmation.

use std::collections::BTreeMap;

use crate::controller::batch;
use crate::engine::decide::{How, Part};
use crate::engine::event::RevertMode;
use crate::engine::foreign_text::one_line;
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, State};
use crate::engine::units::ZoneId;

/// Largest number of lines that are shown. If there are more, their number is shown instead.
const LINES_MAX: usize = 20;

/// The write calls of a rollback: for each zone the number of groups and the number of batches.
pub(super) struct Calls {
    zones: BTreeMap<ZoneId, (usize, usize)>,
    forced: bool,
}

impl Calls {
    /// Counts the calls for cutovers of the journal.
    pub(super) fn of_states<'a>(
        states: impl IntoIterator<Item = &'a State>,
        mode: RevertMode,
    ) -> Self {
        let images = states
            .into_iter()
            .flat_map(|state| state.baseline.iter().flatten());
        Self::of_images(images, mode == RevertMode::Force)
    }

    /// Counts the calls for stored images. If `forced`, they are written without reading first.
    pub(super) fn of_images<'a>(
        images: impl IntoIterator<Item = &'a GroupImage>,
        forced: bool,
    ) -> Self {
        let mut parts: BTreeMap<ZoneId, Vec<Part>> = BTreeMap::new();
        for (group, image) in images.into_iter().enumerate() {
            let part = Part {
                group,
                image: image.clone(),
                to: image.pair(),
                how: if forced { How::Upsert } else { How::Swap },
            };
            parts.entry(image.zone.clone()).or_default().push(part);
        }
        let mut zones = BTreeMap::new();
        for (zone, parts) in parts {
            zones.insert(zone, (parts.len(), batch::requests(&parts)));
        }
        Self { zones, forced }
    }

    /// Returns one line per zone, up to [`LINES_MAX`], and one line with the totals.
    pub(super) fn shown(&self) -> String {
        let (mut lines, mut groups, mut batches) = (Vec::new(), 0, 0);
        for (zone, (of_zone, calls)) in &self.zones {
            groups += of_zone;
            batches += calls;
            lines.push(line(&format!(
                "zone {zone}: {} ({} records) in {}",
                counted(*of_zone, "group"),
                of_zone * 2,
                counted(*calls, "write call")
            )));
        }
        let more = lines.len().saturating_sub(LINES_MAX);
        lines.truncate(LINES_MAX);
        if more > 0 {
            lines.push(format!("… and {}\n", counted(more, "more zone")));
        }
        let reads = if self.forced {
            "nothing is read first"
        } else {
            "each zone is read first, in pages or name by name"
        };
        lines.push(format!(
            "in all {}, {}; zones go in parallel; {reads}\n",
            counted(groups, "group"),
            counted(batches, "write call")
        ));
        lines.concat()
    }
}

/// Returns one line per group that goes back, up to [`LINES_MAX`].
pub(super) fn groups_shown(states: &[State]) -> String {
    let mut lines: Vec<String> = states.iter().flat_map(group_lines).collect();
    let more = lines.len().saturating_sub(LINES_MAX);
    if more > 0 {
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {}\n", counted(more, "more group")));
    }
    lines.concat()
}

fn group_lines(state: &State) -> Vec<String> {
    let Some(baseline) = &state.baseline else {
        return vec![line(&format!(
            "{}: not started; it is cancelled",
            state.name
        ))];
    };
    let groups = state.plan().records.iter().zip(baseline).enumerate();
    groups
        .map(|(index, (group, baseline))| {
            let now = state.intended_pair(index).unwrap_or(baseline.pair());
            let back = baseline.pair();
            if state.phase == Phase::Reverted {
                // The current weights are unknown, because somebody changed them after the revert.
                return line(&format!(
                    "{}: {}: whatever is there → {back}",
                    state.name, group.name
                ));
            }
            line(&format!(
                "{}: {}: weights {now} → {back}",
                state.name, group.name
            ))
        })
        .collect()
}

/// Returns one line with its line break; text of others in it is escaped.
fn line(text: &str) -> String {
    one_line(text) + "\n"
}

/// Returns a number with its noun, in the plural if needed.
pub(super) fn counted(number: usize, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}
