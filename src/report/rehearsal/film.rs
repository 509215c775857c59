//! The recording of a rehearsal: the journal's entries, and the state of the simulated world at regular moments.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::event::Envelope;
use crate::engine::plan::Plan;
use crate::engine::state::Phase;
use crate::engine::units::{AlarmId, CutoverName};

/// The recording of one rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// The seed of all chance; the same seed gives the same recording.
    pub seed: u64,
    /// The time at which it began.
    pub start: Timestamp,
    /// The time at which it ended: every cutover had ended, or it was cut off.
    pub end: Timestamp,
    /// The assumption about each alarm.
    pub assumed: BTreeMap<AlarmId, Meaning>,
    /// The faults of the scenario.
    pub faults: Vec<Trouble>,
    /// The faults that never happened, because the rehearsal ended before.
    pub never: Vec<String>,
    /// Each cutover's part.
    pub reels: Vec<Reel>,
    /// The number of calls of each AWS operation.
    pub calls: BTreeMap<String, u64>,
}

/// The measurement of an alarm in the simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "measures")]
pub enum Meaning {
    /// The failed requests of the new or old side, as a part of all (0 to 1).
    Errors {
        /// Red above this.
        above: f64,
        /// Whether it watches the old side.
        old_side: bool,
    },
    /// The 99th percentile of response times.
    Latency {
        /// Red above this, in milliseconds.
        above_ms: f64,
        /// Whether it watches the old side.
        old_side: bool,
    },
}

/// A fault in the simulated world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The fault as the scenario writes it, for example `new errors 20%`.
    pub what: String,
    /// Its begin.
    pub from: Timestamp,
    /// Its end; none if it stays.
    pub until: Option<Timestamp>,
}

/// One cutover's part of a rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Reel {
    /// The cutover.
    pub name: CutoverName,
    /// Its plan.
    pub plan: Plan,
    /// Its entries in the journal.
    pub entries: Vec<Envelope>,
    /// Its last phase.
    pub phase: Phase,
    /// The time at which that phase began.
    pub phase_since: Timestamp,
    /// The world at regular moments, oldest first.
    pub frames: Vec<Frame>,
    /// The minutes around the revert, one frame each; empty if nothing reverted.
    pub near: Vec<Frame>,
    /// The request counts.
    pub tally: Tally,
    /// The moments from the fault until the traffic is back, if there was a revert.
    pub reaction: Option<Reaction>,
}

/// The world around one cutover at one moment; rates are averages since the frame before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frame {
    /// The moment.
    pub at: Timestamp,
    /// Requests a minute, both sides.
    pub requests: f64,
    /// The new side's share by the weights in Route 53 (0 to 1).
    pub intended: f64,
    /// The new side's share of the requests (0 to 1).
    pub observed: f64,
    /// The new cluster.
    pub new: Side,
    /// The old cluster.
    pub old: Side,
    /// The alarms of the plan that were in ALARM.
    pub red: BTreeSet<AlarmId>,
}

/// One cluster at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Side {
    /// Failed requests, as a part of all (0 to 1).
    pub errors: f64,
    /// The 99th percentile of response times, in milliseconds.
    pub p99_ms: f64,
}

/// Requests of a whole rehearsal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tally {
    /// All of them.
    pub requests: f64,
    /// Those that failed.
    pub failed: f64,
    /// Those that failed because of the cutover: they would not have failed with the weights untouched.
    pub failed_by_cutover: f64,
    /// Those that would have failed because of the cutover if it had not reverted.
    pub failed_without_revert: f64,
}

/// The moments from a fault until the traffic is back; none for a moment that was not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// The fault began.
    pub fault_at: Option<Timestamp>,
    /// The first bad datapoint was available.
    pub metric_at: Option<Timestamp>,
    /// The alarm turned red.
    pub alarm_at: Option<Timestamp>,
    /// The controller decided to revert.
    pub decided_at: Option<Timestamp>,
    /// Route 53 accepted the change.
    pub written_at: Option<Timestamp>,
    /// It was on all of Route 53's servers.
    pub in_sync_at: Option<Timestamp>,
    /// Fewer than one request in a thousand still went to the new side.
    pub drained_at: Option<Timestamp>,
}
