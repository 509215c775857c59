//! The gates of a plan that are judged from metrics: `sides`, `metrics`, `traffic`, `regression`, `trend`.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::engine::evidence::gate::Bound;
use crate::engine::evidence::gate::Unit;
use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::Measure;
use crate::engine::evidence::plan::Measures;
use crate::engine::evidence::plan::MetricGate;
use crate::engine::evidence::plan::RegressionGate;
use crate::engine::evidence::plan::TREND_PERIOD_MINS;
use crate::engine::evidence::plan::TrafficGate;
use crate::engine::evidence::plan::TrendGate;
use crate::engine::evidence::sequential::Test;

use super::accounts;
use super::convert::duration;
use super::convert::require_in;
use super::convert::shaped;
use super::diagnostics::Sink;
use super::diagnostics::Span;
use super::diagnostics::quote;
use super::expressions::Source;
use super::expressions::math;
use super::expressions::metric;
use super::expressions::plain;
use super::fleet_keys;
use super::keys;
use super::presets::Alb;
use super::presets::Side;
use super::raw::CountText;
use super::raw::DurationText;
use super::raw::RawGates;
use super::raw::RawNoData;
use super::raw::ShareText;
use super::raw_measures::BoundText;
use super::raw_measures::FactorText;
use super::raw_measures::PointsText;
use super::raw_measures::RawMetricGate;
use super::raw_measures::RawRegression;
use super::raw_measures::RawSide;
use super::raw_measures::RawSides;
use super::raw_measures::RawTrafficGate;
use super::raw_measures::RawTrend;
use super::read::At;
use super::shapes;
use super::steps;

/// The most datapoints that a gate looks back over.
const POINTS_MAX: u16 = 60;
/// The longest datapoint, in minutes.
const EVERY_MAX: u16 = 60;
/// Below this many requests of the new side a step's bake does not count, where the plan does not say.
const MIN_REQUESTS: u32 = 200;
/// A rate counts by itself where so many errors are within its bound, where the plan does not say.
const ERRORS_WITHIN: f64 = 3.0;
/// However low the bound is, that many requests are enough to tell.
const MIN_REQUESTS_MAX: u64 = 10_000;
/// How far the observed share may be from the intended one, in percent of it, where the plan does not say.
const SHARE_WITHIN: u32 = 50;
/// A climb that reaches its limit later than this is let be, where the plan does not say.
const TREND_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Both sides, and how often they are counted.
struct Sides {
    new: Side,
    old: Side,
    every_mins: u16,
}

/// The gates of metrics; what is wrong with them the sink has been told.
pub(super) fn convert(
    raw: &mut RawGates,
    region: Option<&str>,
    sink: &mut Sink<'_>,
) -> Option<Measures> {
    let sides = sides(raw.sides.take(), region, sink)?;
    let mut names = BTreeSet::new();
    let mut measures = Measures::default();
    for entry in items(raw.metrics.take()) {
        let gate = metric_gate(entry.1, &entry.0, &sides, sink);
        measures
            .metrics
            .extend(gate.filter(|gate| new_name(&gate.name, &entry.0, &mut names, sink)));
    }
    for entry in items(raw.trend.take()) {
        let gate = trend_gate(entry.1, &entry.0, &sides, sink);
        measures.trends.extend(gate.filter(|gate| {
            let name = format!("trend of {}", gate.name);
            new_name(&name, &entry.0, &mut names, sink)
        }));
    }
    if let Some(traffic) = raw.traffic.take() {
        measures.traffic = traffic_gate(traffic, &sides, sink);
    }
    if let Some(regression) = raw.regression.take() {
        measures.regression = regression_gate(regression, &sides, sink);
    }
    Some(measures)
}

fn items<T>(list: Option<At<Vec<At<T>>>>) -> Vec<(Span, T)> {
    let list = list.and_then(|list| list.value).unwrap_or_default();
    let item = |at: At<T>| Some((at.span, at.value?));
    list.into_iter().filter_map(item).collect()
}

fn new_name(name: &str, span: &Span, names: &mut BTreeSet<String>, sink: &mut Sink<'_>) -> bool {
    let new = names.insert(name.to_owned());
    if !new {
        let message = format!("{} is watched twice", quote(name));
        sink.error(span, message, "give one of the two another `name`");
    }
    new
}

