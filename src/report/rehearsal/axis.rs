//! The time axis of a chart: the column of each time, and the marks below the chart.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::film::Frame;

/// A period of time, divided into equal columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) struct Axis {
    /// The start of the first column.
    pub(in crate::report) start: Timestamp,
    /// The end of the last column, later than `start`.
    pub(in crate::report) end: Timestamp,
    /// Number of columns, at least one.
    pub(in crate::report) columns: usize,
}

/// The possible distances between two marks, in minutes.
const DISTANCES: [i64; 15] = [
    1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 40_320,
];

/// Smallest number of columns that a mark and its label take.
const LABEL_CELLS: i64 = 8;

impl Axis {
    /// Returns the column of a time; `None` if the time lies outside.
    pub(in crate::report) fn column(&self, at: Timestamp) -> Option<usize> {
        if at < self.start || at > self.end {
            return None;
        }
        Some(self.nearest(at))
    }

    /// Returns the column of a time; the first or last column if the time lies outside.
    pub(in crate::report) fn nearest(&self, at: Timestamp) -> usize {
        let all = self.end.duration_since(self.start).as_millis().max(1);
        let passed = at.duration_since(self.start).as_millis().max(0);
        let columns = i128::try_from(self.columns).unwrap_or(1);
        let column = usize::try_from(passed * columns / all).unwrap_or(usize::MAX);
        column.min(self.columns.saturating_sub(1))
    }

    /// Returns the largest value within each column. A frame covers the time since the frame before it. A column that
    /// no frame covers is `None`.
    pub(in crate::report) fn largest(
        &self,
        frames: &[Frame],
        value: impl Fn(&Frame) -> f64,
    ) -> Vec<Option<f64>> {
        let mut columns: Vec<Option<f64>> = vec![None; self.columns];
        let mut before: Option<Timestamp> = None;
        for frame in frames {
            let since = before.unwrap_or(frame.at);
            before = Some(frame.at);
            if frame.at < self.start || since > self.end {
                continue;
            }
            let seen = value(frame);
            for column in &mut columns[self.nearest(since)..=self.nearest(frame.at)] {
                *column = Some(column.map_or(seen, |other| other.max(seen)));
            }
        }
        columns
    }

    /// Returns the marks below the chart, at round times of the zone: `╵09:00   ╵12-04   …`.
    pub(in crate::report) fn marks(&self, zone: &TimeZone) -> String {
        let span = self.end.duration_since(self.start);
        let columns = i64::try_from(self.columns).unwrap_or(1).max(1);
        let wanted = (span.as_secs() * LABEL_CELLS / columns).div_euclid(60) + 1;
        let minutes = DISTANCES.into_iter().find(|distance| *distance >= wanted);
        let distance = SignedDuration::from_mins(minutes.unwrap_or(40_320));
        let midnight = self.start.to_zoned(zone.clone()).start_of_day();
        let Ok(midnight) = midnight else {
            return String::new();
        };
        let mut line = String::new();
        let mut at = midnight.timestamp();
        while at <= self.end {
            if let Some(column) = self.column(at) {
                let label = label(at, zone);
                let used = line.chars().count();
                let fits = column + label.chars().count() <= self.columns;
                if fits && (used == 0 || column > used) {
                    line.push_str(&" ".repeat(column - used));
                    line.push_str(&label);
                }
            }
            at += distance;
        }
        line
    }
}

/// Returns the label of a mark: the date at midnight, otherwise the time of day.
fn label(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let form = if zoned.hour() == 0 && zoned.minute() == 0 {
        "╵%m-%d"
    } else {
        "╵%H:%M"
    };
    zoned.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(hours: i64, columns: usize) -> Axis {
        let start: Timestamp = "2026-12-01T09:00:00Z".parse().unwrap();
        Axis {
            start,
            end: start + SignedDuration::from_hours(hours),
            columns,
        }
    }

    #[test]
    fn every_moment_has_a_column_and_none_lies_outside() {
        let axis = axis(10, 10);
        assert_eq!(axis.column(axis.start), Some(0));
        assert_eq!(
            axis.column(axis.start + SignedDuration::from_mins(90)),
            Some(1)
        );
        assert_eq!(axis.column(axis.end), Some(9));
        assert_eq!(axis.column(axis.end + SignedDuration::from_secs(1)), None);
    }

    #[test]
    fn marks_stand_at_round_times_and_within_the_chart() {
        let hours = axis(10, 60).marks(&TimeZone::UTC);
        assert!(hours.starts_with("      ╵10:00      ╵12:00"), "{hours}");
        assert!(hours.chars().count() <= 60);
        let days = axis(216, 50).marks(&TimeZone::UTC);
        assert!(days.starts_with("         ╵12-03     ╵12-05"), "{days}");
        assert!(days.chars().count() <= 50);
    }
}
