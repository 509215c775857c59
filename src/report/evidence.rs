//! What metrics showed, in words: bounds, shares, comparisons, climbs.

use std::fmt::Write;

use jiff::Timestamp;

use super::text;
use crate::engine::evidence::gate::{Attribution, Beyond, Bound, GateId, GateKind, Unit};
use crate::engine::evidence::number::Number;
use crate::engine::evidence::tally::Tally;
use crate::engine::hold::HoldReason;
use crate::engine::lists;

/// A gate by its kind and name: `alarm recipe-api-5xx`, `metric error_rate`.
pub(super) fn gate(gate: &GateId) -> String {
    match gate.gate {
        GateKind::Alarm => format!("alarm {gate}"),
        GateKind::Metric => format!("metric {gate}"),
        GateKind::Trend => format!("the trend of {gate}"),
        GateKind::Regression => "the comparison of both sides".to_owned(),
        GateKind::Traffic => "the traffic".to_owned(),
    }
}

/// A number with its unit.
pub(super) fn number(value: Number, unit: Unit) -> String {
    match unit {
        Unit::Plain => value.to_string(),
        Unit::Percent => format!("{value} %"),
        Unit::Millis => format!("{value} ms"),
    }
}

/// `5 % (at most 1 % is allowed), 3 of 5 datapoints; the old side 0.1 %`.
pub(super) fn beyond(beyond: &Beyond) -> String {
    let (bound, limit) = match beyond.bound {
        Bound::Max(limit) => ("at most", limit),
        Bound::Min(limit) => ("at least", limit),
    };
    let old = beyond.old.map_or_else(String::new, |old| {
        format!("; the old side: {}", number(old, beyond.unit))
    });
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

/// A number with a comma after each thousand.
pub(super) fn thousands(count: u64) -> String {
    text::thousands(size(count))
}

/// What a hold that comes of metrics says.
pub(super) fn fact(reason: &HoldReason, now: Option<Timestamp>) -> Option<String> {
    Some(match reason {
        HoldReason::MeasureRed {
            gate: id,
            beyond: by,
            started,
        } => {
            let not_started = if *started { "" } else { "not started: " };
            format!("{not_started}{} is {}", gate(id), beyond(by))
        }
        HoldReason::TrafficElsewhere {
            intended,
            observed,
            within,
            new_requests,
            old_requests,
        } => format!(
            "the traffic did not follow the weights: the new side had {observed} % of the requests of the last hour \
             ({} of {}) where the weights say {intended}; within {within} % of that is allowed",
            thousands(*new_requests),
            thousands(new_requests.saturating_add(*old_requests)),
        ),
        HoldReason::Climbing {
            gate: id,
            value,
            limit,
            unit,
            ..
        } if value >= limit => format!(
            "{} on the new side is at its limit: {} of {}",
            id.name,
            number(*value, *unit),
            number(*limit, *unit),
        ),
        HoldReason::Climbing {
            gate: id,
            value,
            per_hour,
            limit,
            unit,
            reaches_at,
        } => {
            let at = match now {
                Some(now) => format!(
                    "{} ({})",
                    text::minute(*reaches_at),
                    text::relative(*reaches_at, now)
                ),
                None => text::minute(*reaches_at),
            };
            format!(
                "{} on the new side climbs without end: {} now, {} more each hour, {} at {at}",
                id.name,
                number(*value, *unit),
                number(*per_hour, *unit),
                number(*limit, *unit),
            )
        }
        _ => return too_few(reason, now),
    })
}

/// Datapoints are beyond the bound, but not so many yet that everything is taken back.
fn near(id: &GateId, beyond: &Beyond, needed: u32, every_mins: u16) -> String {
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
        "{} was {} ({bound} {}) in {} of {needed} {datapoints} that make it fail: no step is taken until it is well for all \
         of the last {}",
        gate(id),
        number(beyond.value, beyond.unit),
        number(limit, beyond.unit),
        beyond.points,
        beyond.of,
    )
}

