//! What a rollback is going to cost: shown before anybody is asked.

use std::collections::BTreeMap;

use crate::controller::batch;
use crate::engine::decide::{How, Part};
use crate::engine::event::RevertMode;
use crate::engine::foreign_text::one_line;
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, State};
use crate::engine::units::ZoneId;

/// So many groups are named; of more it is only said how many there are.
const LINES_MAX: usize = 20;

/// The calls that take groups back, by zone: how many groups, and how many batches.
pub(super) struct Calls {
    zones: BTreeMap<ZoneId, (usize, usize)>,
    forced: bool,
}

impl Calls {
    /// The calls for cutovers of the journal.
    pub(super) fn of_states<'a>(
        states: impl IntoIterator<Item = &'a State>,
        mode: RevertMode,
    ) -> Self {
        let images = states
            .into_iter()
            .flat_map(|state| state.baseline.iter().flatten());
        Self::of_images(images, mode == RevertMode::Force)
    }

    /// The calls for stored images; `forced` writes them without reading first.
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
        let count =
            |(zone, parts): (ZoneId, Vec<Part>)| (zone, (parts.len(), batch::requests(&parts)));
        Self {
            zones: parts.into_iter().map(count).collect(),
            forced,
        }
    }

    /// The plan of calls, a line a zone and one for all.
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
            "nothing is read before"
        } else {
            "each zone is read before, in pages or name by name"
        };
        lines.push(format!(
            "in all {}, {}; zones go in parallel; {reads}\n",
            counted(groups, "group"),
            counted(batches, "write call")
        ));
        lines.concat()
    }
}

/// What goes back, a line a group, as far as that can be read.
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
                // What is there now is not what was last intended: that is why it is asked for.
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

/// One line, with its end; what is others' in it cannot break it.
fn line(text: &str) -> String {
    one_line(text) + "\n"
}

/// A number and its noun.
pub(super) fn counted(number: usize, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}