fn sides(raw: Option<At<RawSides>>, region: Option<&str>, sink: &mut Sink<'_>) -> Option<Sides> {
    let mut sides = Sides {
        new: Side::default(),
        old: Side::default(),
        every_mins: 1,
    };
    sides.new.region = region.map(str::to_owned);
    sides.old.region = region.map(str::to_owned);
    let Some(At { span, value }) = raw else {
        return Some(sides);
    };
    let raw = value?;
    let new = require_in(raw.new, "new", "`sides`", &span, sink);
    sides.new = side(new, region, sink);
    sides.old = side(raw.old, region, sink);
    sides.every_mins = every(raw.every.as_ref(), 1, sink)?;
    Some(sides)
}

fn side(raw: Option<At<RawSide>>, region: Option<&str>, sink: &mut Sink<'_>) -> Side {
    let mut side = Side {
        region: region.map(str::to_owned),
        ..Side::default()
    };
    let Some(At {
        span,
        value: Some(raw),
    }) = raw
    else {
        return side;
    };
    side.region = shaped(raw.region, shapes::region, sink).or(side.region);
    let role_arn = shaped(raw.role_arn, shapes::role_arn, sink);
    let external_id = shaped(raw.external_id, shapes::external_id, sink);
    side.account = accounts::of_role(role_arn, external_id, side.region.as_deref(), &span, sink);
    let mut text = |value: Option<At<String>>, key: &str, place: &str, span: &Span| {
        require_in(value, key, place, span, sink).and_then(|at| at.value)
    };
    side.alb = raw.alb.and_then(|at| {
        let (span, alb) = (at.span, at.value?);
        Some(Alb {
            load_balancer: text(alb.load_balancer, "load_balancer", "`alb`", &span)?,
            target_group: alb.target_group.and_then(|at| at.value),
            shared: alb.shared.and_then(|at| at.value).unwrap_or(false),
        })
    });
    side.nlb = raw
        .nlb
        .and_then(|at| text(at.value?.load_balancer, "load_balancer", "`nlb`", &at.span));
    side.ecs = raw.ecs.and_then(|at| {
        let ecs = at.value?;
        let cluster = text(ecs.cluster, "cluster", "`ecs`", &at.span);
        Some((cluster?, text(ecs.service, "service", "`ecs`", &at.span)?))
    });
    side.eks = raw.eks.and_then(|at| {
        let eks = at.value?;
        let cluster = text(eks.cluster, "cluster", "`eks`", &at.span);
        let namespace = text(eks.namespace, "namespace", "`eks`", &at.span);
        let service = text(eks.service, "service", "`eks`", &at.span);
        Some((cluster?, namespace?, service?))
    });
    arns(&side, &span, sink);
    side.requests = raw.requests.and_then(|at| metric(at, "Sum", sink));
    side.errors = raw.errors.and_then(|at| metric(at, "Sum", sink));
    side
}

/// Load balancers and target groups are named by the end of their ARNs.
fn arns(side: &Side, span: &Span, sink: &mut Sink<'_>) {
    let alb = side.alb.as_ref();
    let named = [
        (alb.map(|alb| &alb.load_balancer), "app/", "load_balancer"),
        (side.nlb.as_ref(), "net/", "load_balancer"),
        (
            alb.and_then(|alb| alb.target_group.as_ref()),
            "targetgroup/",
            "target_group",
        ),
    ];
    for (value, prefix, key) in named {
        let Some(value) = value.filter(|value| !value.starts_with(prefix)) else {
            continue;
        };
        let message = format!("{} is not the end of an ARN, `{prefix}…`", quote(value));
        let end = value.find(prefix).map(|at| &value[at..]);
        let help = match end {
            Some(end) => format!("write `{key}: {end}`"),
            None if prefix == "net/" => {
                "write for example `load_balancer: net/recipe-ecs/50dc6c495c0c9188`".to_owned()
            }
            None => format!("write for example `{}`", keys::line_of(key)),
        };
        sink.error(span, message, &help);
    }
}

