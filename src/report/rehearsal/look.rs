//! How a rehearsal or a backtest is shown: its width, its time zone, the titles of its parts.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::film::Reel;
use crate::report::text;

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
    pub(in crate::report) fn chart_width(&self) -> usize {
        let asked = self.width.unwrap_or(CHART_WIDTH);
        asked.clamp(CHART_WIDTH_MIN, CHART_WIDTH_MAX)
    }

    /// A time to the second, without the year, which the heading has: `Fri 12-04 11:04:10`.
    pub(in crate::report) fn second(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%a %m-%d %H:%M:%S").to_string()
    }

    /// A time to the minute, with the year: `2026-12-04 11:04`.
    pub(in crate::report) fn minute(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// The zone's name, or its offset from UTC.
    pub(in crate::report) fn zone_name(&self, at: Timestamp) -> String {
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
    pub(in crate::report) fn hang(&self, first: &str, cells: usize, rest: &str) -> String {
        let wrapped = text::wrap(rest, cells, self.width);
        let body = wrapped.get(cells..).unwrap_or_default();
        let gap = " ".repeat(cells.saturating_sub(first.chars().count()));
        format!("{first}{gap}{body}")
    }
}

/// The title of a part of one cutover.
pub(super) fn title(reel: &Reel, part: &str) -> String {
    text::styled(text::TITLE, &format!("{}: {part}", reel.name))
}
