//! A rehearsal, for people and programs: what was decided and why, a chart, what became of it.
//!
//! The order is that of a terminal, whose last lines are the ones that are seen: what was taken for granted, the timeline,
//! the chart, the way back, the verdict.

mod assumed;
pub(super) mod axis;
pub(super) mod cells;
mod chart;
pub mod film;
pub(super) mod glyphs;
mod json;
mod marks;
mod names;
mod reaction;
pub mod runs;
#[cfg(test)]
mod tests;
mod timeline;
mod unit;
mod verdict;

pub use glyphs::to_ascii;
pub use json::to_json;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text;
use film::{Film, Reel};

/// How a rehearsal is shown.
#[derive(Debug, Clone)]
pub struct Look {
    /// How wide text may be; none where a line may be as long as it is.
    pub width: Option<usize>,
    /// The zone that times are shown in.
    pub zone: TimeZone,
    /// Whether the charts are drawn.
    pub charts: bool,
}

/// The width of a chart where nobody says how wide it may be.
const CHART_WIDTH: usize = 80;
/// Narrower than this, a chart shows nothing.
const CHART_WIDTH_MIN: usize = 60;
/// Wider than this, the eye loses the line.
const CHART_WIDTH_MAX: usize = 240;

impl Look {
    /// The columns that a chart may take.
    fn chart_width(&self) -> usize {
        let asked = self.width.unwrap_or(CHART_WIDTH);
        asked.clamp(CHART_WIDTH_MIN, CHART_WIDTH_MAX)
    }

    /// A time to the second, without the year, which the heading has: `Fri 12-04 11:04:10`.
    fn second(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%a %m-%d %H:%M:%S").to_string()
    }

    /// A time to the minute, with the year: `2026-12-04 11:04`.
    fn minute(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// The zone's name, or how far it is from UTC.
    fn zone_name(&self, at: Timestamp) -> String {
        if let Some(name) = self.zone.iana_name() {
            return name.to_owned();
        }
        let offset = self.zone.to_offset(at);
        if offset.is_zero() {
            "UTC".to_owned()
        } else {
            format!("UTC{offset}")
        }
    }

    /// Text after a first column; further lines begin below the text.
    fn hang(&self, first: &str, cells: usize, rest: &str) -> String {
        let wrapped = text::wrap(rest, cells, self.width);
        let body = wrapped.get(cells..).unwrap_or_default();
        let gap = " ".repeat(cells.saturating_sub(first.chars().count()));
        format!("{first}{gap}{body}")
    }
}

/// A whole rehearsal for people.
pub fn to_text(film: &Film, look: &Look) -> String {
    let mut blocks = vec![heading(film, look)];
    blocks.extend(assumed::to_text(film, look));
    for reel in &film.reels {
        blocks.push(timeline::to_text(film, reel, look));
        if look.charts {
            blocks.extend(chart::to_text(film, reel, look));
        }
        blocks.extend(reaction::to_text(reel));
        blocks.push(verdict::to_text(film, reel, look));
    }
    for fault in &film.never {
        blocks.push(format!(
            "{}: {fault} (everything had come to an end before its moment; choose an earlier one)",
            text::styled(text::BAD, "never happened")
        ));
    }
    let mut shown = blocks.join("\n\n");
    shown.push('\n');
    shown
}

/// From when to when, in which zone, from which seed.
fn heading(film: &Film, look: &Look) -> String {
    let names: Vec<&str> = film.reels.iter().map(|reel| reel.name.as_str()).collect();
    let what = match names.as_slice() {
        [one] => (*one).to_owned(),
        many => text::count(many.len(), "cutover"),
    };
    let rest = format!(
        "{} to {} ({}), seed {}",
        look.minute(film.start),
        look.minute(film.end),
        look.zone_name(film.start),
        film.seed
    );
    let first = format!("{what}, rehearsed: ");
    format!("{}{rest}", text::styled(text::TITLE, &first))
}

/// The title of a part of one cutover.
fn title(reel: &Reel, part: &str) -> String {
    text::styled(text::TITLE, &format!("{}: {part}", reel.name))
}
