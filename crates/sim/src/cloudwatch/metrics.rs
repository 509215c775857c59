//! The stored metric data, by metric and time.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::error::{ApiError, check_length};
use super::statistic::{Samples, Statistic};

/// How long datapoints are kept, in seconds: 15 days, as AWS keeps one-minute data.
const KEPT_SECS: i64 = 15 * 86_400;
/// The greatest age of a timestamp in `PutMetricData`, in seconds: two weeks. Source: API Reference, `PutMetricData`.
const PUT_BACK_SECS: i64 = 14 * 86_400;
/// How far a timestamp in `PutMetricData` may be in the future, in seconds: two hours. Source: as above.
const PUT_AHEAD_SECS: i64 = 2 * 3_600;
/// The most metrics in one `PutMetricData`. Source: API Reference, `PutMetricData`.
const DATA_PER_CALL_MAX: usize = 1_000;
/// The most different values in one datum. Source: API Reference, `MetricDatum`.
const VALUES_PER_DATUM_MAX: usize = 150;
/// The most dimensions of a metric. Source: API Reference, `Metric`.
const DIMENSIONS_MAX: usize = 30;

/// The identity of a metric. All dimensions are part of it; their order does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricKey {
    /// The namespace, for example `AWS/ApplicationELB`.
    pub namespace: String,
    /// The metric's name.
    pub name: String,
    /// The dimensions, by name.
    pub dimensions: BTreeMap<String, String>,
}

/// One statistic of one metric, for each period.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricStat {
    /// The metric.
    pub metric: MetricKey,
    /// The length of a period, in seconds.
    pub period_secs: i64,
    /// The statistic that is computed.
    pub statistic: Statistic,
    /// The statistic as it was written in the request.
    pub statistic_text: String,
    /// The unit. `None` if none was given. It is stored, but not used to select data.
    pub unit: Option<String>,
}

/// One datum of a `PutMetricData` call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Datum {
    /// The metric's name.
    pub name: String,
    /// The dimensions as name and value, in the order of the request.
    pub dimensions: Vec<(String, String)>,
    /// The time of the datum. `None` means now.
    pub at: Option<Timestamp>,
    /// The values, each with its count. Empty if there is a statistic set.
    pub values: Vec<(f64, f64)>,
    /// A statistic set instead of values: sample count, sum, minimum and maximum.
    pub set: Option<(f64, f64, f64, f64)>,
    /// True if the datum is kept by the second (`StorageResolution` of 1). False means by the minute.
    pub high_resolution: bool,
}

/// All metrics of a region.
#[derive(Debug, Clone, Default)]
pub struct MetricStore {
    metrics: BTreeMap<MetricKey, BTreeMap<i64, Samples>>,
}

impl MetricStore {
    /// Stores all data or nothing, and returns the metrics that got data.
    ///
    /// # Errors
    /// A number, text or timestamp is out of range, or there is no data.
    pub(super) fn put(
        &mut self,
        namespace: &str,
        data: &[Datum],
        now: Timestamp,
    ) -> Result<Vec<MetricKey>, ApiError> {
        check_length("namespace", namespace, 1..=255)?;
        if data.is_empty() {
            return Err(ApiError::missing_parameter("MetricData"));
        }
        if data.len() > DATA_PER_CALL_MAX {
            return Err(ApiError::validation(format!(
                "The collection MetricData must not have a size greater than {DATA_PER_CALL_MAX}."
            )));
        }
        for datum in data {
            check_datum(datum, now)?;
        }
        let mut touched = Vec::new();
        for datum in data {
            let metric = MetricKey {
                namespace: namespace.to_owned(),
                name: datum.name.clone(),
                dimensions: datum.dimensions.iter().cloned().collect(),
            };
            let at = datum.at.unwrap_or(now).as_second();
            let at = if datum.high_resolution {
                at
            } else {
                floor(at, 60)
            };
            let series = self.metrics.entry(metric.clone()).or_default();
            let samples = series.entry(at).or_default();
            for (value, count) in &datum.values {
                samples.add(*value, *count);
            }
            if let Some((count, sum, min, max)) = datum.set {
                samples.add_set(count, sum, min, max);
            }
            let kept_from = now.as_second() - KEPT_SECS;
            while series
                .first_key_value()
                .is_some_and(|(at, _)| *at < kept_from)
            {
                series.pop_first();
            }
            touched.push(metric);
        }
        Ok(touched)
    }

