//! The judgement of the test, with its numbers and one line of text.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dispersion::SideCounts;
use super::fixed::float;

/// The judgement of the test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "judgement", rename_all = "snake_case")]
pub enum Judgement {
    /// There was enough evidence, and the new side is not worse.
    Pass(Numbers),
    /// The new side is worse, and not by chance.
    Fail(Numbers),
    /// There was too little evidence to judge.
    NotJudged(Numbers),
}

/// The numbers behind a judgement. They are integers, so that they can be compared and journaled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Numbers {
    /// The new side's counts, in the minutes in which both sides had requests. For a failure since `since`, otherwise
    /// of the whole attempt.
    pub new: SideCounts,
    /// The old side's counts, in the same minutes.
    pub old: SideCounts,
    /// The hour in which these minutes began. `None` if there are none. For a failure: the hour since which the new
    /// side has most likely been worse.
    pub since: Option<Timestamp>,
    /// How many times as often the new side failed, in thousandths. `None` if the old side did not fail at all.
    pub times: Option<u64>,
    /// How many times as often the new side may fail, in thousandths.
    pub at_most: u64,
    /// The odds against chance, to one.
    pub odds: u64,
    /// The odds at which the test fails, to one.
    pub odds_needed: u64,
    /// The number of errors that count as one because they come in bursts, in thousandths.
    pub dispersion: u64,
    /// The number of the new side's requests, in all, that are needed to judge it. `None` if it is judged, or if that
    /// is not known.
    pub requests_needed: Option<u64>,
}

impl Judgement {
    /// Returns the numbers behind this judgement.
    pub fn numbers(&self) -> &Numbers {
        match self {
            Self::Pass(numbers) | Self::Fail(numbers) | Self::NotJudged(numbers) => numbers,
        }
    }
}

/// The largest odds that are shown. Larger ones convince nobody more.
const ODDS_SHOWN_MAX: u64 = 1_000_000;

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.numbers();
        if numbers.new.requests == 0 {
            return f.write_str("nothing to judge yet: no minute in which both sides had requests");
        }
        match self {
            Self::Pass(_) | Self::Fail(_) => {}
            Self::NotJudged(_) => {
                let seen = count(numbers.new.requests);
                match numbers.requests_needed {
                    Some(needed) => write!(
                        f,
                        "too little to judge, {seen} of about {} requests; so far ",
                        estimate(needed)
                    )?,
                    None => write!(f, "too little to judge, {seen} requests; so far ")?,
                }
            }
        }
        compared(f, numbers)?;
        if let (Self::Fail(_), Some(since)) = (self, numbers.since) {
            write!(f, " since {}", since.strftime("%Y-%m-%d %H:%MZ"))?;
        }
        write!(
            f,
            " ({} vs {} of {} and {} requests); ",
            percent(numbers.new.rate()),
            percent(numbers.old.rate()),
            count(numbers.new.requests),
            count(numbers.old.requests),
        )?;
        let needed = grouped(numbers.odds_needed);
        match numbers.odds {
            0 | 1 => write!(f, "no odds against chance, {needed} : 1 are needed"),
            ODDS_SHOWN_MAX.. => write!(
                f,
                "the odds against chance are above {} : 1, {needed} : 1 are needed",
                grouped(ODDS_SHOWN_MAX)
            ),
            odds => write!(
                f,
                "the odds against chance are {} : 1, {needed} : 1 are needed",
                grouped(odds)
            ),
        }
    }
}

/// Writes how many times as often the new side failed.
fn compared(f: &mut fmt::Formatter<'_>, numbers: &Numbers) -> fmt::Result {
    if numbers.new.errors == 0 {
        return f.write_str("new does not fail at all");
    }
    match numbers.times {
        None => f.write_str("new fails, and old does not at all"),
        Some(times) => write!(
            f,
            "new fails {} × as often as old",
            decimal(float(times) / 1_000.0)
        ),
    }
}

/// Returns a fraction of requests in percent, with two significant digits.
fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent == 0.0 {
        return "0 %".to_owned();
    }
    for digits in 0..6 {
        let shown = format!("{percent:.digits$}");
        let significant = shown.trim_start_matches(['0', '.']).replace('.', "");
        if significant.len() >= 2 {
            return format!("{shown} %");
        }
    }
    "0.00001 %".to_owned()
}

/// Returns a factor with one decimal. It has two decimals if it would round to less than 1, and none from 10 on.
fn decimal(number: f64) -> String {
    if number >= 9.95 {
        return format!("{number:.0}");
    }
    if number <= 0.95 {
        return format!("{number:.2}");
    }
    format!("{number:.1}")
}

/// Returns a number of requests in round figures.
fn count(number: u64) -> String {
    let number = float(number);
    let scales = [
        (999.5e9, 1e12, "T"),
        (999.5e6, 1e9, "G"),
        (999.5e3, 1e6, "M"),
        (9_999.5, 1e3, "k"),
    ];
    for (from, unit, letter) in scales {
        if number >= from {
            let scaled = number / unit;
            return if scaled < 9.95 {
                format!("{scaled:.1} {letter}")
            } else {
                format!("{scaled:.0} {letter}")
            };
        }
    }
    grouped(super::fixed::natural(number))
}

/// Returns a number of requests that is not known exactly, rounded up to two digits.
fn estimate(number: u64) -> String {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    count(number.div_ceil(unit).saturating_mul(unit))
}

/// Returns an integer with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
