//! The samples of one period, and statistics over them.

use super::error::ApiError;

/// The samples of one period.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// The number of samples. A count may be a fraction.
    pub count: f64,
    /// The sum of the samples.
    pub sum: f64,
    /// The smallest sample; infinity if there are none.
    pub min: f64,
    /// The largest sample; minus infinity if there are none.
    pub max: f64,
    /// The values with their counts, in the order of arrival. Values of statistic sets are not known.
    values: Vec<(f64, f64)>,
    /// False once a statistic set was added.
    only_values: bool,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            count: 0.0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            values: Vec::new(),
            only_values: true,
        }
    }
}

impl Samples {
    /// Adds a value that was seen `count` times.
    pub fn add(&mut self, value: f64, count: f64) {
        self.count += count;
        self.sum += value * count;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.values.push((value, count));
    }

    /// Adds a statistic set. From then on, percentiles of these samples cannot be computed.
    pub fn add_set(&mut self, count: f64, sum: f64, min: f64, max: f64) {
        self.count += count;
        self.sum += sum;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        self.only_values = false;
    }

    /// Returns the values with their counts, smallest first. `None` if a statistic set was added.
    pub(super) fn sorted_values(&self) -> Option<Vec<(f64, f64)>> {
        let mut values = self.values.clone();
        values.sort_by(|left, right| left.0.total_cmp(&right.0));
        self.only_values.then_some(values)
    }

    /// Adds the samples of another period.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.values.extend_from_slice(&other.values);
        self.only_values &= other.only_values;
    }
}

/// A statistic that an alarm or a query asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// The number of samples.
    SampleCount,
    /// The mean of the samples.
    Average,
    /// The sum of the samples.
    Sum,
    /// The smallest sample.
    Minimum,
    /// The largest sample.
    Maximum,
    /// The smallest value at which this many percent of the samples are reached (`p99`); no interpolation.
    Percentile(f64),
    /// A statistic over a part of the samples, for example `TM(10%:90%)`.
    Ranged(RangeMeasure, Range),
}

/// The computation over the samples in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeMeasure {
    /// `TM`: the mean of the samples in the range.
    Mean,
    /// `TC`: the number of samples in the range.
    Count,
    /// `TS`: the sum of the samples in the range.
    Sum,
    /// `PR`: the samples in the range, in percent of all samples.
    Rank,
}

/// A part of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// The samples above the first value and up to the second one. `None` means no limit.
    Values(Option<f64>, Option<f64>),
    /// The samples between two percentiles, 0 to 100.
    Percent(f64, f64),
}

impl Statistic {
    /// Reads a statistic in `CloudWatch`'s notation: `Sum`, `p99.9`, `tm90`, `TC(:0.5)`, `TM(10%:90%)`. `None` if it is
    /// not a statistic.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "SampleCount" => return Some(Self::SampleCount),
            "Average" => return Some(Self::Average),
            "Sum" => return Some(Self::Sum),
            "Minimum" => return Some(Self::Minimum),
            "Maximum" => return Some(Self::Maximum),
            _ => {}
        }
        if let Some(percent) = text.strip_prefix('p') {
            return percentage(percent).map(Self::Percentile);
        }
        let (name, rest) = text.split_at_checked(2)?;
        let measure = match name.to_ascii_uppercase().as_str() {
            "TM" => RangeMeasure::Mean,
            "TC" => RangeMeasure::Count,
            "TS" => RangeMeasure::Sum,
            "PR" => RangeMeasure::Rank,
            _ => return None,
        };
        let range = match rest
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
        {
            Some(inside) => range(inside)?,
            None if measure == RangeMeasure::Rank => return None,
            None => Range::Percent(0.0, percentage(rest)?),
        };
        Some(Self::Ranged(measure, range))
    }

    /// Computes the statistic. `None` if there are no samples, no sample in the range of a mean, or a statistic set
    /// where single values are needed.
    pub fn of(self, samples: &Samples) -> Option<f64> {
        if samples.count <= 0.0 {
            return None;
        }
        match self {
            Self::SampleCount => Some(samples.count),
            Self::Average => Some(samples.sum / samples.count),
            Self::Sum => Some(samples.sum),
            Self::Minimum => Some(samples.min),
            Self::Maximum => Some(samples.max),
            Self::Percentile(percent) => percentile(&samples.sorted_values()?, percent),
            Self::Ranged(measure, range) => ranged(&samples.sorted_values()?, measure, range),
        }
    }
}

