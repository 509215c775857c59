//! Calls that read metric data: `GetMetricData`, `GetMetricStatistics` and `ListMetrics`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::error::{ApiError, check_period};
use super::math::{Expression, Yield};
use super::metrics::{MetricKey, MetricStat, MetricStore, floor};
use super::statistic::parse_statistic;

/// The most queries of one `GetMetricData`. Source: API Reference.
pub const QUERIES_MAX: usize = 500;
/// The most datapoints of one `GetMetricStatistics`. Source: API Reference.
const STATISTICS_DATAPOINTS_MAX: i64 = 1_440;
/// The most metrics on one page of `ListMetrics`. Source: API Reference.
const LIST_PAGE: usize = 500;

/// A metric and its statistic (`MetricStat`) as they were sent, not yet checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawStat {
    /// The metric.
    pub metric: MetricKey,
    /// The length of a period, in seconds.
    pub period_secs: i64,
    /// The statistic, for example `Sum` or `p99`.
    pub statistic: String,
    /// The unit. It is stored, but not used to select data.
    pub unit: Option<String>,
}

/// A query (`MetricDataQuery`) as it was sent, not yet checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawQuery {
    /// The id that expressions use to refer to the query.
    pub id: String,
    /// An expression of metric math. Excludes `stat`.
    pub expression: Option<String>,
    /// A metric and its statistic. Excludes `expression`.
    pub stat: Option<RawStat>,
    /// The label for people. `None` means the metric's name, or the id of an expression.
    pub label: Option<String>,
    /// True if the reply contains the query's series. `None` means true.
    pub returns_data: Option<bool>,
    /// The period of an expression, in seconds.
    pub period_secs: Option<i64>,
}

/// A query whose parameters have been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct DataQuery {
    /// The id that expressions use to refer to the query.
    pub id: String,
    /// The label for people. `None` means the metric's name, or the id of an expression.
    pub label: Option<String>,
    /// The source of the query's series.
    pub source: QuerySource,
    /// True if the reply contains the query's series.
    pub returns_data: bool,
    /// The period of an expression, in seconds.
    pub period_secs: Option<i64>,
    text: Option<String>,
}

/// The source of a query's series.
#[derive(Debug, Clone, PartialEq)]
pub enum QuerySource {
    /// One statistic of one metric.
    Stat(MetricStat),
    /// An expression over other queries.
    Expression(Expression),
}

/// How complete a series of the reply is (`StatusCode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DataStatus {
    /// All datapoints are returned.
    #[default]
    Complete,
    /// Only some datapoints are returned; the others are not available now.
    Partial,
    /// The series could not be computed, and is empty.
    InternalError,
    /// The caller may not read the metric, and the series is empty.
    Forbidden,
}

impl DataStatus {
    /// Returns the name that the API uses.
    pub fn text(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Partial => "PartialData",
            Self::InternalError => "InternalError",
            Self::Forbidden => "Forbidden",
        }
    }

    /// Returns the datapoints that a caller gets: all, the first half, or none.
    fn cut(self, mut points: Vec<(Timestamp, f64)>) -> Vec<(Timestamp, f64)> {
        match self {
            Self::Complete => {}
            Self::Partial => points.truncate(points.len() / 2),
            Self::InternalError | Self::Forbidden => points.clear(),
        }
        points
    }
}

/// One series in the reply of `GetMetricData`.
#[derive(Debug, Clone, PartialEq)]
pub struct DataResult {
    /// The id of the query.
    pub id: String,
    /// The label for people.
    pub label: String,
    /// The start of each period with its value, oldest first.
    pub points: Vec<(Timestamp, f64)>,
    /// How complete the series is.
    pub status: DataStatus,
}

impl DataQuery {
    /// Checks each query, and that ids are unique and references lead to other queries without a circle.
    ///
    /// # Errors
    /// A query is wrong, or there are more than 500.
    pub(super) fn check(raw: &[RawQuery]) -> Result<Vec<Self>, ApiError> {
        if raw.len() > QUERIES_MAX {
            return Err(ApiError::validation(format!(
                "The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}."
            )));
        }
        let queries: Vec<Self> = raw.iter().map(Self::check_one).collect::<Result<_, _>>()?;
        let mut known = BTreeMap::new();
        for query in &queries {
            if known.insert(query.id.as_str(), query).is_some() {
                return Err(ApiError::validation(format!(
                    "The values for parameter id in parameter MetricDataQueries are not unique: {}.",
                    query.id
                )));
            }
        }
        for query in &queries {
            check_references(query, &known, &mut BTreeSet::new())?;
        }
        Ok(queries)
    }

