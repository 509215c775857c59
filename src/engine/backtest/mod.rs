//! Had this plan run then: the plan is started at every hour of a recorded past, and judged as it would be today.
//!
//! There is no second judge. Each start is decided by [`crate::engine::decide`] and folded like any cutover; only Route 53 is
//! replaced, by one in which every write works, and the alarms are read from the [`record`]. So what reverts here would have
//! reverted there: red alarms, flaps between two looks, gates that were unknown for too long, windows that were shut.
//!
//! What a record cannot say is what the new side would have done under traffic that it did not have. A backtest answers how
//! often a plan cries wolf, not whether it would have caught the wolf; for that there is the rehearsal.

mod record;
mod replay;

use jiff::SignedDuration;
use jiff::Timestamp;

pub use record::AlarmRecord;
pub use record::Change;
pub use record::Past;
pub use record::RECORD_VERSION;
pub use record::Record;
pub use record::RecordError;
pub use record::Stretch;
pub use replay::End;
pub use replay::Run;
pub use replay::replay;

use crate::engine::hold::RevertCause;
use crate::engine::observation::AlarmState;
use crate::engine::plan::AlarmGate;
use crate::engine::plan::Plan;
use crate::engine::plan::PlanSource;
use crate::engine::units::AlarmId;

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

/// One gate in the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePast {
    /// Which alarm.
    pub id: AlarmId,
    /// Whether it is a fallback alarm.
    pub fallback: bool,
    /// What could be seen of it.
    pub sight: Sight,
    /// Its states, without gaps.
    pub stretches: Vec<Stretch>,
    /// How many of the starts it took back.
    pub reverted: usize,
}

/// What could be seen of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It had data.
    Seen,
    /// It was in INSUFFICIENT_DATA all the time.
    NeverData,
    /// `CloudWatch` does not know it.
    Missing,
    /// It could not be read.
    Unreadable(String),
    /// The record has nothing of it.
    NotRecorded,
}

impl Sight {
    /// Whether the gate takes part: what was never seen would hold every start for ever and hide all others.
    pub fn takes_part(&self) -> bool {
        *self == Self::Seen
    }
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

/// A red alarm that is over so soon is a flap: no person would have seen it.
pub const FLAP_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// A week.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Starts a plan at the beginning of the record and again and again after `every`, as long as the record goes on.
/// Gates that were never seen are left out; if none is left, nothing is started.
pub fn backtest(source: &PlanSource, record: &Record, every: SignedDuration) -> Backtest {
    let mut gates = gates(&source.plan, record);
    let seen = seen_part(source, &gates);
    let mut runs = Vec::new();
    if seen.plan.alarms().next().is_some() && every.is_positive() {
        let mut start = record.since;
        while start < record.until {
            runs.push(replay(&seen, record, start));
            start += every;
        }
    }
    for gate in &mut gates {
        let took = |run: &&Run| run.reverted_by() == Some(&gate.id);
        gate.reverted = runs.iter().filter(took).count();
    }
    Backtest {
        source: source.clone(),
        since: record.since,
        until: record.until,
        every,
        gates,
        runs,
    }
}

fn gates(plan: &Plan, record: &Record) -> Vec<GatePast> {
    let gates = plan.gates.alarms.iter().map(|gate| (gate, false));
    let fallbacks = plan.gates.fallback_alarms.iter().map(|gate| (gate, true));
    let gate = |(gate, fallback): (&AlarmGate, bool)| {
        let past = record.past(&plan.aws.account, &gate.id);
        let stretches =
            past.map_or_else(Vec::new, |past| past.stretches(record.since, record.until));
        let blind = |stretch: &Stretch| stretch.state == AlarmState::InsufficientData;
        GatePast {
            id: gate.id.clone(),
            fallback,
            sight: match past {
                None => Sight::NotRecorded,
                Some(Past::Missing) => Sight::Missing,
                Some(Past::Unreadable(message)) => Sight::Unreadable(message.clone()),
                Some(Past::Known { .. }) if stretches.iter().all(blind) => Sight::NeverData,
                Some(Past::Known { .. }) => Sight::Seen,
            },
            stretches,
            reverted: 0,
        }
    };
    gates.chain(fallbacks).map(gate).collect()
}

/// The plan without the gates that were never seen, and without what it comes after.
fn seen_part(source: &PlanSource, gates: &[GatePast]) -> PlanSource {
    let mut seen = source.clone();
    let takes_part = |alarm: &AlarmGate| {
        let mut gates = gates.iter();
        gates.any(|gate| gate.id == alarm.id && gate.sight.takes_part())
    };
    seen.plan.gates.alarms.retain(takes_part);
    seen.plan.gates.fallback_alarms.retain(takes_part);
    seen.plan.after.clear();
    seen
}

impl Run {
    /// The gate that took it back, if one did.
    pub fn reverted_by(&self) -> Option<&AlarmId> {
        let End::Reverted { cause, .. } = &self.end else {
            return None;
        };
        match cause {
            RevertCause::AlarmRed { alarm }
            | RevertCause::AlarmFlapped { alarm, .. }
            | RevertCause::UnknownTooLong { alarm, .. } => Some(alarm),
            RevertCause::StepFailed { .. }
            | RevertCause::ApprovalTimeout { .. }
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

impl GatePast {
    /// Its visits to ALARM.
    pub fn visits(&self) -> impl Iterator<Item = &Stretch> {
        let stretches = self.stretches.iter();
        stretches.filter(|stretch| stretch.state == AlarmState::Alarm)
    }

    /// How many of them were over within [`FLAP_WITHIN`].
    pub fn flaps(&self) -> usize {
        let short = |visit: &&Stretch| visit.length() <= FLAP_WITHIN;
        self.visits().filter(short).count()
    }

    /// How long it was in a state.
    pub fn time_in(&self, state: AlarmState) -> SignedDuration {
        let stretches = self.stretches.iter();
        let there = stretches.filter(|stretch| stretch.state == state);
        there.fold(SignedDuration::ZERO, |sum, stretch| {
            sum.saturating_add(stretch.length())
        })
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