    /// Adds samples to the minute that contains `at` (seconds since 1970), as AWS services do for their own metrics.
    pub(super) fn record(&mut self, metric: &MetricKey, at: i64, samples: &Samples) {
        if !self.metrics.contains_key(metric) {
            self.metrics.insert(metric.clone(), BTreeMap::new());
        }
        let Some(series) = self.metrics.get_mut(metric) else {
            return;
        };
        series.entry(floor(at, 60)).or_default().merge(samples);
        while series
            .first_key_value()
            .is_some_and(|(first, _)| *first < at - KEPT_SECS)
        {
            series.pop_first();
        }
    }

    /// Returns true if the metric has data in `[from, to)`, in seconds since 1970.
    pub(super) fn has_data(&self, metric: &MetricKey, (from, to): (i64, i64)) -> bool {
        let Some(series) = self.metrics.get(metric) else {
            return false;
        };
        from < to && series.range(from..to).next().is_some()
    }

    /// Returns all metrics, in the order of their keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &MetricKey> {
        self.metrics.keys()
    }

    /// Returns the samples of each period in `[from, to)` that has data, by the start of the period. All times are in
    /// seconds since 1970. `from` is rounded down to the start of its period.
    pub(super) fn periods(
        &self,
        metric: &MetricKey,
        period_secs: i64,
        (from, to): (i64, i64),
    ) -> BTreeMap<i64, Samples> {
        let mut periods: BTreeMap<i64, Samples> = BTreeMap::new();
        let from = floor(from, period_secs);
        let Some(series) = self.metrics.get(metric) else {
            return periods;
        };
        if from >= to {
            return periods;
        }
        for (at, samples) in series.range(from..to) {
            let period = periods.entry(floor(*at, period_secs)).or_default();
            period.merge(samples);
        }
        periods
    }

    /// Returns the statistic of each period in `[from, to)` that has data, by the start of the period.
    pub(super) fn series(&self, stat: &MetricStat, range: (i64, i64)) -> BTreeMap<i64, f64> {
        self.periods(&stat.metric, stat.period_secs, range)
            .iter()
            .filter_map(|(at, samples)| Some((*at, stat.statistic.of(samples)?)))
            .collect()
    }
}

/// Returns the start of the period that contains `at`, in seconds since 1970.
pub(super) fn floor(at: i64, period_secs: i64) -> i64 {
    at - at.rem_euclid(period_secs.max(1))
}

/// Refuses a datum with too many or no values, a number that is not finite, or a timestamp out of range.
fn check_datum(datum: &Datum, now: Timestamp) -> Result<(), ApiError> {
    check_length("metricName", &datum.name, 1..=255)?;
    if datum.values.is_empty() == datum.set.is_none() {
        return Err(ApiError::combination(
            "A datum needs exactly one of Value, Values and StatisticValues.",
        ));
    }
    if datum.values.len() > VALUES_PER_DATUM_MAX {
        return Err(ApiError::invalid_value(format!(
            "The collection Values must not have a size greater than {VALUES_PER_DATUM_MAX}."
        )));
    }
    if datum.dimensions.len() > DIMENSIONS_MAX {
        return Err(ApiError::validation(format!(
            "The collection Dimensions must not have a size greater than {DIMENSIONS_MAX}."
        )));
    }
    let numbers = datum
        .values
        .iter()
        .flat_map(|(value, count)| [*value, *count]);
    if !numbers.into_iter().all(f64::is_finite) || datum.values.iter().any(|value| value.1 <= 0.0) {
        return Err(ApiError::invalid_value(
            "The value must be a finite number.",
        ));
    }
    let at = datum.at.unwrap_or(now).as_second() - now.as_second();
    if !(-PUT_BACK_SECS..=PUT_AHEAD_SECS).contains(&at) {
        return Err(ApiError::invalid_value(
            "The parameter Timestamp must specify a time within the past two weeks and the next two hours.",
        ));
    }
    Ok(())
}
