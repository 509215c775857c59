//! The measurements that the chart shows as strips for both sides.

use super::film::Side;
use super::verdict;

/// The measurement of a strip.
#[derive(Debug, Clone, Copy)]
pub(super) enum StripUnit {
    /// Failed requests, as a part of all (0 to 1).
    Part,
    /// Response times, in milliseconds.
    Millis,
}

impl StripUnit {
    /// Returns a usual bound of such an alarm, used if no alarm of the plan has a bound.
    pub(super) fn usual_bound(self) -> f64 {
        match self {
            Self::Part => 0.01,
            Self::Millis => 1_000.0,
        }
    }

    /// Returns the name of the strip, without the side.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Part => "failed",
            Self::Millis => "p99",
        }
    }

    /// Returns the value of a side.
    pub(super) fn of(self, side: &Side) -> f64 {
        match self {
            Self::Part => side.errors,
            Self::Millis => side.p99_ms,
        }
    }

    /// Returns the note at the end of the strip: the highest value.
    pub(super) fn note(self, peak: f64) -> String {
        match self {
            Self::Part => format!("max {}", verdict::percent(peak)),
            Self::Millis => format!("max {} ms", verdict::amount(peak)),
        }
    }
}
