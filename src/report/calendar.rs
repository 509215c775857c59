//! Shows the calendar of the coming steps: when each can be taken, in the time zones of the plan and of the reader.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::check::{indented, right_align};
use super::text;
use crate::engine::calendar::{Calendar, Coming};
use crate::engine::plan::{Plan, Step};
use crate::engine::window::Zone;

/// Longest name of a time zone that heads a column, in characters: a little wider than the widest time, `Mon 28 Dec
/// 10:00`.
const ZONE_CHARS_MAX: usize = 20;

/// The time zones in which a calendar is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// The time zone of the plan's windows; UTC if it has no windows.
    pub plan: Zone,
    /// The time zone of the reader, which is that of this machine.
    pub here: TimeZone,
}

impl Clocks {
    /// Returns the time zones of the plan's windows and of the reader.
    pub fn of(plan: &Plan, here: &TimeZone) -> Self {
        let plan = match &plan.windows {
            Some(windows) => windows.time_zone.clone(),
            None => Zone::utc(),
        };
        Self {
            plan,
            here: here.clone(),
        }
    }

    /// Returns true if both zones have the same offset at that moment.
    fn agree(&self, at: Timestamp) -> bool {
        self.plan.rules().to_offset(at) == self.here.to_offset(at)
    }
}

/// Returns the coming steps as JSON: an array of `{step, share, earliest_at, waits_secs, bake_over_at, approval}`.
pub fn to_json(calendar: &Calendar, plan: &Plan) -> Value {
    planned(calendar, plan)
        .map(|(coming, step)| {
            json!({
                "step": coming.number,
                "share": text::share_json(step.pair.share().unwrap_or(step.share)),
                "earliest_at": coming.taken_at.map(text::rfc3339),
                "waits_secs": coming.waits.as_secs(),
                "bake_over_at": coming.over_at.map(text::rfc3339),
                "approval": step.approval,
            })
        })
        .collect()
}

/// Returns the coming steps, each with the step of the plan.
fn planned<'a>(
    calendar: &'a Calendar,
    plan: &'a Plan,
) -> impl Iterator<Item = (&'a Coming, &'a Step)> {
    calendar
        .steps
        .iter()
        .filter_map(|coming| Some((coming, plan.step(coming.number)?)))
}

/// Returns the coming steps and the end as a table with a heading, one line each. Fits into 80 columns.
pub fn to_text(calendar: &Calendar, plan: &Plan, clocks: &Clocks, now: Timestamp) -> String {
    let taken = calendar.steps.iter().filter_map(|coming| coming.taken_at);
    let two_clocks = !taken.chain(calendar.ends_at).all(|at| clocks.agree(at));
    let mut steps = calendar.steps.iter();
    let waits = steps.any(|coming| coming.waits.is_positive());
    let mut heading = vec![
        "step",
        "share",
        "weights",
        "bake",
        short(clocks.plan.name()),
    ];
    if two_clocks {
        heading.push("here");
    }
    if waits {
        heading.push("waited");
    }
    heading.push("");
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(heading);
    for (coming, step) in planned(calendar, plan) {
        let mut row = vec![
            coming.number.to_string(),
            text::share(step.share),
            step.pair.to_string(),
            text::duration(step.bake),
            day_or_never(coming.taken_at, clocks, now),
        ];
        if two_clocks {
            row.push(here(coming.taken_at, clocks));
        }
        if waits && coming.waits.is_positive() {
            row.push(text::duration(coming.waits));
        } else if waits {
            row.push(String::new());
        }
        row.push(approval(step).to_owned());
        table.add_row(row);
    }
    let mut end = vec![
        "end".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        day_or_never(calendar.ends_at, clocks, now),
    ];
    if two_clocks {
        end.push(here(calendar.ends_at, clocks));
    }
    table.add_row(end);
    right_align(&mut table, &[0, 1, 2, 3]);
    indented(&table)
}

/// Returns the name of a time zone, or only its city if the name is longer than [`ZONE_CHARS_MAX`].
fn short(zone: &str) -> &str {
    if zone.len() > ZONE_CHARS_MAX {
        zone.rsplit('/').next().unwrap_or(zone)
    } else {
        zone
    }
}

/// Returns a time in the plan's time zone; `never` if there is none.
fn day_or_never(at: Option<Timestamp>, clocks: &Clocks, now: Timestamp) -> String {
    match at {
        Some(at) => day(at, clocks.plan.rules(), now),
        None => "never".to_owned(),
    }
}

/// Returns a time in the reader's time zone; empty if there is none.
fn here(at: Option<Timestamp>, clocks: &Clocks) -> String {
    match at {
        Some(at) => weekday(at, &clocks.here),
        None => String::new(),
    }
}

/// Returns a time in the form `Mon 7 Dec 10:00`, with the year if it is not the current one.
fn day(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let (at, now) = (zone.to_datetime(at), zone.to_datetime(now));
    let form = if at.year() == now.year() {
        "%a %-d %b %H:%M"
    } else {
        "%a %-d %b %Y %H:%M"
    };
    at.strftime(form).to_string()
}

/// Returns a time in the form `Mon 02:00`.
fn weekday(at: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(at).strftime("%a %H:%M").to_string()
}

fn approval(step: &Step) -> &'static str {
    if step.approval { "approval" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_file;

    const PLAN: &str = r#"
version: 1
name: recipe-api
records: [ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]
settle: 2m
steps:
  - { weight: 1%, bake: 1d }
  - { weight: 5%, bake: 1d 12h }
  - { weight: 33.3%, bake: 2d }
  - { weight: 50%, bake: 2d, approval: required }
  - { weight: 100%, bake: 3d }
gates: { alarms: [ errors ] }
windows:
  time_zone: Asia/Tokyo
  allow: [ "Mon-Fri 10:00-17:00" ]
  deny: [ "Fri 15:00-24:00", "2026-12-28..2027-01-04" ]
"#;

    fn shown(plan: &str, here: &str) -> String {
        let plan = plan_file::parse(plan, "a.yaml").unwrap().source.plan;
        let here: Zone = here.parse().unwrap();
        let now = "2026-12-17T03:00:00Z".parse().unwrap();
        let calendar = Calendar::of_plan(&plan, plan.settle.unwrap(), now);
        let clocks = Clocks::of(&plan, here.rules());
        let shown = to_text(&calendar, &plan, &clocks, now);
        anstream::adapter::strip_str(&shown).to_string()
    }

    #[test]
    fn a_calendar_shows_each_step_by_both_clocks_within_80_columns() {
        let texts = [
            shown(PLAN, "America/Los_Angeles"),
            shown(PLAN, "Asia/Tokyo"),
            shown(
                &PLAN.replace("Asia/Tokyo", "America/Argentina/Buenos_Aires"),
                "UTC",
            ),
            shown(
                &PLAN
                    .replace("deny:", "whole_bake: false\n  deny:")
                    .replace("Mon-Fri 10:00-17:00", "2026-12-17..2026-12-20"),
                "UTC",
            ),
        ];
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        insta::assert_snapshot!("calendar", texts.join("\n"));
    }
}
