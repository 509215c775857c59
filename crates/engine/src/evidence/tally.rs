//! The counts that do not fit into a window: the requests of a step, and the comparison of a whole run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::Unit;
use super::number::Number;
use super::plan::{Counted, Measures};
use super::reading::ceil;
use super::sequential::Evidence;

/// The counts up to a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All minutes before this one are counted.
    pub until: Timestamp,
    /// The new side's requests since the step's bake began.
    #[serde(default)]
    pub new_requests: u64,
    /// The old side's.
    #[serde(default)]
    pub old_requests: u64,
    /// The comparison of the run so far; `None` if the plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Evidence>,
    /// The last values of the metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Latest>,
}

/// The last values of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latest {
    /// The metric gate.
    pub name: String,
    /// The unit of the values.
    #[serde(default)]
    pub unit: Unit,
    /// The new side; `None` if there was no datapoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Number>,
    /// The old side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Number>,
}

/// The facts about metrics that the journal keeps for one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricFacts {
    /// The tally that was journaled last.
    pub tally: Option<Tally>,
    /// The minute from which the current step's requests count: its bake has begun.
    pub step_from: Option<Timestamp>,
    /// The values of the metrics when the current step was taken.
    pub before: Vec<Latest>,
    /// Violations that ended before this were answered: a person let the cutover go on after a halt.
    pub violations_from: Option<Timestamp>,
}

impl MetricFacts {
    /// Notes that a step is about to be taken: the values now are those before it.
    pub fn step_taken(&mut self) {
        if let Some(tally) = &self.tally {
            self.before.clone_from(&tally.readings);
        }
    }

    /// Notes that a step's weights were read back; its bake has not begun.
    pub fn step_verified(&mut self) {
        self.step_from = None;
    }

    /// Notes that a step's bake has begun.
    pub fn bake_started(&mut self, at: Timestamp) {
        self.step_from = Some(ceil(at, 1));
        if let Some(tally) = &mut self.tally {
            (tally.new_requests, tally.old_requests) = (0, 0);
        }
    }

    /// Discards the comparison if the amended plan compares something else: the old evidence proves nothing for it.
    pub fn amended(&mut self, measures: &Measures, before: &Measures) {
        if compared(measures) != compared(before)
            && let Some(tally) = &mut self.tally
        {
            tally.run = None;
        }
    }
}

/// The series and the ratio of the comparison.
fn compared(measures: &Measures) -> Option<(&Counted, &Counted, f64)> {
    let gate = measures.regression.as_ref()?;
    Some((&gate.new, &gate.old, gate.test.at_most()))
}