    /// Checks a query without its references.
    fn check_one(raw: &RawQuery) -> Result<Self, ApiError> {
        let well_formed = raw.id.starts_with(|first: char| first.is_ascii_lowercase())
            && raw
                .id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !well_formed {
            return Err(ApiError::validation(format!(
                "The value {} for parameter MetricDataQueries.member.id is not matching the \
                 expected pattern ^[a-z][a-zA-Z0-9_]*$.",
                raw.id
            )));
        }
        let source = match (&raw.expression, &raw.stat) {
            (Some(text), None) => {
                QuerySource::Expression(Expression::parse(text).map_err(|why| {
                    ApiError::validation(format!("Error in expression '{}': {why}", raw.id))
                })?)
            }
            (None, Some(stat)) => {
                check_period(stat.period_secs)?;
                QuerySource::Stat(MetricStat {
                    metric: stat.metric.clone(),
                    period_secs: stat.period_secs,
                    statistic: parse_statistic(&stat.statistic)?,
                    statistic_text: stat.statistic.clone(),
                    unit: stat.unit.clone(),
                })
            }
            _ => {
                return Err(ApiError::validation(format!(
                    "Query {} needs exactly one of Expression and MetricStat.",
                    raw.id
                )));
            }
        };
        if let Some(period) = raw.period_secs {
            check_period(period)?;
        }
        Ok(Self {
            id: raw.id.clone(),
            label: raw.label.clone(),
            source,
            returns_data: raw.returns_data.unwrap_or(true),
            period_secs: raw.period_secs,
            text: raw.expression.clone(),
        })
    }

    /// Returns the expression as it was written in the request. `None` if the query reads a metric.
    pub fn expression_text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    fn label(&self) -> String {
        match (&self.label, &self.source) {
            (Some(label), _) => label.clone(),
            (None, QuerySource::Stat(stat)) => stat.metric.name.clone(),
            (None, QuerySource::Expression(_)) => self.id.clone(),
        }
    }
}

/// Refuses references to unknown queries, and circles of references. `above` are the queries on the way to this one.
fn check_references<'a>(
    query: &'a DataQuery,
    known: &BTreeMap<&str, &'a DataQuery>,
    above: &mut BTreeSet<&'a str>,
) -> Result<(), ApiError> {
    let QuerySource::Expression(expression) = &query.source else {
        return Ok(());
    };
    if !above.insert(&query.id) {
        return Err(ApiError::validation(format!(
            "Error in expression '{}': it refers to itself",
            query.id
        )));
    }
    for id in expression.ids() {
        let Some(next) = known.get(id) else {
            return Err(ApiError::validation(format!(
                "Error in expression '{}': unknown id {id}",
                query.id
            )));
        };
        check_references(next, known, above)?;
    }
    above.remove(query.id.as_str());
    Ok(())
}

/// Computes one query's series over `[from, to)`, in seconds since 1970. A constant becomes a series over all periods.
pub(super) fn series_of(
    store: &MetricStore,
    queries: &[DataQuery],
    query: &DataQuery,
    range: (i64, i64),
) -> BTreeMap<i64, f64> {
    let period = period_of(queries, query);
    let times: Vec<i64> =
        std::iter::successors(Some(floor(range.0, period)), |at| Some(at + period))
            .take_while(|at| *at < range.1)
            .collect();
    match yield_of(store, queries, query, range, &times) {
        None => BTreeMap::new(),
        Some(Yield::Series(series)) => series,
        Some(Yield::Scalar(number)) => times.into_iter().map(|at| (at, number)).collect(),
    }
}

/// Computes one query's result. `times` are the starts of the periods in range.
fn yield_of(
    store: &MetricStore,
    queries: &[DataQuery],
    query: &DataQuery,
    range: (i64, i64),
    times: &[i64],
) -> Option<Yield> {
    match &query.source {
        QuerySource::Stat(stat) => Some(Yield::Series(store.series(stat, range))),
        QuerySource::Expression(expression) => {
            // An unknown id gives no series.
            expression.evaluate(
                &|id| {
                    let next = queries.iter().find(|next| next.id == id)?;
                    yield_of(store, queries, next, range, times)
                },
                times,
            )
        }
    }
}

/// Returns the status of a metric, or for an expression the first status other than `Complete` among its queries.
fn status_of(
    statuses: &BTreeMap<String, DataStatus>,
    queries: &[DataQuery],
    query: &DataQuery,
) -> DataStatus {
    match &query.source {
        QuerySource::Stat(stat) => statuses.get(&stat.metric.name).copied().unwrap_or_default(),
        QuerySource::Expression(expression) => {
            let ids = expression.ids();
            let below = queries.iter().filter(|next| ids.contains(next.id.as_str()));
            let mut below = below.map(|next| status_of(statuses, queries, next));
            below
                .find(|status| *status != DataStatus::Complete)
                .unwrap_or_default()
        }
    }
}

