//! The words for the results of metrics: bounds, shares, comparisons, costs.

use std::fmt::Write;

use super::text;
use crate::engine::evidence::gate::{Attribution, Beyond, Bound, GateId, GateKind, Unit};
use crate::engine::evidence::number::Number;
use crate::engine::evidence::tally::Tally;
use crate::engine::lists;

/// Returns a gate with its kind and name: `alarm recipe-api-5xx`, `metric error_rate`.
pub(super) fn gate(gate: &GateId) -> String {
    match gate.gate {
        GateKind::Alarm => format!("alarm {gate}"),
        GateKind::Metric => format!("metric {gate}"),
        GateKind::Trend => format!("the trend of {gate}"),
        GateKind::Regression => "the comparison of both sides".to_owned(),
        GateKind::Traffic => "the traffic".to_owned(),
    }
}

/// Returns a number with its unit.
pub(super) fn number(value: Number, unit: Unit) -> String {
    match unit {
        Unit::Plain => value.to_string(),
        Unit::Percent => format!("{value} %"),
        Unit::Millis => format!("{value} ms"),
    }
}

/// Returns a text such as `5 % (at most 1 % is allowed) in 3 of 5 datapoints; the old side: 0.1 %`.
pub(super) fn beyond(beyond: &Beyond) -> String {
    let (bound, limit) = match beyond.bound {
        Bound::Max(limit) => ("at most", limit),
        Bound::Min(limit) => ("at least", limit),
    };
    let old = match beyond.old {
        Some(old) => format!("; the old side: {}", number(old, beyond.unit)),
        None => String::new(),
    };
    format!(
        "{} ({bound} {} is allowed) in {} of {} datapoints{old}",
        number(beyond.value, beyond.unit),
        number(limit, beyond.unit),
        beyond.points,
        beyond.of,
    )
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Returns a number with a comma after each thousand.
pub(super) fn thousands(count: u64) -> String {
    text::thousands(size(count))
}

/// Returns a number of requests with its noun: `1 request`, `3 requests`.
pub(super) fn requests(count: u64) -> String {
    text::count(size(count), "request")
}

/// Describes datapoints that are beyond the bound, but too few to make the gate fail.
pub(super) fn near(id: &GateId, beyond: &Beyond, needed: u32, every_mins: u16) -> String {
    let (bound, limit) = match beyond.bound {
        Bound::Max(limit) => ("max", limit),
        Bound::Min(limit) => ("min", limit),
    };
    let datapoints = if every_mins == 1 {
        "minutes"
    } else {
        "datapoints"
    };
    format!(
        "{} was {} ({bound} {}) in {} of {needed} {datapoints} that make it fail; no step is taken until it is within its \
         bound for all of the last {}",
        gate(id),
        number(beyond.value, beyond.unit),
        number(limit, beyond.unit),
        beyond.points,
        beyond.of,
    )
}

/// Describes the time in which a gate counts requests; empty if the gate counts none.
pub(super) fn counted_over(id: &GateId, over_mins: Option<u32>) -> String {
    match (id.gate, over_mins) {
        (_, Some(1)) => " in one minute".to_owned(),
        (_, Some(minutes)) => format!(" in {minutes} minutes"),
        (GateKind::Traffic, None) => " in this step".to_owned(),
        (GateKind::Regression, None) => " in the whole cutover".to_owned(),
        (GateKind::Alarm | GateKind::Metric | GateKind::Trend, None) => String::new(),
    }
}

/// What waits until a gate has its requests.
pub(super) fn waits(id: &GateId) -> &'static str {
    match id.gate {
        GateKind::Traffic => "the bake does not count until then",
        GateKind::Regression | GateKind::Alarm | GateKind::Metric | GateKind::Trend => {
            "the next step waits that long"
        }
    }
}

/// Describes the readings at the moment of a revert: ` [step 2, 5% by the weights, 4.8 % of the requests; …]`.
pub(super) fn attribution(seen: &Attribution) -> String {
    let mut parts = vec![format!(
        "step {}, {} by the weights",
        seen.step, seen.intended
    )];
    if let Some(observed) = seen.observed {
        parts.push(format!("{observed} % of the requests"));
    }
    for reading in &seen.readings {
        let old = match reading.old {
            Some(old) => format!(", the old side {}", number(old, reading.unit)),
            None => String::new(),
        };
        parts.push(format!(
            "{} {} before, {} now{old}",
            reading.name,
            number_or_nothing(reading.before, reading.unit),
            number_or_nothing(reading.after, reading.unit)
        ));
    }
    match seen.old_too {
        Some(true) => parts.push("the old side shows the same".to_owned()),
        Some(false) => parts.push("the old side does not show it".to_owned()),
        None => {}
    }
    format!(" [{}]", lists::some(&parts, "; "))
}

fn number_or_nothing(value: Option<Number>, unit: Unit) -> String {
    match value {
        Some(value) => number(value, unit),
        None => "nothing".to_owned(),
    }
}

/// Describes the requests and readings of a step so far.
pub(super) fn tally(tally: &Tally) -> String {
    let all = tally.new_requests.saturating_add(tally.old_requests);
    let mut said = format!("counted up to {}", text::minute(tally.until));
    if all > 0 {
        let new = thousands(tally.new_requests);
        let all = thousands(all);
        let _ = write!(
            said,
            ": {new} of {all} requests of this step went to the new side"
        );
    }
    for reading in &tally.readings {
        if let Some(new) = reading.new {
            let _ = write!(said, "; {} {}", reading.name, number(new, reading.unit));
        }
    }
    said
}

/// Returns the price in US dollars that `CloudWatch` charges for this many requested metrics: 0.01 for a thousand.
///
/// Source: `CloudWatch` pricing, `GetMetricData`; the same in most regions.
pub(super) fn dollars(reads: u64) -> f64 {
    let reads = u32::try_from(reads).unwrap_or(u32::MAX);
    (f64::from(reads) / 1_000.0).round() / 100.0
}

/// Describes the cost of reading a plan's metrics for a day. `reads` is the number of metrics requested in a day.
pub(super) fn cost(reads: u64) -> String {
    format!(
        "{} reads of metrics a day while it is under way, about {:.2} US$ a day (`every: 5m` costs a fifth)",
        thousands(reads),
        dollars(reads)
    )
}
