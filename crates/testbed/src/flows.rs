//! The traffic of both sides in the engine's small test world, as metrics of `CloudWatch`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::Query;
use cutover_engine::evidence::reading::SeriesReading;
use cutover_engine::evidence::wanted::Minutes;
use jiff::Timestamp;

/// The traffic from one time on. Counts are per minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// The number of requests to both sides together.
    pub requests: u32,
    /// The new side's part of the requests, in percent. `None` means the share by the weights.
    pub moved: Option<u32>,
    /// The failed requests in ten thousand: new side, old side.
    pub failing: [u32; 2],
    /// The new side's memory in use, in percent, and its growth per hour, in percentage points.
    pub memory: (u32, u32),
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            requests: 1_000,
            moved: None,
            failing: [10, 10],
            memory: (40, 0),
        }
    }
}

/// The traffic at all times, and the faults of reading it.
#[derive(Debug, Clone, Default)]
pub struct Flows {
    /// The traffic from each time on.
    turns: BTreeMap<Timestamp, Flow>,
    /// The new side's share by the weights from each time on, in percent.
    shares: BTreeMap<Timestamp, u32>,
    /// The reason why nothing can be read. `None` if everything can be read.
    pub down: Option<String>,
    /// True if a value of zero gives no datapoint, as with the errors of load balancers.
    pub sparse: bool,
    /// True if only the first two of five minutes have datapoints.
    pub gaps: bool,
    /// A metric that has no datapoints from a time on.
    pub mute: Option<(&'static str, Timestamp)>,
}

impl Flows {
    /// Changes the traffic from `at` on.
    pub fn turn(&mut self, at: Timestamp, flow: Flow) {
        self.turns.insert(at, flow);
    }

    /// Changes the new side's share by the weights, in percent, from `at` on.
    pub fn weigh(&mut self, at: Timestamp, percent: u32) {
        self.shares.insert(at, percent);
    }

    /// Returns the traffic at a minute, the time since which it is so, and the new side's share by the weights in
    /// percent.
    fn at(&self, minute: Timestamp) -> (Flow, Timestamp, u32) {
        let flow = self.turns.range(..=minute).next_back();
        let (since, flow) = flow.map_or((minute, Flow::default()), |(at, flow)| (*at, *flow));
        let share = self.shares.range(..=minute).next_back();
        (flow, since, share.map_or(0, |(_, share)| *share))
    }

    /// Returns the datapoint of a metric at a minute. `None` if there is none.
    fn value(&self, name: &str, minute: Timestamp) -> Option<f64> {
        let (flow, since, share) = self.at(minute);
        let new = flow.requests * flow.moved.unwrap_or(share) / 100;
        let requests = [new, flow.requests - new];
        let value = match name {
            "new requests" => f64::from(requests[0]),
            "old requests" => f64::from(requests[1]),
            "new errors" => failed(requests[0], flow.failing[0]),
            "old errors" => failed(requests[1], flow.failing[1]),
            _ => {
                let hours = minute.duration_since(since).as_secs_f64() / 3600.0;
                f64::from(flow.memory.0) + hours * f64::from(flow.memory.1)
            }
        };
        let muted = self
            .mute
            .is_some_and(|(mute, from)| mute == name && minute >= from);
        let gap = self.gaps && minute.as_second() / 60 % 5 >= 2;
        let left_out = self.sparse && value <= 0.0;
        if muted || gap || left_out {
            return None;
        }
        Some(value)
    }

    /// Returns the reading of a series over a range.
    pub fn read(&self, query: &Query, minutes: Minutes) -> SeriesReading {
        if let Some(why) = &self.down {
            return SeriesReading::Unreadable(why.clone());
        }
        let name = &query.inputs["m"].metric;
        let period = query.period();
        let mut points = BTreeMap::new();
        let mut at = minutes.from;
        while at < minutes.until {
            if let Some(value) = self.value(name, at).and_then(Number::new) {
                points.insert(at, value);
            }
            at += period;
        }
        SeriesReading::Read {
            from: minutes.from,
            until: minutes.until,
            points: Arc::new(points),
        }
    }
}

/// Returns the number of failed requests, if `failing` of ten thousand fail. Rounded down.
fn failed(requests: u32, failing: u32) -> f64 {
    f64::from(requests * failing / 10_000)
}