/// Returns the longest period, in seconds, of the metrics that a query depends on. Without any, returns the query's own
/// period, or 60.
fn period_of(queries: &[DataQuery], query: &DataQuery) -> i64 {
    match &query.source {
        QuerySource::Stat(stat) => stat.period_secs,
        QuerySource::Expression(expression) => {
            let ids = expression.ids();
            let below = queries.iter().filter(|next| ids.contains(next.id.as_str()));
            let longest = below.map(|next| period_of(queries, next)).max();
            longest.or(query.period_secs).unwrap_or(60)
        }
    }
}

/// Runs `GetMetricData`.
pub(super) fn metric_data(
    store: &MetricStore,
    statuses: &BTreeMap<String, DataStatus>,
    raw: &[RawQuery],
    (start, end): (Timestamp, Timestamp),
) -> Result<Vec<DataResult>, ApiError> {
    if raw.is_empty() {
        return Err(ApiError::missing_parameter("MetricDataQueries"));
    }
    let range = checked_range(start, end)?;
    let queries = DataQuery::check(raw)?;
    let mut results = Vec::new();
    for query in &queries {
        if !query.returns_data {
            continue;
        }
        let status = status_of(statuses, &queries, query);
        results.push(DataResult {
            id: query.id.clone(),
            label: query.label(),
            points: status.cut(stamped(series_of(store, &queries, query, range))),
            status,
        });
    }
    Ok(results)
}

/// One datapoint of `GetMetricStatistics`: the start of the period, and the values by the name of the statistic.
pub type Datapoint = (Timestamp, BTreeMap<String, f64>);

/// Runs `GetMetricStatistics`.
pub(super) fn metric_statistics(
    store: &MetricStore,
    metric: &MetricKey,
    (start, end): (Timestamp, Timestamp),
    period_secs: i64,
    statistics: &[String],
) -> Result<Vec<Datapoint>, ApiError> {
    check_period(period_secs)?;
    if statistics.is_empty() {
        return Err(ApiError::combination(
            "At least one of Statistics and ExtendedStatistics must be specified.",
        ));
    }
    let range = checked_range(start, end)?;
    if (range.1 - range.0) / period_secs > STATISTICS_DATAPOINTS_MAX {
        return Err(ApiError::combination(format!(
            "You have requested more than {STATISTICS_DATAPOINTS_MAX} datapoints."
        )));
    }
    let statistics: Vec<_> = statistics
        .iter()
        .map(|text| Ok((text, parse_statistic(text)?)))
        .collect::<Result<_, ApiError>>()?;
    let mut datapoints = Vec::new();
    for (at, samples) in store.periods(metric, period_secs, range) {
        let Ok(at) = Timestamp::from_second(at) else {
            continue;
        };
        let mut values = BTreeMap::new();
        for (text, statistic) in &statistics {
            if let Some(value) = statistic.of(&samples) {
                values.insert((*text).clone(), value);
            }
        }
        datapoints.push((at, values));
    }
    Ok(datapoints)
}

/// Runs `ListMetrics`: returns at most 500 metrics, and the token of the next page, if there is one. A dimension filter
/// without a value matches every value.
pub(super) fn list(
    store: &MetricStore,
    namespace: Option<&str>,
    name: Option<&str>,
    dimensions: &[(String, Option<String>)],
    token: Option<&str>,
) -> Result<(Vec<MetricKey>, Option<String>), ApiError> {
    let skip: usize = match token {
        None => 0,
        Some(token) => token
            .strip_prefix("metrics/")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| ApiError::invalid_value("The next token specified is invalid."))?,
    };
    let mut found = Vec::new();
    for metric in store.keys() {
        if namespace.is_none_or(|wanted| metric.namespace == wanted)
            && name.is_none_or(|wanted| metric.name == wanted)
            && has_dimensions(metric, dimensions)
        {
            found.push(metric);
        }
    }
    let page = found.iter().skip(skip).take(LIST_PAGE);
    let page: Vec<MetricKey> = page.map(|metric| (*metric).clone()).collect();
    let end = skip.saturating_add(page.len());
    let next = if end < found.len() {
        Some(format!("metrics/{end}"))
    } else {
        None
    };
    Ok((page, next))
}

/// Returns true if the metric has all these dimensions, with the given values.
fn has_dimensions(metric: &MetricKey, wanted: &[(String, Option<String>)]) -> bool {
    wanted.iter().all(|(name, value)| {
        let found = metric.dimensions.get(name);
        found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
    })
}

/// Returns the range in seconds since 1970. Refuses an empty one.
fn checked_range(start: Timestamp, end: Timestamp) -> Result<(i64, i64), ApiError> {
    if start >= end {
        return Err(ApiError::validation(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    Ok((start.as_second(), end.as_second()))
}

/// Converts the times of a series to timestamps.
fn stamped(series: BTreeMap<i64, f64>) -> Vec<(Timestamp, f64)> {
    let stamped = series
        .into_iter()
        .filter_map(|(at, value)| Some((Timestamp::from_second(at).ok()?, value)));
    stamped.collect()
}
