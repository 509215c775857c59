//! The source of a gate as it is written: a measure of a side's presets, a metric, or metric math.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::evidence::gate::Unit;
use crate::engine::evidence::math::{self, Mistake, Piece};
use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::{Measure, Metric};
use crate::engine::evidence::plan::{Query, Series};
use crate::engine::lists;

use super::at::At;
use super::diagnostics::{Sink, Span, listed, quote};
use super::fields::{accept, require_in};
use super::presets::{MEASURES, PresetSide};
use super::raw::{RawMetric, RawMetricGate};
use super::{keys, shapes};

/// A metric of the plan's own; `usual_stat` is its default statistic.
pub(super) fn metric(at: At<RawMetric>, usual_stat: &str, sink: &mut Sink<'_>) -> Option<Metric> {
    let (span, raw) = (at.span, at.value?);
    let namespace =
        require_in::<RawMetric, _>(raw.namespace, "namespace", "this metric", &span, sink);
    let metric = require_in::<RawMetric, _>(raw.metric, "metric", "this metric", &span, sink);
    let dimensions = raw.dimensions.and_then(|at| at.value).unwrap_or_default();
    let written = [&namespace, &metric].into_iter().flatten();
    for text in written.chain(dimensions.values()) {
        if let Some(name) = &text.value {
            accept(
                shapes::without_controls(name, "CloudWatch"),
                &text.span,
                sink,
            );
        }
    }
    let mut known_dimensions = BTreeMap::new();
    for (name, text) in dimensions {
        if let Some(text) = text.value {
            known_dimensions.insert(name, text);
        }
    }
    let stat = match raw.stat {
        Some(at) => statistic(at, sink),
        None => Some(usual_stat.to_owned()),
    };
    Some(Metric {
        namespace: namespace?.value?,
        metric: metric?.value?,
        dimensions: known_dimensions,
        stat: stat?,
    })
}

/// A statistic that `CloudWatch` knows. With an unknown one, `CloudWatch` would refuse the whole call.
fn statistic(at: At<String>, sink: &mut Sink<'_>) -> Option<String> {
    let text = at.value?;
    if is_statistic(&text) {
        return Some(text);
    }
    let message = format!("CloudWatch has no statistic {}", quote(&text));
    let help = "write `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, `IQM`, a percentile (`p99`), or a trimmed \
                one (`tm99`, `TC(0.8:)`)";
    sink.error(&at.span, message, help);
    None
}

