//! Plans with metric gates for the engine's small test world, and changes of its traffic.

use std::collections::BTreeMap;

use cutover_engine::evidence::gate::{Bound, Unit};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::{
    Counted, Measure, Measures, Metric, MetricGate, Query, RegressionGate, Series, TrafficGate,
    TrendGate,
};
use cutover_engine::evidence::sequential::Test;
use cutover_engine::plan::Plan;
use jiff::SignedDuration;

use crate::flows::Flow;
use crate::plan::plan;
use crate::world::World;

/// Returns a query for the sums of the metric `name` over periods of `period_mins` minutes.
pub fn series(name: &str, period_mins: u16) -> Query {
    let metric = Metric {
        namespace: "Test".to_owned(),
        metric: name.to_owned(),
        dimensions: BTreeMap::new(),
        stat: "Sum".to_owned(),
    };
    Query::from(Series {
        region: None,
        account: None,
        expression: None,
        inputs: BTreeMap::from([("m".to_owned(), metric)]),
        period_mins,
    })
}

/// Returns the requests and errors of a side (`new` or `old`).
fn counted(side: &str) -> Counted {
    Counted {
        requests: vec![series(&format!("{side} requests"), 1)],
        errors: vec![series(&format!("{side} errors"), 1)],
    }
}

/// Returns the error rate of a side (`new` or `old`).
fn rate(side: &str) -> Measure {
    let Counted { requests, errors } = counted(side);
    Measure::Rate { errors, requests }
}

/// Returns a gate on the error rate of both sides: at most `percent`, 3 of 5 datapoints.
pub fn error_rate(percent: u32) -> MetricGate {
    MetricGate {
        name: "error_rate".to_owned(),
        new: rate("new"),
        old: Some(rate("old")),
        requests: counted("new").requests,
        bound: Bound::Max(Number::from(percent)),
        unit: Unit::Percent,
        points: 3,
        of: 5,
        every_mins: 1,
        min_requests: 0,
        no_data_passes: false,
        delay_mins: 0,
    }
}

/// Returns gates of all kinds: an error rate of 1 %, the traffic, the comparison of both sides, and the memory trend.
pub fn measures() -> Measures {
    Measures {
        metrics: vec![error_rate(1)],
        traffic: Some(TrafficGate {
            new: counted("new").requests,
            old: counted("old").requests,
            min_requests: 200,
            share_within: Number::from(50),
            every_mins: 1,
        }),
        regression: Some(RegressionGate {
            new: counted("new"),
            old: counted("old"),
            test: Test::default(),
            slow_over_ms: None,
            every_mins: 1,
        }),
        trends: vec![TrendGate {
            name: "memory".to_owned(),
            query: series("new memory", 5),
            times: Number::from(1),
            requests: vec![series("new requests", 5)],
            limit: Number::from(100),
            unit: Unit::Percent,
            within: SignedDuration::from_hours(7 * 24),
        }],
    }
}

/// Two steps to 10 % and 100 %, each with a bake of an hour and without approval.
pub const STEPS: [(u8, i64, bool); 2] = [(10, 60, false), (100, 60, false)];

/// Returns a plan with one group, these steps (as in [`plan`]), and these metric gates.
pub fn measured(steps: &[(u8, i64, bool)], measures: Measures) -> Plan {
    let mut plan = plan(&[1], steps);
    plan.gates.measures = measures;
    plan
}

/// Returns metric gates with this gate only.
pub fn with_metric(gate: MetricGate) -> Measures {
    Measures {
        metrics: vec![gate],
        ..Measures::default()
    }
}

/// Returns metric gates with the observed share only.
pub fn with_traffic() -> Measures {
    Measures {
        traffic: measures().traffic,
        ..Measures::default()
    }
}

/// Returns metric gates with the comparison of both sides only.
pub fn with_regression() -> Measures {
    Measures {
        regression: measures().regression,
        ..Measures::default()
    }
}

/// Returns metric gates with the memory trend only. If `requests` is false, the trend does not know its requests.
pub fn with_trend(requests: bool) -> Measures {
    let mut trends = measures().trends;
    if !requests {
        trends[0].requests.clear();
    }
    Measures {
        trends,
        ..Measures::default()
    }
}

/// Changes the traffic from now on: `change` is applied to the default traffic.
pub fn flow(world: &mut World, change: impl FnOnce(&mut Flow)) {
    let mut flow = Flow::default();
    change(&mut flow);
    let now = world.now;
    world.flows.turn(now, flow);
}
