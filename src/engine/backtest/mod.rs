//! Had this plan run then: the plan is started at every hour of a recorded past, and judged as it would be today.
//!
//! There is no second judge. Each start is decided by [`crate::engine::decide`] and folded like any cutover; only Route 53 is
//! replaced, by one in which every write works, and the alarms are read from the `record`. So what reverts here would have
//! reverted there: red alarms, flaps between two looks, gates that were unknown for too long, windows that were shut.
//!
//! What a record cannot say is what the new side would have done under traffic that it did not have. A backtest answers how
//! often a plan cries wolf, not whether it would have caught the wolf; for that there is the rehearsal.

mod gates;
mod record;
mod replay;

use jiff::SignedDuration;
use jiff::Timestamp;

pub use gates::FLAP_WITHIN;
pub use gates::GatePast;
pub use gates::Sight;
pub use record::AlarmRecord;
pub use record::Change;
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

use crate::engine::evidence::gate::GateId;
use crate::engine::hold::RevertCause;
use crate::engine::plan::PlanSource;

/// What became of a plan in the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backtest {
    /// The plan, as it was written.
    pub source: PlanSource,
    /// The record begins here.
    pub since: Timestamp,
    /// The record ends here.
    pub until: Timestamp,
    /// How far the starts are apart.
    pub every: SignedDuration,
    /// Each gate and fallback alarm.
    pub gates: Vec<GatePast>,
    /// Each start, oldest first; none if no gate could be judged.
    pub runs: Vec<Run>,
}

/// How often a week would have been reverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    /// Starts with a week of record after them.
    pub starts: usize,
    /// Those that were taken back within it.
    pub reverted: usize,
}

/// How the starts ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// They went through.
    pub completed: usize,
    /// They were taken back.
    pub reverted: usize,
    /// They were halted.
    pub halted: usize,
    /// They were still under way when the record ended.
    pub cut: usize,
}

/// A week.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A backtest that is about to be run: its starts are independent of each other, and may be replayed side by side.
#[derive(Debug, Clone)]
pub struct Prepared<'a> {
    record: &'a Record,
    source: &'a PlanSource,
    every: SignedDuration,
    gates: Vec<GatePast>,
    seen: PlanSource,
}

impl<'a> Prepared<'a> {
    /// Looks at what can be seen of the gates. Those that were never seen take no part.
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

    /// The starts: the beginning of the record, and again and again, as long as it goes on. None where no gate takes part.
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

    /// Puts the replays together, in whatever order they come.
    pub fn gather(mut self, mut runs: Vec<Run>) -> Backtest {
        runs.sort_by_key(|run| run.start);
        for gate in &mut self.gates {
            let took = |run: &&Run| run.reverted_by().as_ref() == Some(&gate.id);
            gate.reverted = runs.iter().filter(took).count();
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

/// Replays all starts, one after the other.
pub fn backtest(source: &PlanSource, record: &Record, every: SignedDuration) -> Backtest {
    let prepared = Prepared::new(source, record, every);
    let starts = prepared.starts().into_iter();
    let runs = starts.map(|start| prepared.replay(start)).collect();
    prepared.gather(runs)
}

impl Run {
    /// The gate that took it back, if one did.
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

    /// How long it took, if it went through.
    pub fn took(&self) -> Option<SignedDuration> {
        match &self.end {
            End::Completed { at } => Some(at.duration_since(self.start)),
            End::Reverted { .. } | End::Halted { .. } | End::Cut { .. } => None,
        }
    }
}

impl Backtest {
    /// How the starts ended.
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

    /// How often a week was taken back; none where the record has no start with a week after it.
    pub fn week(&self) -> Option<Week> {
        let within = |run: &&Run| self.until.duration_since(run.start) >= WEEK;
        let reverted = |run: &&Run| match run.end {
            End::Reverted { at, .. } => at.duration_since(run.start) <= WEEK,
            End::Completed { .. } | End::Halted { .. } | End::Cut { .. } => false,
        };
        let starts = self.runs.iter().filter(within).count();
        let reverted = self.runs.iter().filter(within).filter(reverted).count();
        (starts > 0).then_some(Week { starts, reverted })
    }

    /// How long the starts took that went through, shortest first.
    pub fn took(&self) -> Vec<SignedDuration> {
        let mut took: Vec<SignedDuration> = self.runs.iter().filter_map(Run::took).collect();
        took.sort_unstable();
        took
    }
}
