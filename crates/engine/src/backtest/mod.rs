//! Backtests: a plan is started at every hour of a recorded past, and judged as a controller would judge it today.
//!
//! There is no second judge. Each start is decided by [`crate::decide`] and folded like any cutover. Only Route 53 is
//! replaced, by one in which every write works, and the alarms are read from the `record`. So a start that reverts here
//! would have reverted then: because of red alarms, alarms that were red between two readings, gates that were Unknown
//! for too long, or shut windows.
//!
//! A record does not show how the new side would have behaved under traffic that it did not have. So a backtest shows
//! how often a plan gives a false alarm, and not if it would have caught a real one. For that there is the rehearsal.

mod gates;
mod record;
mod replay;

use jiff::{SignedDuration, Timestamp};

pub use gates::FLAP_WITHIN;
pub use gates::GatePast;
pub use gates::Sight;
pub use record::AlarmChange;
pub use record::AlarmRecord;
pub use record::Past;
pub use record::RECORD_VERSION;
pub use record::Record;
pub use record::RecordError;
pub use record::SeriesPast;
pub use record::SeriesRecord;
pub use record::Stretch;
pub use replay::End;
pub use replay::Run;
pub use replay::queries;
pub use replay::replay;

use crate::evidence::gate::GateId;
use crate::hold::RevertCause;
use crate::plan::PlanSource;

/// The result of a backtest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backtest {
    /// The plan, with the text and path of its file.
    pub source: PlanSource,
    /// The beginning of the record.
    pub since: Timestamp,
    /// The end of the record.
    pub until: Timestamp,
    /// The time between two starts.
    pub every: SignedDuration,
    /// Every gate and fallback alarm, with its past.
    pub gates: Vec<GatePast>,
    /// Every start, oldest first. Empty if no gate could be judged.
    pub runs: Vec<Run>,
}

/// How many starts would have been reverted within a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    /// The number of starts after which the record goes on for a week.
    pub starts: usize,
    /// The number of these starts that reverted within that week.
    pub reverted: usize,
}

/// The numbers of starts by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// The number of starts that completed.
    pub completed: usize,
    /// The number of starts that reverted.
    pub reverted: usize,
    /// The number of starts that halted.
    pub halted: usize,
    /// The number of starts that were still under way when the record ended.
    pub cut: usize,
}

/// The length of a week.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A backtest that is ready to run. Its starts are independent of each other, and may be replayed in parallel.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    record: &'a Record,
    source: &'a PlanSource,
    every: SignedDuration,
    gates: Vec<GatePast>,
    seen: PlanSource,
}

impl<'a> Prepared<'a> {
    /// Prepares a backtest with a start `every` so often. Gates without data in the record take no part.
    pub fn new(source: &'a PlanSource, record: &'a Record, every: SignedDuration) -> Self {
        let gates = gates::of(source, record);
        Self {
            record,
            source,
            every,
            seen: gates::seen_part(source, &gates),
            gates,
        }
    }

    /// Returns the times of the starts: from the beginning of the record to its end, `every` apart. Empty if no gate
    /// takes part.
    pub fn starts(&self) -> Vec<Timestamp> {
        let mut starts = Vec::new();
        let judged = self.gates.iter().any(|gate| gate.sight.takes_part());
        let mut start = self.record.since;
        while judged && self.every.is_positive() && start < self.record.until {
            starts.push(start);
            let Ok(next) = start.checked_add(self.every) else {
                break;
            };
            start = next;
        }
        starts
    }

    /// Replays one start.
    pub fn replay(&self, start: Timestamp) -> Run {
        replay(&self.seen, self.record, start)
    }

    /// Combines the replays, in any order, into the result.
    pub fn gather(mut self, mut runs: Vec<Run>) -> Backtest {
        runs.sort_by_key(|run| run.start);
        for gate in &mut self.gates {
            for run in &runs {
                if run.reverted_by().as_ref() == Some(&gate.id) {
                    gate.reverted += 1;
                }
            }
        }
        Backtest {
            source: self.source.clone(),
            since: self.record.since,
            until: self.record.until,
            every: self.every,
            gates: self.gates,
            runs,
        }
    }
}

impl Run {
    /// Returns the gate that reverted this start. `None` if it did not revert, or not because of a gate.
    pub fn reverted_by(&self) -> Option<GateId> {
        let End::Reverted { cause, .. } = &self.end else {
            return None;
        };
        match cause {
            RevertCause::AlarmRed { alarm } | RevertCause::AlarmFlapped { alarm, .. } => {
                Some(GateId::from(alarm))
            }
            RevertCause::UnknownTooLong { alarm: gate, .. }
            | RevertCause::MeasureBeyond { gate, .. }
            | RevertCause::Worse { gate, .. } => Some(gate.clone()),
            RevertCause::StepFailed { .. }
            | RevertCause::ApprovalTimeout { .. }
            | RevertCause::HookFailed { .. }
            | RevertCause::Operator { .. }
            | RevertCause::LateWrite {} => None,
        }
    }

    /// Returns the time from the start to the completion. `None` if it did not complete.
    pub fn took(&self) -> Option<SignedDuration> {
        match &self.end {
            End::Completed { at } => Some(at.duration_since(self.start)),
            End::Reverted { .. } | End::Halted { .. } | End::Cut { .. } => None,
        }
    }
}

impl Backtest {
    /// Returns the numbers of starts by how they ended.
    pub fn ends(&self) -> Ends {
        let mut ends = Ends::default();
        for run in &self.runs {
            match run.end {
                End::Completed { .. } => ends.completed += 1,
                End::Reverted { .. } => ends.reverted += 1,
                End::Halted { .. } => ends.halted += 1,
                End::Cut { .. } => ends.cut += 1,
            }
        }
        ends
    }

    /// Returns how many starts reverted within a week. `None` if the record goes on for a week after no start.
    pub fn week(&self) -> Option<Week> {
        let (mut starts, mut reverted) = (0, 0);
        for run in &self.runs {
            if self.until.duration_since(run.start) < WEEK {
                continue;
            }
            starts += 1;
            if let End::Reverted { at, .. } = run.end
                && at.duration_since(run.start) <= WEEK
            {
                reverted += 1;
            }
        }
        if starts == 0 {
            return None;
        }
        Some(Week { starts, reverted })
    }

    /// Returns the time from start to completion of each start that completed, shortest first.
    pub fn took(&self) -> Vec<SignedDuration> {
        let mut took: Vec<SignedDuration> = self.runs.iter().filter_map(Run::took).collect();
        took.sort_unstable();
        took
    }
}
