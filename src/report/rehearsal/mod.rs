//! A rehearsal, for people and programs: the decisions and their reasons, a chart, the verdict.
//!
//! The most important part comes last, because a reader sees the end of a terminal's output first: the assumptions, the
//! timeline, the chart, the revert, the verdict.

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

/// How a rehearsal or a backtest is shown.
#[derive(Debug, Clone)]
pub struct Look {
    /// The width that text is wrapped to; none if it is not wrapped.
    pub width: Option<usize>,
    /// The time zone of all times shown.
    pub zone: TimeZone,
    /// Whether charts are drawn.
    pub charts: bool,
}

/// The width of a chart if none is given.
const CHART_WIDTH: usize = 80;
/// A narrower chart would show nothing.
const CHART_WIDTH_MIN: usize = 60;
/// In a wider chart the eye loses the line.
const CHART_WIDTH_MAX: usize = 240;

impl Look {
    /// The width of a chart, in columns.
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
    pub(in crate::report) fn minute(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// The zone's name, or its offset from UTC.
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
            "{}: {fault} (everything had ended before its moment; choose an earlier one)",
            text::styled(text::BAD, "never happened")
        ));
    }
    let mut shown = blocks.join("\n\n");
    shown.push('\n');
    shown
}

/// The first line: what was rehearsed, from when to when, in which zone, from which seed.
fn heading(film: &Film, look: &Look) -> String {
    let names: Vec<&str> = film.reels.iter().map(|reel| reel.name.as_str()).collect();
    let rehearsed = match names.as_slice() {
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
    let first = format!("{rehearsed}, rehearsed: ");
    format!("{}{rest}", text::styled(text::TITLE, &first))
}

/// The title of a part of one cutover.
fn title(reel: &Reel, part: &str) -> String {
    text::styled(text::TITLE, &format!("{}: {part}", reel.name))
}
