//! What a rehearsal recorded: the journal's entries, and how the simulated world was at regular moments between them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::event::Envelope;
use crate::engine::plan::Plan;
use crate::engine::state::Phase;
use crate::engine::units::{AlarmId, CutoverName};

/// One rehearsal, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Film {
    /// What chance was drawn from; the same seed makes the same film.
    pub seed: u64,
    /// When it began.
    pub start: Timestamp,
    /// When it ended: everything had come to an end, or it was cut off.
    pub end: Timestamp,
    /// What was taken for granted about each alarm.
    pub assumed: BTreeMap<AlarmId, Meaning>,
    /// What went wrong in the world, as the scenario asked for it.
    pub faults: Vec<Trouble>,
    /// Faults that never happened: their moments did not come before the end.
    pub never: Vec<String>,
    /// Each cutover's part.
    pub reels: Vec<Reel>,
    /// How often each operation of AWS was called.
    pub calls: BTreeMap<String, u64>,
}

/// What an alarm measures in the simulated world.
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

/// Something that goes wrong in the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// As the scenario says it, for example `new errors 20%`.
    pub what: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; none if it stays.
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
    /// Where it ended.
    pub phase: Phase,
    /// Since when it is there.
    pub phase_since: Timestamp,
    /// The world at regular moments, oldest first.
    pub frames: Vec<Frame>,
    /// The minutes around the revert, each for itself; empty where nothing went back.
    pub near: Vec<Frame>,
    /// Requests, counted.
    pub tally: Tally,
    /// From a fault to the traffic being back, where there was a revert.
    pub reaction: Option<Reaction>,
}

/// The world around one cutover at one moment; averages over the time since the frame before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Frame {
    /// When.
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
    /// Those that failed and would not have, had the weights never been touched.
    pub failed_by_cutover: f64,
    /// Those that would have failed beyond what fails anyway, had nobody taken the traffic back.
    pub failed_without_revert: f64,
}

/// From a fault to the traffic being back: each moment, where it was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// The fault began.
    pub fault_at: Option<Timestamp>,
    /// The first bad datapoint was there to be seen.
    pub metric_at: Option<Timestamp>,
    /// The alarm turned red.
    pub alarm_at: Option<Timestamp>,
    /// The controller decided to take the traffic back.
    pub decided_at: Option<Timestamp>,
    /// Route 53 accepted the change.
    pub written_at: Option<Timestamp>,
    /// It was on all of Route 53's servers.
    pub in_sync_at: Option<Timestamp>,
    /// Fewer than one request in a thousand still went to the new side.
    pub drained_at: Option<Timestamp>,
}