/// Reads a statistic. An unknown one is a validation error.
pub(super) fn parse_statistic(text: &str) -> Result<Statistic, ApiError> {
    Statistic::parse(text)
        .ok_or_else(|| ApiError::validation(format!("The value {text} is not a valid statistic.")))
}

/// Reads a number of percent, 0 to 100, in digits with an optional fraction. `None` if it is not one.
fn percentage(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = text.parse().ok()?;
    (plain && (0.0..=100.0).contains(&value)).then_some(value)
}

/// Reads the range between the parentheses of a statistic. `None` if it is not a range.
fn range(inside: &str) -> Option<Range> {
    let (low, high) = inside.split_once(':')?;
    if low.is_empty() && high.is_empty() {
        return None;
    }
    if low.ends_with('%') || high.ends_with('%') {
        let (low, high) = (percent_bound(low, 0.0)?, percent_bound(high, 100.0)?);
        return Some(Range::Percent(low, high));
    }
    let (low, high) = (value_bound(low).ok()?, value_bound(high).ok()?);
    Some(Range::Values(low, high))
}

/// Reads a bound in percent. Returns `open` for an empty text, and `None` if the text is not a percentage.
fn percent_bound(text: &str, open: f64) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(number) => percentage(number),
        None => text.is_empty().then_some(open),
    }
}

/// Reads a bound as a value. `None` for an empty text.
fn value_bound(text: &str) -> Result<Option<f64>, std::num::ParseFloatError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some)
}

/// Returns the first value at which the cumulative count reaches `percent` of the total. `None` without values.
fn percentile(values: &[(f64, f64)], percent: f64) -> Option<f64> {
    let total: f64 = values.iter().map(|(_, count)| count).sum();
    let wanted = total * percent / 100.0;
    let mut seen = 0.0;
    for (value, count) in values {
        seen += count;
        if seen >= wanted {
            return Some(*value);
        }
    }
    values.last().map(|(value, _)| *value)
}

/// Computes a measure over the part of the values in `range`. The values are sorted. `None` for the mean of no values.
fn ranged(values: &[(f64, f64)], measure: RangeMeasure, range: Range) -> Option<f64> {
    let total: f64 = values.iter().map(|(_, count)| count).sum();
    let mut seen = 0.0;
    let (mut count, mut sum) = (0.0, 0.0);
    for (value, weight) in values {
        let share = match range {
            Range::Values(low, high) => {
                let inside = low.is_none_or(|low| *value > low) && high.is_none_or(|h| *value <= h);
                if inside { *weight } else { 0.0 }
            }
            Range::Percent(low, high) => {
                let (from, to) = (total * low / 100.0, total * high / 100.0);
                ((seen + weight).min(to) - seen.max(from)).max(0.0)
            }
        };
        seen += weight;
        count += share;
        sum += value * share;
    }
    match measure {
        RangeMeasure::Count => Some(count),
        RangeMeasure::Sum => Some(sum),
        RangeMeasure::Rank => Some(100.0 * count / total),
        RangeMeasure::Mean => (count > 0.0).then(|| sum / count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_one_to_hundred(text: &str) -> f64 {
        let mut samples = Samples::default();
        for value in 1..=100 {
            samples.add(f64::from(value), 1.0);
        }
        Statistic::parse(text).unwrap().of(&samples).unwrap()
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn statistics_of_one_to_a_hundred_are_the_textbook_ones() {
        for (text, wanted) in [
            ("SampleCount", 100.0),
            ("Average", 50.5),
            ("Sum", 5050.0),
            ("Minimum", 1.0),
            ("Maximum", 100.0),
            ("p50", 50.0),
            ("p99", 99.0),
            ("p99.9", 100.0),
            ("tm90", 45.5),
            ("TC(:50)", 50.0),
            ("TS(99:)", 100.0),
            ("TM(10%:90%)", 50.5),
            ("PR(:25)", 25.0),
        ] {
            assert!(near(of_one_to_hundred(text), wanted), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_statistic_are_refused() {
        for text in [
            "", "bogus", "sum", "p", "p101", "p-1", "tm", "TC()", "PR(:)", "pr90", "TM(a:b)",
        ] {
            assert_eq!(Statistic::parse(text), None, "{text}");
        }
    }

    #[test]
    fn statistic_sets_give_no_percentile() {
        let mut samples = Samples::default();
        samples.add_set(10.0, 100.0, 1.0, 40.0);
        assert_eq!(Statistic::Percentile(50.0).of(&samples), None);
        assert_eq!(Statistic::Average.of(&samples), Some(10.0));
    }
}