/// Returns true if `CloudWatch` knows the statistic.
///
/// Source: `CloudWatch` User Guide, "`CloudWatch` statistics definitions".
fn is_statistic(text: &str) -> bool {
    let basic = ["SampleCount", "Average", "Sum", "Minimum", "Maximum", "IQM"];
    if basic.contains(&text) {
        return true;
    }
    if let Some(percent) = text.strip_prefix('p') {
        return is_percentage(percent);
    }
    let Some((name, rest)) = text.split_at_checked(2) else {
        return false;
    };
    let of_values = name.eq_ignore_ascii_case("PR");
    let trimmed = ["TM", "TC", "TS", "WM"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    let inside = rest
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    match inside {
        Some(inside) => (trimmed || of_values) && is_range(inside, of_values),
        None => trimmed && is_percentage(rest),
    }
}

/// Returns true for ranges such as `0.5:`, `:2` and `10%:90%`, but not for `:`.
fn is_range(inside: &str, of_values: bool) -> bool {
    let Some((low, high)) = inside.split_once(':') else {
        return false;
    };
    if low.is_empty() && high.is_empty() {
        return false;
    }
    let values = is_open_or_value(low) && is_open_or_value(high);
    let percents = is_open_or_percent(low) && is_open_or_percent(high);
    values || (percents && !of_values)
}

fn is_open_or_value(bound: &str) -> bool {
    bound.is_empty() || bound.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_open_or_percent(bound: &str) -> bool {
    bound.is_empty() || bound.strip_suffix('%').is_some_and(is_percentage)
}

/// Returns true for a number from 0 to 100 without a sign.
fn is_percentage(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|sign| sign.is_ascii_digit() || sign == b'.');
    let percent: Option<f64> = text.parse().ok();
    plain && percent.is_some_and(|percent| percent <= 100.0)
}

/// The source of a gate's values: exactly one of measure, metric and expression.
pub(super) struct Source {
    pub(super) measure: Option<At<String>>,
    pub(super) metric: Option<At<RawMetric>>,
    pub(super) expression: Option<At<String>>,
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
}

impl Source {
    /// The measure of one side, and its unit if that is known; none after recording what is wrong.
    pub(super) fn resolve(
        self,
        side: &PresetSide,
        period_mins: u16,
        span: &Span,
        sink: &mut Sink<'_>,
    ) -> Option<(Measure, Option<Unit>)> {
        match (self.measure, self.metric, self.expression) {
            (Some(name), None, None) => {
                let found = side.measure(name.value.as_ref()?, period_mins);
                if found.is_none() {
                    unmeasured(&name, sink);
                }
                found.map(|(measure, unit)| (measure, Some(unit)))
            }
            (None, Some(own), None) => {
                let query = side.query(metric(own, "Sum", sink)?, period_mins);
                Some((plain(query), None))
            }
            (None, None, Some(expression)) => {
                let inputs =
                    require_in::<RawMetricGate, _>(self.inputs, "inputs", "this gate", span, sink)?;
                let query = math(&expression, inputs, side, period_mins, sink)?;
                Some((plain(query), None))
            }
            _ => {
                let message = "a gate needs exactly one of `measure`, `metric` and `expression`";
                let help = format!(
                    "write for example `{}`",
                    keys::line_of::<RawMetricGate>("measure")
                );
                sink.error(span, message, &help);
                None
            }
        }
    }
}

/// The measure of a series without a factor.
pub(super) fn plain(query: Query) -> Measure {
    let times = Number::from(1);
    Measure::Series { query, times }
}

fn unmeasured(name: &At<String>, sink: &mut Sink<'_>) {
    let written = name.value.as_deref().unwrap_or_default();
    let known = MEASURES.contains(&written) || written.starts_with('p');
    let (message, help) = if known {
        (
            format!("no preset of the new side measures {}", quote(written)),
            "add one that does to `sides: { new: … }`: `alb` has error_rate, p99 and requests, `nlb` error_rate \
             and requests, `ecs` and `eks` have memory, cpu, running and restarts"
                .to_owned(),
        )
    } else {
        (
            format!("there is no measure {}", quote(written)),
            format!(
                "write {}, or use `metric` or `expression`",
                listed(MEASURES, "or")
            ),
        )
    };
    sink.error(&name.span, message, &help);
}

/// The query of metric math. Its inputs must be exactly those that the expression names.
pub(super) fn math(
    expression: &At<String>,
    inputs: At<BTreeMap<String, At<RawMetric>>>,
    side: &PresetSide,
    period_mins: u16,
    sink: &mut Sink<'_>,
) -> Option<Query> {
    let text = expression.value.as_ref()?;
    let mut metrics = BTreeMap::new();
    let mut words = BTreeSet::new();
    for piece in math::pieces(text) {
        match piece {
            Piece::Word(word) => {
                words.insert(word);
            }
            Piece::Quoted(_) | Piece::Other(_) => {}
        }
    }
    let mut names = BTreeSet::new();
    for (name, input) in inputs.value? {
        let first = name
            .chars()
            .next()
            .is_some_and(|first| first.is_ascii_lowercase());
        let shaped = name
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || sign == '_');
        if !first || !shaped {
            let message = format!("{} cannot name an input", quote(&name));
            let help = "a name begins with a lower-case letter, and has letters, digits and `_`";
            sink.error(&input.span, message, help);
        } else if !words.contains(name.as_str()) {
            let message = format!("the expression does not use the input {}", quote(&name));
            sink.error(&input.span, message, "use it, or remove it");
        }
        names.insert(name.clone());
        metrics.extend(metric(input, "Sum", sink).map(|metric| (name, metric)));
    }
    if names.is_empty() {
        let help = keys::line_of::<RawMetricGate>("inputs");
        sink.error(&inputs.span, "the expression has no inputs", &help);
        return None;
    }
    if let Some(mistake) = math::mistake(text, |word| names.contains(word)) {
        sink.error(
            &expression.span,
            mistake.to_string(),
            &hint(&mistake, &names),
        );
        return None;
    }
    Some(Query::from(Series {
        region: side.region.clone(),
        account: side.account.clone(),
        expression: Some(text.clone()),
        inputs: metrics,
        period_mins,
    }))
}

/// The suggested fix.
fn hint(mistake: &Mistake, inputs: &BTreeSet<String>) -> String {
    let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
    match mistake {
        Mistake::Undefined(name) => format!(
            "add {} to `inputs`, or name {}",
            quote(name),
            listed(&names, "or")
        ),
        Mistake::Everything => {
            format!("name the inputs: `SUM([{}])`", lists::some(&names, ", "))
        }
        Mistake::NoFunction(_) => {
            "functions are written as CloudWatch writes them: `SUM`, `AVG`, `FILL`, `IF`, `RATE`"
                .to_owned()
        }
        Mistake::Unclosed => "close it: `100 * FILL(failed, 0) / tried`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_statistic;

    #[test]
    fn statistics_are_known_as_cloudwatch_writes_them() {
        for known in [
            "Sum",
            "SampleCount",
            "IQM",
            "p0",
            "p99",
            "p99.9",
            "p100",
            "tm99",
            "TM(10%:90%)",
            "TC(0.8:)",
            "ts(:0.5)",
            "wm98",
            "PR(:300)",
            "PR(100:2000)",
        ] {
            assert!(is_statistic(known), "{known}");
        }
        for unknown in [
            "",
            "Summ",
            "sum",
            "p101",
            "p-1",
            "p",
            "P99x",
            "pp",
            "TM",
            "TM(:)",
            "PR(1%:2%)",
            "PR99",
            "TC(0.8)",
            "tm101",
            "TC(nan:)",
            "é",
            "éé9",
        ] {
            assert!(!is_statistic(unknown), "{unknown}");
        }
    }
}