fn metric_gate(
    raw: RawMetricGate,
    span: &Span,
    sides: &Sides,
    sink: &mut Sink<'_>,
) -> Option<MetricGate> {
    let every_mins = every(raw.every.as_ref(), sides.every_mins, sink);
    let period = every_mins.unwrap_or(1);
    let measured = raw.measure.as_ref().and_then(|at| at.value.clone());
    let name = raw.name.and_then(|at| at.value).or(measured.clone());
    let old = match (&measured, raw.old_metric, raw.old_inputs) {
        (Some(name), None, None) => sides.old.measure(name, period).map(|(old, _)| old),
        (None, Some(own), None) => {
            metric(own, "Sum", sink).map(|own| plain(sides.old.query(own, period)))
        }
        (None, None, Some(inputs)) => raw
            .expression
            .as_ref()
            .and_then(|expression| math(expression, inputs, &sides.old, period, sink).map(plain)),
        _ => None,
    };
    let custom = raw.metric.as_ref().and_then(|at| at.value.as_ref());
    let custom = custom.and_then(|metric| metric.metric.as_ref()?.value.clone());
    let source = Source {
        measure: raw.measure,
        metric: raw.metric,
        expression: raw.expression,
        inputs: raw.inputs,
    };
    let resolved = source.resolve(&sides.new, period, span, sink);
    let bound = one_bound(raw.max, raw.min, span, sink);
    let (points, of) = points(raw.points.as_ref(), sink)?;
    let (new, known_unit) = resolved?;
    let (bound, unit) = fit_bound(bound?, known_unit, sink)?;
    let min_requests = min_requests(raw.min_requests.as_ref(), &new, bound, sink)?;
    let name = name.or(custom);
    let no_data = raw.no_data.and_then(|at| at.value);
    Some(MetricGate {
        name: require_name(name, span, sink)?,
        new,
        old,
        requests: sides.new.requests(period),
        bound,
        unit,
        points,
        of,
        every_mins: every_mins?,
        min_requests,
        no_data_passes: matches!(no_data, Some(RawNoData::Pass)),
        delay_mins: delay_mins(raw.delay.as_ref(), sink)?,
    })
}

/// How many requests a rate needs before it says anything by itself: without, one error in a quiet minute is a rate that
/// no bound allows.
fn min_requests(
    text: Option<&At<CountText>>,
    measure: &Measure,
    bound: Bound,
    sink: &mut Sink<'_>,
) -> Option<u64> {
    let rate = matches!(measure, Measure::Rate { .. });
    match (text, bound) {
        (Some(text), _) if rate => fleet_keys::count(text, "min_requests", sink).map(u64::from),
        (Some(text), _) => {
            let message = "`min_requests` is for `measure: error_rate`";
            sink.error(&text.span, message, "remove it");
            None
        }
        (None, Bound::Max(most)) if rate && most > Number::ZERO => {
            let needed = (100.0 * ERRORS_WITHIN / most.value()).ceil();
            Some(Number::rounded(needed)?.whole().min(MIN_REQUESTS_MAX))
        }
        (None, _) => Some(0),
    }
}

fn require_name(name: Option<String>, span: &Span, sink: &mut Sink<'_>) -> Option<String> {
    if name.is_none() {
        let help = "add for example `name: checkout failures`";
        sink.error(span, "metric math needs a `name`", help);
    }
    name
}

/// `3 of 5`.
fn points(text: Option<&At<PointsText>>, sink: &mut Sink<'_>) -> Option<(u16, u16)> {
    let Some(at) = text else {
        return Some((3, 5));
    };
    let text = &at.value.as_ref()?.0;
    let parsed = text.split_once(" of ").and_then(|(points, of)| {
        let points: u16 = points.trim().parse().ok()?;
        Some((points, of.trim().parse::<u16>().ok()?))
    });
    match parsed {
        Some((points, of)) if points >= 1 && points <= of && of <= POINTS_MAX => Some((points, of)),
        _ => {
            let message = format!(
                "{} does not say how many datapoints of how many",
                quote(text)
            );
            let help = format!("write for example `for: 3 of 5`; {POINTS_MAX} are the most");
            sink.error(&at.span, message, &help);
            None
        }
    }
}

/// A whole number of minutes that divides an hour, so that periods are aligned as `CloudWatch` aligns them.
fn every(text: Option<&At<DurationText>>, usual: u16, sink: &mut Sink<'_>) -> Option<u16> {
    let Some(text) = text else {
        return Some(usual);
    };
    let length = duration(text, "every", false, sink)?;
    let minutes = u16::try_from(length.as_mins()).ok();
    let whole = length.as_secs() % 60 == 0;
    let fits =
        minutes.filter(|minutes| whole && *minutes >= 1 && EVERY_MAX.is_multiple_of(*minutes));
    if fits.is_none() {
        let message = "`every` must be a number of minutes that divides an hour";
        let help = "write `1m`, `5m`, `10m`, `15m`, `30m` or `1h`";
        sink.error(&text.span, message, help);
    }
    fits
}

