//! The recording of a rehearsal: the journal's entries, and the state of the simulated world at regular times.

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
    /// The seed of all random numbers. The same seed gives the same recording.
    pub seed: u64,
    /// When the rehearsal began.
    pub start: Timestamp,
    /// When the rehearsal ended: every cutover had ended, or it was cut off.
    pub end: Timestamp,
    /// The assumed measurement and threshold of each alarm.
    pub assumed: BTreeMap<AlarmId, Meaning>,
    /// The faults that happened, without the actions of people, which are in the journal.
    pub faults: Vec<Trouble>,
    /// The faults that never happened, because the rehearsal ended before them.
    pub never: Vec<String>,
    /// The part of each cutover.
    pub reels: Vec<Reel>,
    /// Number of calls of each AWS operation.
    pub calls: BTreeMap<String, u64>,
}

/// An alarm's measurement in the simulated world, and its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "measures")]
pub enum Meaning {
    /// The failed requests of one side, as a part of all its requests (0 to 1).
    Errors {
        /// The alarm is red above this part (0 to 1).
        above: f64,
        /// True if it measures the old side, false for the new side.
        old_side: bool,
    },
    /// The 99th percentile of the response times of one side.
    Latency {
        /// The alarm is red above this, in milliseconds.
        above_ms: f64,
        /// True if it measures the old side, false for the new side.
        old_side: bool,
    },
}

/// A fault in the simulated world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The fault as the scenario writes it, for example `new errors 20%`.
    pub what: String,
    /// When the fault begins.
    pub from: Timestamp,
    /// When the fault ends; `None` if it lasts.
    pub until: Option<Timestamp>,
}

/// One cutover's part of a rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Reel {
    /// Name of the cutover.
    pub name: CutoverName,
    /// The plan of the cutover.
    pub plan: Plan,
    /// The entries of its stream, in order.
    pub entries: Vec<Envelope>,
    /// The phase at the end of the rehearsal.
    pub phase: Phase,
    /// When that phase began.
    pub phase_since: Timestamp,
    /// The state of the world at regular times, oldest first.
    pub frames: Vec<Frame>,
    /// The minutes around the revert, one frame each; empty if nothing reverted.
    pub near: Vec<Frame>,
    /// The numbers of requests over the whole rehearsal.
    pub tally: Tally,
    /// When the stages of the revert were reached; `None` if nothing reverted.
    pub reaction: Option<Reaction>,
}

/// The world around one cutover at one time. Rates are averages since the frame before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frame {
    /// The time of this frame.
    pub at: Timestamp,
    /// Requests per minute to both sides together.
    pub requests: f64,
    /// The new side's share by the weights in Route 53 (0 to 1).
    pub intended: f64,
    /// The new side's share of the requests (0 to 1).
    pub observed: f64,
    /// The state of the new cluster.
    pub new: Side,
    /// The state of the old cluster.
    pub old: Side,
    /// The alarms of the plan that are in ALARM.
    pub red: BTreeSet<AlarmId>,
}

/// The state of one cluster at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Side {
    /// Failed requests, as a part of all its requests (0 to 1).
    pub errors: f64,
    /// The 99th percentile of response times, in milliseconds.
    pub p99_ms: f64,
}

/// Numbers of requests in a whole rehearsal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tally {
    /// All requests.
    pub requests: f64,
    /// Requests that failed.
    pub failed: f64,
    /// Requests that failed because of the cutover: they would not have failed with the weights untouched.
    pub failed_by_cutover: f64,
    /// Requests that would have failed because of the cutover if it had not reverted.
    pub failed_without_revert: f64,
}

/// When each stage between a fault and the drained traffic was reached; `None` for a stage that was not reached or is
/// not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// When the fault began.
    pub fault_at: Option<Timestamp>,
    /// When the first bad datapoint was available.
    pub metric_at: Option<Timestamp>,
    /// When the alarm turned red.
    pub alarm_at: Option<Timestamp>,
    /// When the controller decided to revert.
    pub decided_at: Option<Timestamp>,
    /// When Route 53 accepted the change.
    pub written_at: Option<Timestamp>,
    /// When the change was on all of Route 53's servers.
    pub in_sync_at: Option<Timestamp>,
    /// When fewer than one request in a thousand still went to the new side.
    pub drained_at: Option<Timestamp>,
}
