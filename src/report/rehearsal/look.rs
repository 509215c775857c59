//! How the output of a rehearsal or a backtest looks: its width, its time zone, the titles of its parts.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::film::Reel;
use crate::report::text;

/// How the output of a rehearsal or a backtest looks.
#[derive(Debug, Clone)]
pub struct Look {
    /// Width that text is wrapped to, in columns; `None` if it is not wrapped.
    pub width: Option<usize>,
    /// The time zone in which all times are shown.
    pub zone: TimeZone,
    /// True if charts are drawn.
    pub charts: bool,
}

/// Width of a chart in columns if none is given.
const CHART_WIDTH: usize = 80;
/// Smallest width of a chart, in columns. A narrower chart would show nothing.
const CHART_WIDTH_MIN: usize = 60;
/// Largest width of a chart, in columns. In a wider chart a line is hard to follow.
const CHART_WIDTH_MAX: usize = 240;

impl Look {
    /// Returns the width of a chart, in columns.
    pub(in crate::report) fn chart_width(&self) -> usize {
        let asked = self.width.unwrap_or(CHART_WIDTH);
        asked.clamp(CHART_WIDTH_MIN, CHART_WIDTH_MAX)
    }

    /// Returns a time to the second, without the year, which the heading has: `Fri 12-04 11:04:10`.
    pub(in crate::report) fn second(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%a %m-%d %H:%M:%S").to_string()
    }

    /// Returns a time to the minute, with the year: `2026-12-04 11:04`.
    pub(in crate::report) fn minute(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// Returns the name of the time zone, or its offset from UTC at this time if it has no name.
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

    /// Returns a text after a first column of `cells` columns. Further lines are indented to where the text begins.
    pub(in crate::report) fn hang(&self, first: &str, cells: usize, rest: &str) -> String {
        let wrapped = text::wrap(rest, cells, self.width);
        let body = wrapped.get(cells..).unwrap_or_default();
        let gap = " ".repeat(cells.saturating_sub(first.chars().count()));
        format!("{first}{gap}{body}")
    }
}

/// Returns the title of one part of a cutover's output.
pub(super) fn title(reel: &Reel, part: &str) -> String {
    text::styled(text::TITLE, &format!("{}: {part}", reel.name))
}