/// The longest `delay`, in minutes.
const DELAY_MAX: u16 = 60;

/// How late a metric's datapoints arrive; without, they are complete when all others are.
fn delay_mins(text: Option<&At<DurationText>>, sink: &mut Sink<'_>) -> Option<u16> {
    let Some(text) = text else {
        return Some(0);
    };
    let length = duration(text, "delay", true, sink)?;
    let minutes = u16::try_from(length.as_mins()).ok();
    let fits = minutes.filter(|minutes| length.as_secs() % 60 == 0 && *minutes <= DELAY_MAX);
    if fits.is_none() {
        let message = "`delay` must be whole minutes, at most an hour";
        let help =
            "write for example `delay: 8m`; a metric that comes later than that needs an alarm";
        sink.error(&text.span, message, help);
    }
    fits
}

/// A bound as it was written, and which one it is.
type Written = (At<BoundText>, fn(Number) -> Bound);

fn one_bound(
    max: Option<At<BoundText>>,
    min: Option<At<BoundText>>,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<Written> {
    match (max, min) {
        (Some(max), None) => Some((max, Bound::Max)),
        (None, Some(min)) => Some((min, Bound::Min)),
        (None, None) => {
            let help = "add for example `max: 1%`";
            sink.error(span, "this gate has no `max` and no `min`", help);
            None
        }
        (Some(max), Some(_)) => {
            let help = "make two gates of it";
            sink.error(&max.span, "a gate has `max` or `min`, never both", help);
            None
        }
    }
}

fn fit_bound(
    (text, bound): Written,
    unit: Option<Unit>,
    sink: &mut Sink<'_>,
) -> Option<(Bound, Unit)> {
    let (number, unit) = quantity(&text, unit, sink)?;
    Some((bound(number), unit))
}

/// A number with its unit. Where the unit is known, another one is a mistake.
fn quantity(
    at: &At<BoundText>,
    wanted: Option<Unit>,
    sink: &mut Sink<'_>,
) -> Option<(Number, Unit)> {
    let text = at.value.as_ref()?.0.trim();
    let units = [
        ("%", Unit::Percent, 1.0),
        ("ms", Unit::Millis, 1.0),
        ("s", Unit::Millis, 1000.0),
        ("", Unit::Plain, 1.0),
    ];
    let found = units.into_iter().find_map(|(sign, unit, times)| {
        let number = text.strip_suffix(sign)?.trim_end();
        let digits = number.starts_with(|first: char| first.is_ascii_digit());
        let number: f64 = number.parse().ok().filter(|_| digits)?;
        Some((Number::rounded(number * times)?, unit))
    });
    let example = match wanted {
        Some(Unit::Percent) => "1%",
        Some(Unit::Millis) => "800ms",
        Some(Unit::Plain) | None => "25",
    };
    match found {
        Some((number, unit)) if wanted.is_none_or(|wanted| wanted == unit) => Some((number, unit)),
        Some((number, Unit::Plain)) if wanted.is_some() => {
            let message = format!("{} has no unit", quote(text));
            let unit = if wanted == Some(Unit::Percent) {
                "%"
            } else {
                "ms"
            };
            sink.error(&at.span, message, &format!("write `{number}{unit}`"));
            None
        }
        _ => {
            let message = format!("{} is no bound for this", quote(text));
            sink.error(&at.span, message, &format!("write for example `{example}`"));
            None
        }
    }
}

fn traffic_gate(at: At<RawTrafficGate>, sides: &Sides, sink: &mut Sink<'_>) -> Option<TrafficGate> {
    let (span, raw) = (at.span, at.value?);
    let (new, old) = (sides.new.requests(1), sides.old.requests(1));
    if new.is_empty() || old.is_empty() {
        uncounted("traffic", "requests", &span, sink);
        return None;
    }
    let min_requests = match &raw.min_requests {
        Some(text) => fleet_keys::count(text, "min_requests", sink)?,
        None => MIN_REQUESTS,
    };
    let share_within = match &raw.share_within {
        Some(text) => within(text, sink)?,
        None => Number::from(SHARE_WITHIN),
    };
    Some(TrafficGate {
        new,
        old,
        min_requests: u64::from(min_requests),
        share_within,
        every_mins: sides.every_mins,
    })
}

/// A part of the intended share, in percent.
fn within(text: &At<ShareText>, sink: &mut Sink<'_>) -> Option<Number> {
    match steps::weights(text.value.as_ref()?) {
        Ok((share, _)) => Number::rounded(share.as_percent()),
        Err((message, help)) => {
            sink.error(&text.span, message, &help);
            None
        }
    }
}

fn uncounted(gate: &str, what: &str, span: &Span, sink: &mut Sink<'_>) {
    let message = format!("`{gate}` needs to know where both sides count their {what}");
    let help = "add them: `sides: { new: { alb: { load_balancer: app/… } }, old: { alb: { load_balancer: app/… } } }`, \
                or metrics of your own as `requests:` and `errors:` of a side";
    sink.error(span, message, help);
}

fn regression_gate(
    at: At<RawRegression>,
    sides: &Sides,
    sink: &mut Sink<'_>,
) -> Option<RegressionGate> {
    let (span, raw) = (at.span, at.value?);
    let slow_over_ms = match &raw.slow_over {
        Some(text) => Some(quantity(text, Some(Unit::Millis), sink)?.0),
        None => None,
    };
    let at_most = factor(raw.at_most.as_ref(), "at_most", 1.25, 1.0..=100.0, sink);
    let alpha = factor(raw.alpha.as_ref(), "alpha", 0.001, 1e-6..=0.1, sink);
    let sides_counted = (
        sides.new.counted(slow_over_ms),
        sides.old.counted(slow_over_ms),
    );
    let (Some(new), Some(old)) = sides_counted else {
        let what = if slow_over_ms.is_some() {
            "requests, errors and response times"
        } else {
            "requests and errors"
        };
        uncounted("regression", what, &span, sink);
        return None;
    };
    Some(RegressionGate {
        new,
        old,
        test: Test::new(at_most?.value(), alpha?.value()).ok()?,
        slow_over_ms,
        every_mins: sides.every_mins,
    })
}

fn factor(
    text: Option<&At<FactorText>>,
    key: &str,
    usual: f64,
    range: std::ops::RangeInclusive<f64>,
    sink: &mut Sink<'_>,
) -> Option<Number> {
    let Some(at) = text else {
        return Number::new(usual);
    };
    let text = &at.value.as_ref()?.0;
    let number = text
        .trim()
        .parse()
        .ok()
        .filter(|number| range.contains(number));
    if number.is_none() {
        let message = format!(
            "`{key}` must be a number from {} to {}, but it is {}",
            range.start(),
            range.end(),
            quote(text)
        );
        let help = format!("write for example `{}`", keys::line_of(key));
        sink.error(&at.span, message, &help);
    }
    Number::rounded(number?)
}

fn trend_gate(raw: RawTrend, span: &Span, sides: &Sides, sink: &mut Sink<'_>) -> Option<TrendGate> {
    let measured = raw.measure.as_ref().and_then(|at| at.value.clone());
    let custom = raw.metric.as_ref().and_then(|at| at.value.as_ref());
    let custom = custom.and_then(|metric| metric.metric.as_ref()?.value.clone());
    let name = raw.name.and_then(|at| at.value).or(measured).or(custom);
    let source = Source {
        measure: raw.measure,
        metric: raw.metric,
        expression: raw.expression,
        inputs: raw.inputs,
    };
    let resolved = source.resolve(&sides.new, TREND_PERIOD_MINS, span, sink);
    let within = match &raw.within {
        Some(text) => duration(text, "within", false, sink),
        None => Some(TREND_WITHIN),
    };
    let (measure, known_unit) = resolved?;
    let Measure::Series { query, times } = measure else {
        let help = "a trend is of one series: `measure: memory`, a `metric`, or an `expression`";
        sink.error(span, "a rate of errors has no limit to climb to", help);
        return None;
    };
    let (limit, unit) = match (&raw.limit, known_unit) {
        (Some(text), unit) => quantity(text, unit, sink)?,
        (None, Some(Unit::Percent)) => (Number::from(100), Unit::Percent),
        (None, _) => {
            let help = "add for example `limit: 100%`";
            sink.error(span, "this trend has no `limit`", help);
            return None;
        }
    };
    Some(TrendGate {
        name: require_name(name, span, sink)?,
        query,
        times,
        requests: sides.new.requests(TREND_PERIOD_MINS),
        limit,
        unit,
        within: within?,
    })
}