/// Too little came to judge by.
fn too_few(reason: &HoldReason, now: Option<Timestamp>) -> Option<String> {
    Some(match reason {
        HoldReason::NeverCompared { gate: id, requests } => format!(
            "{} cannot tell any more whether the new side is worse: the old side has no requests by the weights, and {} of \
             the new side were compared before, which is too few",
            gate(id),
            text::count(size(*requests), "request")
        ),
        HoldReason::MeasureNear {
            gate: id,
            beyond,
            needed,
            every_mins,
        } => near(id, beyond, *needed, *every_mins),
        HoldReason::TooFewRequests {
            gate: id,
            requests,
            needed: None,
            ..
        } => format!(
            "{} has too little to judge by: {} of the new side",
            gate(id),
            text::count(size(*requests), "request")
        ),
        HoldReason::TooFewRequests {
            gate: id,
            requests,
            needed: Some(needed),
            over_mins,
            judged_at,
        } => format!(
            "{} of {} requests needed to judge {}{}{}",
            thousands(*requests),
            thousands(*needed),
            gate(id),
            counted_over(id, *over_mins),
            judged(*judged_at, now),
        ),
        _ => return None,
    })
}

/// In which time a gate counts requests.
fn counted_over(id: &GateId, over_mins: Option<u32>) -> String {
    match (id.gate, over_mins) {
        (_, Some(1)) => " in one minute".to_owned(),
        (_, Some(minutes)) => format!(" in {minutes} minutes"),
        (GateKind::Traffic, None) => " in this step".to_owned(),
        (GateKind::Regression, None) => " in the whole cutover".to_owned(),
        (GateKind::Alarm | GateKind::Metric | GateKind::Trend, None) => String::new(),
    }
}

/// When a gate can judge.
fn judged(at: Option<Timestamp>, now: Option<Timestamp>) -> String {
    let Some(at) = at else {
        return String::new();
    };
    let at = match now {
        Some(now) => text::when(at, now),
        None => text::minute(at),
    };
    format!("; at the present rate that is at about {at}")
}

/// What to do about it.
pub(super) fn remedy(reason: &HoldReason) -> Option<String> {
    Some(match reason {
        HoldReason::MeasureRed { started: false, .. } => "wait until it is well, or change the plan".to_owned(),
        HoldReason::TrafficElsewhere { .. } => {
            "look at who still calls the old side (caches, long connections, pinned addresses), or widen `share_within` \
             where few callers make it coarse"
                .to_owned()
        }
        HoldReason::Climbing { .. } => {
            "look for a leak; the step is taken when it stops, or raise `limit` if this is well".to_owned()
        }
        HoldReason::NeverCompared { .. } => {
            "judge for yourself: take `regression` out of the plan and amend it, or go back".to_owned()
        }
        _ => return None,
    })
}

/// What was seen at the moment of a revert: ` [step 2, 5% by the weights, 4.8 % of the requests; …]`.
pub(super) fn attribution(seen: &Attribution) -> String {
    let mut parts = vec![format!(
        "step {}, {} by the weights",
        seen.step, seen.intended
    )];
    if let Some(observed) = seen.observed {
        parts.push(format!("{observed} % of the requests"));
    }
    for reading in &seen.readings {
        let shown = |value: Option<Number>| {
            value.map_or_else(|| "nothing".to_owned(), |value| number(value, reading.unit))
        };
        let old = reading.old.map_or_else(String::new, |old| {
            format!(", the old side {}", number(old, reading.unit))
        });
        parts.push(format!(
            "{} {} before, {} now{old}",
            reading.name,
            shown(reading.before),
            shown(reading.after)
        ));
    }
    match seen.old_too {
        Some(true) => parts.push("the old side shows the same".to_owned()),
        Some(false) => parts.push("the old side does not show it".to_owned()),
        None => {}
    }
    format!(" [{}]", lists::some(&parts, "; "))
}

/// What was counted so far.
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

/// What `CloudWatch` charges for so many metrics asked for, in US dollars: 0.01 for a thousand.
///
/// Source: `CloudWatch` pricing, `GetMetricData`; the same in most regions.
pub(super) fn dollars(reads: u64) -> f64 {
    let reads = u32::try_from(reads).unwrap_or(u32::MAX);
    (f64::from(reads) / 1_000.0).round() / 100.0
}

/// What the metrics of a plan cost in a day.
pub(super) fn cost(reads: u64) -> String {
    format!(
        "{} reads of metrics a day while it is under way, about {:.2} US$ a day (`every: 5m` costs a fifth)",
        thousands(reads),
        dollars(reads)
    )
}
