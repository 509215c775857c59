//! The gates of a plan that are judged from metrics: `sides`, `metrics`, `traffic`, `regression`, `trend`.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use schemars::JsonSchema;

use crate::engine::evidence::gate::{Bound, Unit};
use crate::engine::evidence::least::{FALSE_REVERTS, HEALTHY, false_reverts, least_requests};
use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::{
    Measure, Measures, MetricGate, RegressionGate, TREND_PERIOD_MINS, TrafficGate, TrendGate,
};
use crate::engine::evidence::sequential::Test;

use super::at::At;
use super::diagnostics::{Sink, Span, quote};
use super::expressions::{Source, math, metric, plain};
use super::fields::{ABOVE_ZERO, Lengths, accept, duration, require_in, shaped};
use super::presets::{Alb, PresetSide};
use super::raw::{
    BoundText, CountText, DurationText, FactorText, PointsText, RawAlb, RawEcs, RawEks, RawGates,
    RawMetricGate, RawNlb, RawNoData, RawRegression, RawSide, RawSides, RawTrafficGate, RawTrend,
    ShareText,
};
use super::shapes::{self, Complaint};
use super::{accounts, fleet_keys, keys, steps};

/// The most datapoints that a gate judges at once.
const POINTS_MAX: u16 = 60;
/// The longest datapoint, in minutes.
const EVERY_MAX: u16 = 60;
/// The default of `min_requests`: with fewer requests of the new side a step's bake does not count.
const MIN_REQUESTS: u32 = 200;
/// The default of `share_within`: how far the observed share may be from the intended one, in percent of it.
const SHARE_WITHIN: u32 = 50;
/// The default of `within`: a climb that reaches its limit later than this is ignored.
const TREND_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Both sides, and the interval at which they are counted.
struct Sides {
    new: PresetSide,
    old: PresetSide,
    every_mins: u16,
}

