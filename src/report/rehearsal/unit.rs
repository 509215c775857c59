//! The units of the strips for both sides.

use super::film::Side;
use super::verdict;

/// The measurement of a strip.
#[derive(Debug, Clone, Copy)]
pub(super) enum StripUnit {
    /// A part of all.
    Part,
    /// Milliseconds.
    Millis,
}

impl StripUnit {
    /// A usual bound of such an alarm, if none is known.
    pub(super) fn usual_bound(self) -> f64 {
        match self {
            Self::Part => 0.01,
            Self::Millis => 1_000.0,
        }
    }

    /// The strip's name, before the side's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Part => "failed",
            Self::Millis => "p99",
        }
    }

    /// The value of a side.
    pub(super) fn of(self, side: &Side) -> f64 {
        match self {
            Self::Part => side.errors,
            Self::Millis => side.p99_ms,
        }
    }

    /// The highest value, at the strip's end.
    pub(super) fn note(self, peak: f64) -> String {
        match self {
            Self::Part => format!("max {}", verdict::percent(peak)),
            Self::Millis => format!("max {} ms", verdict::amount(peak)),
        }
    }
}
