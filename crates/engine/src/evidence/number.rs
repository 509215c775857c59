//! Measured numbers. Unlike bare floating point, they can be sorted, compared and stored.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sequential::fixed::natural;

/// A finite number. It compares as numbers do, and is a number in JSON.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Number(f64);

/// The error for a number that is infinite or NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a finite number")]
pub struct NotFinite;

impl Number {
    /// The number 0.
    pub const ZERO: Self = Self(0.0);

    /// Returns the number. `None` if it is infinite or NaN.
    pub fn new(value: f64) -> Option<Self> {
        // Adding zero turns minus zero into zero, which the order below would distinguish.
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// Returns the number, rounded to six significant digits, so that it is read from the journal as the same number.
    /// `None` if it is infinite or NaN.
    pub fn rounded(value: f64) -> Option<Self> {
        let shown = format!("{value:.5e}");
        Self::new(shown.parse().ok()?)
    }

    /// Returns the number in floating point.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Returns the nearest whole number; 0 for negative numbers.
    pub fn whole(self) -> u64 {
        natural(self.0)
    }
}

impl TryFrom<f64> for Number {
    type Error = NotFinite;

    fn try_from(value: f64) -> Result<Self, NotFinite> {
        Self::new(value).ok_or(NotFinite)
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Self(f64::from(number))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Number {
    /// Writes up to four significant digits, and whole numbers of three or more digits in full: `0.1234`, `12.3`,
    /// `1200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        let decimals = match size {
            size if size >= 100.0 || size == 0.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            size if size >= 0.1 => 3,
            _ => 4,
        };
        let shown = format!("{:.decimals$}", self.0);
        let shown = if shown.contains('.') {
            shown.trim_end_matches('0').trim_end_matches('.')
        } else {
            &shown
        };
        f.write_str(shown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_shown_short() {
        fn shown(value: f64) -> String {
            Number::new(value).unwrap().to_string()
        }
        assert_eq!(shown(0.0), "0");
        for (value, wanted) in [
            (0.012_34, "0.0123"),
            (0.1, "0.1"),
            (0.123_45, "0.123"),
            (1.0, "1"),
            (1.236, "1.24"),
            (-1.236, "-1.24"),
            (9.996, "10"),
            (10.0, "10"),
            (12.345, "12.3"),
            (100.4, "100"),
            (812.6, "813"),
            (1200.0, "1200"),
        ] {
            assert_eq!(shown(value), wanted);
        }
        assert_eq!(Number::new(f64::NAN), None);
        assert_eq!(Number::new(-0.0), Some(Number::ZERO));
        assert_ne!(Number::new(0.5), Some(Number::ZERO));
        assert_eq!(Number::rounded(0.123_456_7), Number::new(0.123_457));
        assert_eq!(Number::rounded(f64::INFINITY), None);
    }

    proptest! {
        #[test]
        fn what_is_rounded_reads_back_as_the_same_number(value in -1e12_f64..1e12) {
            let number = Number::rounded(value).unwrap();
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<Number>(&text).unwrap(), number);
        }

        #[test]
        fn whole_numbers_survive(count in 0_u32..) {
            prop_assert_eq!(Number::from(count).whole(), u64::from(count));
        }
    }
}
