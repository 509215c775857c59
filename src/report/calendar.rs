//! When each coming step can happen, as a small calendar: by the clock of the plan's place and by the reader's.

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

/// The widest time, `Mon 28 Dec 10:00`, has as many characters, and some room is left.
const ZONE_CHARS_MAX: usize = 20;

/// Whose clocks a calendar is shown by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// The plan's; UTC where it has no windows.
    pub plan: Zone,
    /// The reader's: this machine's.
    pub here: TimeZone,
}

impl Clocks {
    /// The plan's clock and the reader's.
    pub fn of(plan: &Plan, here: &TimeZone) -> Self {
        let zone = plan
            .windows
            .as_ref()
            .map(|windows| windows.time_zone.clone());
        Self {
            plan: zone.unwrap_or_else(Zone::utc),
            here: here.clone(),
        }
    }
}

/// The steps to come as JSON: an array of `{step, share, earliest_at, waits_secs, bake_over_at, approval}`.
pub fn to_json(calendar: &Calendar, plan: &Plan) -> Value {
    let step = |coming: &Coming| {
        let step = plan.step(coming.number)?;
        Some(json!({
            "step": coming.number,
            "share": text::share_json(step.pair.share().unwrap_or(step.share)),
            "earliest_at": coming.taken_at.map(text::rfc3339),
            "waits_secs": coming.waits.as_secs(),
            "bake_over_at": coming.over_at.map(text::rfc3339),
            "approval": step.approval,
        }))
    };
    calendar.steps.iter().filter_map(step).collect()
}

/// The steps to come and the end, a line each, with a heading. Fits into 80 columns.
pub fn to_text(calendar: &Calendar, plan: &Plan, clocks: &Clocks, now: Timestamp) -> String {
    let instants = || {
        let taken = calendar.steps.iter().filter_map(|coming| coming.taken_at);
        taken.chain(calendar.ends_at)
    };
    let same = |at: Timestamp| clocks.plan.rules().to_offset(at) == clocks.here.to_offset(at);
    let two_clocks = !instants().all(same);
    let waits = calendar
        .steps
        .iter()
        .any(|coming| coming.waits.is_positive());
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
    let clock = |at: Option<Timestamp>| {
        let by = |zone: &TimeZone| at.map_or_else(|| "never".to_owned(), |at| day(at, zone, now));
        let mut cells = vec![by(clocks.plan.rules())];
        if two_clocks {
            cells.push(at.map_or_else(String::new, |at| weekday(at, &clocks.here)));
        }
        cells
    };
    let steps = calendar.steps.iter();
    for (coming, step) in steps.filter_map(|coming| Some((coming, plan.step(coming.number)?))) {
        let mut row = vec![
            coming.number.to_string(),
            text::share(step.share),
            step.pair.to_string(),
            text::duration(step.bake),
        ];
        row.extend(clock(coming.taken_at));
        if waits {
            let waited = coming.waits.is_positive();
            row.push(if waited {
                text::duration(coming.waits)
            } else {
                String::new()
            });
        }
        row.push(approval(step).to_owned());
        table.add_row(row);
    }
    let mut end = vec![
        "end".to_owned(),
        String::new(),
        String::new(),
        String::new(),
    ];
    end.extend(clock(calendar.ends_at));
    table.add_row(end);
    right_align(&mut table, &[0, 1, 2, 3]);
    indented(&table)
}

/// A zone's name, or where that would be wider than the times below it, its city.
fn short(zone: &str) -> &str {
    let city = zone.rsplit('/').next().unwrap_or(zone);
    if zone.len() > ZONE_CHARS_MAX {
        city
    } else {
        zone
    }
}

/// `Mon 7 Dec 10:00`, with the year where it is not this one.
fn day(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let (at, now) = (zone.to_datetime(at), zone.to_datetime(now));
    let form = if at.year() == now.year() {
        "%a %-d %b %H:%M"
    } else {
        "%a %-d %b %Y %H:%M"
    };
    at.strftime(form).to_string()
}

/// `Mon 02:00`.
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
        let wide = |line: &&str| line.chars().count() > 80;
        for text in &texts {
            assert_eq!(text.lines().find(wide), None, "{text}");
        }
        insta::assert_snapshot!("calendar", texts.join("\n"));
    }
}
