//! Counts that do not fit into a window of minutes: the requests of a step, and the comparison of a whole attempt.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::Unit;
use super::number::Number;
use super::plan::{Counted, Measures};
use super::reading::ceil;
use super::sequential::Evidence;

/// The counts up to a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The end of the counted minutes. All minutes before it are counted.
    pub until: Timestamp,
    /// The number of the new side's requests since the step's bake began.
    #[serde(default)]
    pub new_requests: u64,
    /// The number of the old side's requests since the step's bake began.
    #[serde(default)]
    pub old_requests: u64,
    /// The comparison of both sides in this attempt so far. `None` if the plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Evidence>,
    /// The last values of each metric with a bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Latest>,
}

/// The last values of one metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// The name of the metric gate.
    pub name: String,
    /// The unit of both values.
    #[serde(default)]
    pub unit: Unit,
    /// The new side's value. `None` if there was no datapoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Number>,
    /// The old side's value. `None` if there was no datapoint or the old side is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Number>,
}

/// The facts about metric gates that the journal has for one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricFacts {
    /// The counts that were journaled last. `None` if none were.
    pub tally: Option<Tally>,
    /// The first minute whose requests count for the current step, right after its bake began. `None` while no bake has
    /// begun.
    pub step_from: Option<Timestamp>,
    /// The values of the metrics when the current step was taken.
    pub before: Vec<Latest>,
    /// The time before which violations no longer count, because a person continued the cutover after a halt. `None` if
    /// there was no such halt.
    pub violations_from: Option<Timestamp>,
}

impl MetricFacts {
    /// Records that a step is about to be taken. The last journaled values become those before the step.
    pub fn step_taken(&mut self) {
        if let Some(tally) = &self.tally {
            self.before.clone_from(&tally.readings);
        }
    }

    /// Records that a step's weights were read back. Its bake has not begun.
    pub fn step_verified(&mut self) {
        self.step_from = None;
    }

    /// Records that a step's bake has begun at `at`. The requests of the step are counted from zero.
    pub fn bake_started(&mut self, at: Timestamp) {
        self.step_from = Some(ceil(at, 1));
        if let Some(tally) = &mut self.tally {
            (tally.new_requests, tally.old_requests) = (0, 0);
        }
    }

    /// Removes the comparison if an amended plan compares something else, because the old evidence proves nothing about
    /// that.
    pub fn amended(&mut self, measures: &Measures, before: &Measures) {
        if compared(measures) != compared(before)
            && let Some(tally) = &mut self.tally
        {
            tally.run = None;
        }
    }
}

/// Returns the series of both sides and the allowed ratio of the comparison. `None` if the plan has none.
fn compared(measures: &Measures) -> Option<(&Counted, &Counted, f64)> {
    let gate = measures.regression.as_ref()?;
    Some((&gate.new, &gate.old, gate.test.at_most()))
}