/// The gates of metrics. Mistakes are recorded in the sink.
pub(super) fn convert(
    raw: &mut RawGates,
    region: Option<&str>,
    sink: &mut Sink<'_>,
) -> Option<Measures> {
    let sides = sides(raw.sides.take(), region, sink)?;
    let mut names = BTreeSet::new();
    let mut measures = Measures::default();
    for (span, entry) in items(raw.metrics.take()) {
        let Some(gate) = metric_gate(entry, &span, &sides, sink) else {
            continue;
        };
        if is_new_name(&gate.name, &span, &mut names, sink) {
            measures.metrics.push(gate);
        }
    }
    for (span, entry) in items(raw.trend.take()) {
        let Some(gate) = trend_gate(entry, &span, &sides, sink) else {
            continue;
        };
        let name = format!("trend of {}", gate.name);
        if is_new_name(&name, &span, &mut names, sink) {
            measures.trends.push(gate);
        }
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
    let mut items = Vec::new();
    for At { span, value } in list {
        if let Some(value) = value {
            items.push((span, value));
        }
    }
    items
}

/// Returns true and remembers the name if it is new; else records an error.
fn is_new_name(name: &str, span: &Span, names: &mut BTreeSet<String>, sink: &mut Sink<'_>) -> bool {
    let new = names.insert(name.to_owned());
    if !new {
        let message = format!("{} is watched twice", quote(name));
        sink.error(span, message, "give one of the two another `name`");
    }
    new
}

fn sides(raw: Option<At<RawSides>>, region: Option<&str>, sink: &mut Sink<'_>) -> Option<Sides> {
    let mut sides = Sides {
        new: PresetSide::default(),
        old: PresetSide::default(),
        every_mins: 1,
    };
    sides.new.region = region.map(str::to_owned);
    sides.old.region = region.map(str::to_owned);
    let Some(At { span, value }) = raw else {
        return Some(sides);
    };
    let raw = value?;
    let new = require_in::<RawSides, _>(raw.new, "new", "`sides`", &span, sink);
    sides.new = side(new, region, sink);
    sides.old = side(raw.old, region, sink);
    sides.every_mins = every::<RawSides>(raw.every.as_ref(), 1, sink)?;
    Some(sides)
}

fn side(raw: Option<At<RawSide>>, region: Option<&str>, sink: &mut Sink<'_>) -> PresetSide {
    let mut side = PresetSide {
        region: region.map(str::to_owned),
        ..PresetSide::default()
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
    side.alb = raw.alb.and_then(|at| alb(at, sink));
    side.nlb = raw.nlb.and_then(|at| {
        let load_balancer = at.value?.load_balancer;
        dimension::<RawNlb>(load_balancer, "load_balancer", "`nlb`", &at.span, sink)
    });
    side.ecs = raw.ecs.and_then(|at| {
        let (span, ecs) = (at.span, at.value?);
        let cluster = dimension::<RawEcs>(ecs.cluster, "cluster", "`ecs`", &span, sink);
        let service = dimension::<RawEcs>(ecs.service, "service", "`ecs`", &span, sink);
        Some((cluster?, service?))
    });
    side.eks = raw.eks.and_then(|at| {
        let (span, eks) = (at.span, at.value?);
        let cluster = dimension::<RawEks>(eks.cluster, "cluster", "`eks`", &span, sink);
        let namespace = dimension::<RawEks>(eks.namespace, "namespace", "`eks`", &span, sink);
        let service = dimension::<RawEks>(eks.service, "service", "`eks`", &span, sink);
        Some((cluster?, namespace?, service?))
    });
    check_arns(&side, &span, sink);
    side.requests = raw.requests.and_then(|at| metric(at, "Sum", sink));
    side.errors = raw.errors.and_then(|at| metric(at, "Sum", sink));
    side
}

fn alb(at: At<RawAlb>, sink: &mut Sink<'_>) -> Option<Alb> {
    let (span, raw) = (at.span, at.value?);
    let place = "`alb`";
    let load_balancer =
        dimension::<RawAlb>(raw.load_balancer, "load_balancer", place, &span, sink)?;
    let target_group = match raw.target_group {
        Some(group) => dimension::<RawAlb>(Some(group), "target_group", place, &span, sink),
        None => None,
    };
    Some(Alb {
        load_balancer,
        target_group,
        shared: raw.shared.and_then(|at| at.value).unwrap_or(false),
    })
}

/// A required key of the map `M` whose value is a dimension of a metric.
fn dimension<M: JsonSchema>(
    value: Option<At<String>>,
    key: &str,
    place: &str,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<String> {
    named(require_in::<M, _>(value, key, place, span, sink)?, sink)
}

/// A name without control characters.
fn named(at: At<String>, sink: &mut Sink<'_>) -> Option<String> {
    let name = at.value?;
    if accept(
        shapes::without_controls(&name, "CloudWatch"),
        &at.span,
        sink,
    ) {
        Some(name)
    } else {
        None
    }
}

/// Checks that load balancers and target groups are named by the end of their ARNs.
fn check_arns(side: &PresetSide, span: &Span, sink: &mut Sink<'_>) {
    let alb = side.alb.as_ref();
    let named = [
        (
            alb.map(|alb| &alb.load_balancer),
            "app/",
            keys::line_of::<RawAlb>("load_balancer"),
        ),
        (
            side.nlb.as_ref(),
            "net/",
            keys::line_of::<RawNlb>("load_balancer"),
        ),
        (
            alb.and_then(|alb| alb.target_group.as_ref()),
            "targetgroup/",
            keys::line_of::<RawAlb>("target_group"),
        ),
    ];
    for (value, prefix, line) in named {
        let Some(value) = value else {
            continue;
        };
        if value.starts_with(prefix) {
            continue;
        }
        let message = format!("{} is not the end of an ARN, `{prefix}…`", quote(value));
        let end = value.find(prefix).map(|at| &value[at..]);
        let help = match (end, line.split_once(": ")) {
            (Some(end), Some((key, _))) => format!("write `{key}: {end}`"),
            _ => format!("write for example `{line}`"),
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
    let every_mins = every::<RawMetricGate>(raw.every.as_ref(), sides.every_mins, sink);
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
    let min_requests = min_requests(raw.min_requests.as_ref(), &new, (bound, period), sink)?;
    let name = name.or(custom);
    let no_data = raw.no_data.and_then(|at| at.value);
    let gate = MetricGate {
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
    };
    if let Some(written) = &raw.min_requests {
        warn_of_chance(&gate, &written.span, sink);
    }
    Some(gate)
}

/// Warns about a `min_requests` so low that healthy services are reverted by chance.
fn warn_of_chance(gate: &MetricGate, written: &Span, sink: &mut Sink<'_>) {
    let Bound::Max(most) = gate.bound else {
        return;
    };
    let chance = false_reverts(gate);
    let Some(least) = least_requests(most, gate.every_mins) else {
        return;
    };
    if chance <= FALSE_REVERTS || gate.min_requests >= least {
        return;
    }
    let weeks: u32 = if chance < 0.1 { 1_000 } else { 100 };
    let reverted = (chance * f64::from(weeks)).ceil();
    let weeks = if weeks == 1_000 { "1,000" } else { "100" };
    let usual = most.value() * HEALTHY;
    let message = format!(
        "`min_requests: {}` is too few for `max: {most}%`: with a healthy {usual}% of failed requests, up to {reverted} of \
         {weeks} weeks would end with a revert by chance",
        gate.min_requests
    );
    let help = format!(
        "write `min_requests: {least}`, or leave it out, which is the same: then at most 1 of 1,000 weeks does"
    );
    sink.warning(written, message, &help);
}

/// The number of requests that a rate needs before it is judged by itself: else one error in a quiet minute would break any
/// bound. By default it is large enough that healthy services pass.
fn min_requests(
    text: Option<&At<CountText>>,
    measure: &Measure,
    (bound, every_mins): (Bound, u16),
    sink: &mut Sink<'_>,
) -> Option<u64> {
    let rate = matches!(measure, Measure::Rate { .. });
    match (text, bound) {
        (Some(text), _) if rate => {
            fleet_keys::count::<RawMetricGate>(text, "min_requests", sink).map(u64::from)
        }
        (Some(text), _) => {
            let message = "`min_requests` is for `measure: error_rate`";
            sink.error(&text.span, message, "remove it");
            None
        }
        (None, Bound::Max(most)) if rate => Some(least_requests(most, every_mins).unwrap_or(0)),
        (None, Bound::Max(_) | Bound::Min(_)) => Some(0),
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
    if let Some((points, of)) = pair_of_numbers(text)
        && points >= 1
        && points <= of
        && of <= POINTS_MAX
    {
        return Some((points, of));
    }
    let message = format!("{} is not M of N datapoints", quote(text));
    let help = format!("write for example `for: 3 of 5`; {POINTS_MAX} are the most");
    sink.error(&at.span, message, &help);
    None
}

fn pair_of_numbers(text: &str) -> Option<(u16, u16)> {
    let (points, of) = text.split_once(" of ")?;
    Some((points.trim().parse().ok()?, of.trim().parse().ok()?))
}

/// The times between two reads: minutes that divide an hour, so that periods are aligned as `CloudWatch` aligns them.
const EVERY: Lengths = Lengths {
    zero: false,
    fits: divides_an_hour,
    refusal: not_every,
};

fn divides_an_hour(length: SignedDuration) -> bool {
    let minutes = whole_minutes(length).unwrap_or(0);
    minutes >= 1 && EVERY_MAX.is_multiple_of(minutes)
}

fn not_every(key: &str) -> Complaint {
    (
        format!("`{key}` must be a number of minutes that divides an hour"),
        "write `1m`, `5m`, `10m`, `15m`, `30m` or `1h`".to_owned(),
    )
}

/// The minutes of `every`, a key of the map `M`.
fn every<M: JsonSchema>(
    text: Option<&At<DurationText>>,
    usual: u16,
    sink: &mut Sink<'_>,
) -> Option<u16> {
    match text {
        Some(text) => whole_minutes(duration::<M>(text, "every", &EVERY, sink)?),
        None => Some(usual),
    }
}

/// The minutes of a duration, if it has no seconds beside them.
fn whole_minutes(length: SignedDuration) -> Option<u16> {
    if length.as_secs() % 60 != 0 {
        return None;
    }
    u16::try_from(length.as_mins()).ok()
}

/// The longest `delay`, in minutes.
const DELAY_MAX: u16 = 60;

/// The delays that a metric may have.
const DELAYS: Lengths = Lengths {
    zero: true,
    fits: is_delay,
    refusal: not_delay,
};

fn is_delay(length: SignedDuration) -> bool {
    whole_minutes(length).is_some_and(|minutes| minutes <= DELAY_MAX)
}

fn not_delay(key: &str) -> Complaint {
    (
        format!("`{key}` must be whole minutes, at most an hour"),
        "write for example `delay: 8m`; for a metric that arrives later use an alarm".to_owned(),
    )
}

/// The delay of a metric's datapoints, in minutes. By default they are complete when all others are.
fn delay_mins(text: Option<&At<DurationText>>, sink: &mut Sink<'_>) -> Option<u16> {
    match text {
        Some(text) => whole_minutes(duration::<RawMetricGate>(text, "delay", &DELAYS, sink)?),
        None => Some(0),
    }
}

/// A bound as it was written, and its kind.
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
            let help = "write two gates instead";
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

/// A number with its unit. If `wanted` is given, another unit is a mistake.
fn quantity(
    at: &At<BoundText>,
    wanted: Option<Unit>,
    sink: &mut Sink<'_>,
) -> Option<(Number, Unit)> {
    let text = at.value.as_ref()?.0.trim();
    let example = match wanted {
        Some(Unit::Percent) => "1%",
        Some(Unit::Millis) => "800ms",
        Some(Unit::Plain) | None => "25",
    };
    match number_and_unit(text) {
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
            let message = format!("{} is not a valid bound here", quote(text));
            sink.error(&at.span, message, &format!("write for example `{example}`"));
            None
        }
    }
}

fn number_and_unit(text: &str) -> Option<(Number, Unit)> {
    let units = [
        ("%", Unit::Percent, 1.0),
        ("ms", Unit::Millis, 1.0),
        ("s", Unit::Millis, 1000.0),
        ("", Unit::Plain, 1.0),
    ];
    for (sign, unit, times) in units {
        if let Some(number) = text.strip_suffix(sign)
            && let Some(number) = multiple(number, times)
        {
            return Some((number, unit));
        }
    }
    None
}

/// The number that a text without a sign stands for, times a factor.
fn multiple(text: &str, times: f64) -> Option<Number> {
    let text = text.trim_end();
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    Number::rounded(number * times)
}

fn traffic_gate(at: At<RawTrafficGate>, sides: &Sides, sink: &mut Sink<'_>) -> Option<TrafficGate> {
    let (span, raw) = (at.span, at.value?);
    let (new, old) = (sides.new.requests(1), sides.old.requests(1));
    if new.is_empty() || old.is_empty() {
        uncounted("traffic", "requests", &span, sink);
        return None;
    }
    let min_requests = match &raw.min_requests {
        Some(text) => fleet_keys::count::<RawTrafficGate>(text, "min_requests", sink)?,
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

/// A fraction of the intended share, in percent.
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
    let message = format!("`{gate}` needs metrics of the {what} of both sides");
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
    if let Ok(number) = text.trim().parse::<f64>()
        && range.contains(&number)
    {
        return Number::rounded(number);
    }
    let message = format!(
        "`{key}` must be a number from {} to {}, but it is {}",
        range.start(),
        range.end(),
        quote(text)
    );
    let help = format!(
        "write for example `{}`",
        keys::line_of::<RawRegression>(key)
    );
    sink.error(&at.span, message, &help);
    None
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
        Some(text) => duration::<RawTrend>(text, "within", &ABOVE_ZERO, sink),
        None => Some(TREND_WITHIN),
    };
    let (measure, known_unit) = resolved?;
    let Measure::Series { query, times } = measure else {
        let help = "a trend needs one series: `measure: memory`, a `metric`, or an `expression`";
        sink.error(span, "an error rate has no limit to climb to", help);
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
