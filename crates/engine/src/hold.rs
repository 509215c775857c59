//! Holds: the reasons why no step is taken, with their numbers. The wording is in `report`.

mod ends;
mod subject;

pub use ends::{HaltReason, RevertCause};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::drifted::{Adoption, Astray};
use super::evidence::gate::{Beyond, GateId, Unit};
use super::evidence::number::Number;
use super::hooks::HookId;
use super::jobs::JobSide;
use super::record::GroupName;
use super::state::phase::Phase;
use super::strays::Stray;
use super::units::{AlarmId, ChangeId, CutoverName, Share, ZoneId};
use super::window::Zone;

/// A reason why a cutover does not move now. The same value goes to the terminal, JSON and the journal.
///
/// `kind` in JSON is the variant in snake case.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantNames,
)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HoldReason {
    /// An entry of its stream cannot be read or cannot follow: no step and no automatic revert is made.
    JournalDamaged {
        /// The first entry that cannot be used.
        entry: u64,
        /// Why it cannot be used.
        message: String,
    },
    /// A revert cannot be finished yet.
    RevertBlocked {
        /// The obstacle.
        message: String,
    },
    /// Halted: a person must act.
    Halted {
        /// The reason of the halt.
        reason: HaltReason,
    },
    /// The weights are back, but members that the baseline did not have get a part of the traffic.
    OthersHoldWeight {
        /// The members, with their weights.
        members: Vec<Stray>,
    },
    /// The jobs have run on neither side for longer than a switch takes.
    JobsBothOff {
        /// The side that is to be on.
        to: JobSide,
        /// The time since which both are off.
        since: Timestamp,
    },
    /// Somebody else switched these jobs.
    JobsDrift {
        /// The jobs, by name.
        jobs: Vec<String>,
        /// Those of them that are on at both sides.
        both_on: Vec<String>,
    },
    /// The jobs cannot be read or switched.
    JobsStuck {
        /// The job, by name.
        job: String,
        /// The side.
        side: JobSide,
        /// The message of the failure.
        message: String,
    },
    /// A job cannot be read, so that nobody knows where it runs.
    JobsUnread {
        /// The job, by name.
        job: String,
        /// The side.
        side: JobSide,
        /// The message of the failure.
        message: String,
        /// The time at which it began.
        since: Timestamp,
        /// True if that is longer than the plan allows.
        overdue: bool,
    },
    /// All tries of a hook failed.
    HookFailed {
        /// The hook.
        hook: HookId,
        /// The number of tries.
        tries: u32,
        /// The message of the failure.
        message: String,
    },
    /// AWS denies a call that the cutover needs.
    Denied {
        /// The action, for example `route53:GetChange`.
        action: String,
        /// Its purpose.
        needed_for: String,
        /// The message of the failure.
        message: String,
    },
    /// Somebody else changed these groups.
    Drift {
        /// The groups.
        groups: Vec<GroupName>,
        /// For each, the weights that were expected and the records that were found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Astray>,
        /// The effect of `adopt-drift` now.
        #[serde(default, skip_serializing_if = "Adoption::is_refused")]
        adoption: Adoption,
    },
    /// Somebody put the weights back to the baseline.
    AlreadyAtBaseline {},
    /// An alarm is red: before the start, or while drift halts the cutover and only people decide.
    AlarmRed {
        /// The alarm.
        alarm: GateId,
        /// True if the cutover has started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        started: bool,
    },
    /// A metric is beyond its bound: before the start, or while drift halts the cutover and only people decide.
    MeasureRed {
        /// The gate.
        gate: GateId,
        /// The datapoints beyond the bound.
        beyond: Beyond,
        /// True if the cutover has started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        started: bool,
    },
    /// The observed share of the traffic differs from the weights.
    TrafficElsewhere {
        /// The new side's share by the weights.
        intended: Share,
        /// The new side's share of the requests in the last hour, in percent.
        observed: Number,
        /// The allowed difference, in percent of the intended share.
        within: Number,
        /// The new side's requests in that time.
        new_requests: u64,
        /// The old side's.
        old_requests: u64,
    },
    /// A metric of the new side rises steadily towards its limit.
    Climbing {
        /// The gate.
        gate: GateId,
        /// The present value.
        value: Number,
        /// The rise in an hour.
        per_hour: Number,
        /// The limit.
        limit: Number,
        /// The unit of the values.
        unit: Unit,
        /// The time at which it reaches the limit at this rate.
        reaches_at: Timestamp,
    },
    /// A fallback alarm is red: the old cluster may not be able to take the traffic back.
    FallbackRed {
        /// The alarm.
        alarm: AlarmId,
    },
    /// A fallback alarm cannot be judged.
    FallbackUnknown {
        /// The alarm.
        alarm: AlarmId,
        /// The reason.
        message: String,
    },
    /// CloudWatch does not know the alarm.
    AlarmMissing {
        /// The alarm.
        alarm: GateId,
        /// True if it is a fallback alarm.
        fallback: bool,
        /// The time at which it began; none before the first write.
        since: Option<Timestamp>,
    },
    /// The alarm has too little data to judge.
    NoData {
        /// The gate.
        alarm: GateId,
        /// The time at which it began.
        since: Option<Timestamp>,
    },
    /// The gate cannot be judged for another reason.
    Unknown {
        /// The gate.
        alarm: GateId,
        /// The reason.
        message: String,
        /// The time at which it began; none before the first write.
        since: Option<Timestamp>,
    },
    /// A gate has been Unknown for longer than the plan allows.
    UnknownTooLong {
        /// The gate.
        alarm: GateId,
        /// The time at which it began.
        since: Timestamp,
    },
    /// Datapoints of a metric are beyond its bound, but too few for the gate to fail: the next step waits.
    MeasureNear {
        /// The gate.
        gate: GateId,
        /// The worst datapoint, and the number of datapoints beyond the bound.
        beyond: Box<Beyond>,
        /// The number of datapoints that make the gate fail.
        needed: u32,
        /// The length of a datapoint, in minutes.
        every_mins: u16,
    },
    /// The new side had too few requests for a gate to judge.
    TooFewRequests {
        /// The gate.
        gate: GateId,
        /// The number of requests.
        requests: u64,
        /// The number that is needed; none if it is not known.
        needed: Option<u64>,
        /// The minutes within which they are needed; none: in the step, or in the whole cutover, as the gate counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over_mins: Option<u32>,
        /// The approximate time at which the gate can judge at the present rate; none if it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judged_at: Option<Timestamp>,
    },
    /// The old side no longer has requests, and too few were compared while it had: the gate can no longer tell if the new
    /// side is worse.
    NeverCompared {
        /// The gate.
        gate: GateId,
        /// The number of requests of the new side that were compared.
        requests: u64,
    },
    /// Route 53 cannot be read.
    Route53Unreadable {
        /// The group.
        group: GroupName,
        /// Its message.
        message: String,
    },
    /// The start is refused.
    Preflight {
        /// The group, if it is about one.
        group: Option<GroupName>,
        /// The reason and the remedy.
        message: String,
    },
    /// A plan file has the name of a cutover that has ended, but holds another plan.
    NameUsed {
        /// The file.
        path: String,
        /// The final phase of that cutover.
        phase: Phase,
        /// True if `retry` is refused for now, because a write of that cutover may still land.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unresolved: bool,
    },
    /// Another unfinished cutover moves this group.
    Claimed {
        /// The group.
        group: GroupName,
        /// The other cutover.
        by: CutoverName,
    },
    /// Our clock and AWS's differ, or ours went back.
    Clock {
        /// The difference.
        message: String,
    },
    /// The plan file differs from the journal's plan.
    PlanChanged {
        /// The file.
        path: String,
        /// True if its records are not those of the baseline. No cutover can change its records.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        records: bool,
        /// Why `amend` refuses it, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The plan file is gone or cannot be read.
    PlanUnreadable {
        /// The file.
        path: String,
        /// The reason.
        message: String,
        /// True if the file no longer exists.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gone: bool,
    },
    /// The journal cannot be written.
    JournalDown {
        /// The reason.
        message: String,
    },
    /// The break-glass files cannot be written.
    BreakGlass {
        /// The reason.
        message: String,
    },
    /// The fleet's own entries cannot be used; reverts and rollbacks still work.
    FleetUnreadable {
        /// The reason.
        message: String,
    },
    /// The automatic reverts have used up the failure budget.
    BudgetSpent {
        /// The number of automatic reverts.
        spent: usize,
        /// The number that the budget allows.
        budget: u32,
        /// The time at which a person last resumed the fleet; none if never.
        since: Option<Timestamp>,
        /// The first of the reverted cutovers, by name.
        reverted: Vec<CutoverName>,
        /// True if the reverts probably have one cause.
        one_cause: bool,
    },
    /// Gates of several services failed within minutes.
    SharedFate {
        /// The number of services.
        services: usize,
        /// The first of them, by name.
        named: Vec<CutoverName>,
        /// The time at which the first one failed.
        since: Timestamp,
    },
    /// A person froze the fleet.
    Frozen {
        /// The end; none until somebody unfreezes.
        until: Option<Timestamp>,
        /// The reason given.
        reason: String,
    },
    /// Another cutover must complete first.
    Dependency {
        /// The other one.
        on: CutoverName,
        /// Its phase; none if the journal does not have it.
        phase: Option<Phase>,
        /// The step that it last took.
        step: u16,
        /// The number of its steps.
        steps: u16,
        /// True if its stream is damaged, so that its real state is not known.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        damaged: bool,
    },
    /// The most allowed cutovers are under way.
    FleetFull {
        /// The number of cutovers under way.
        in_flight: usize,
        /// The most that may be.
        max: u32,
    },
    /// A person paused the cutover.
    Paused {
        /// The reason given.
        reason: Option<String>,
    },
    /// A step waits for approval.
    Approval {
        /// The step.
        step: u16,
    },
    /// A step has waited for its approval for longer than the plan allows.
    ApprovalOverdue {
        /// The step.
        step: u16,
        /// When the wait started.
        since: Timestamp,
    },
    /// The plan's window is shut, or would shut before the bake is over.
    WindowShut {
        /// The step.
        step: u16,
        /// The time at which the step can be taken; none if never.
        opens_at: Option<Timestamp>,
        /// The plan's time zone.
        time_zone: Zone,
        /// True if the window must stay open until the bake is over.
        whole_bake: bool,
    },
    /// The jobs have not been read yet.
    JobsUnseen {},
    /// Jobs fire about now; the switch waits.
    JobsFiring {
        /// The end of the wait.
        until: Timestamp,
        /// The time since which the switch waits for a gap; none once it has begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// Jobs that still run on the side that was left must end first.
    JobsRunning {
        /// The side.
        side: JobSide,
        /// The number of runs under way.
        running: u32,
        /// The names of their jobs; empty in old entries.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        jobs: Vec<String>,
        /// When the wait started.
        since: Timestamp,
        /// True if that is longer than the plan allows.
        overdue: bool,
    },
    /// The jobs move.
    JobsMoving {
        /// The side that is to be on.
        to: JobSide,
        /// The time since which both sides are off, if they are.
        off_since: Option<Timestamp>,
    },
    /// A hook is being called.
    HookRunning {
        /// The hook.
        hook: HookId,
    },
    /// Jobs or hooks are due, but this controller calls none now: its journal is down, or it was told to call nothing.
    CallsWait {},
    /// The weights are being written and read back.
    Shifting {
        /// The step.
        step: u16,
        /// The last failure, if there was one.
        message: Option<String>,
    },
    /// A change has not been in sync for longer than usual.
    InSyncLate {
        /// The change.
        change_id: ChangeId,
        /// Its zone.
        zone: ZoneId,
    },
    /// Resolvers are given time to see the change.
    Settling {
        /// The step.
        step: u16,
        /// The end; none while the change is not in sync.
        until: Option<Timestamp>,
    },
    /// The step is watched.
    Baking {
        /// The step.
        step: u16,
        /// The end, if all gates go on passing; none while the bake clock is stopped.
        until: Option<Timestamp>,
        /// The counted part of the bake, in seconds.
        counted_secs: i64,
    },
    /// The weights are being reverted.
    Reverting {
        /// The number of groups that are back.
        back: usize,
        /// The number of groups.
        groups: usize,
    },
    /// It was reverted, or its start was cancelled. Only ever shown: nothing is held.
    Reverted {
        /// The cause; none if nothing had been written.
        cause: Option<Box<RevertCause>>,
        /// The new side's share before the revert.
        share: Share,
        /// The end of the revert.
        at: Timestamp,
        /// True if `retry` is refused for now, because a write of that cutover may still land.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unresolved: bool,
    },
}

/// The time after its end within which a hold that comes back is the same hold: it does not page again, and is not journaled
/// more often than numbers are. Twice the interval of numbers, so that two controllers that see different things agree.
pub const SAME_HOLD_WITHIN: SignedDuration = SignedDuration::from_secs(20 * 60);

/// How much a hold concerns people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// A person must act.
    Person,
    /// Something is out of the ordinary, and ends by itself.
    News,
    /// The cutover's own pace.
    Pace,
}

impl HoldReason {
    /// Returns true if a person must act before this hold can end, so that it pages. For a spent budget the fleet pages,
    /// once, instead of every cutover that it holds.
    pub fn pages(&self) -> bool {
        match self.concern() {
            Concern::Person => true,
            Concern::News | Concern::Pace => false,
        }
    }

    /// Returns true if the hold is the cutover's own pace, or is told by an event of its own: nothing is wrong.
    pub fn is_usual(&self) -> bool {
        // A halt concerns a person, and has an event of its own.
        matches!(self, Self::Halted { .. }) || self.concern() == Concern::Pace
    }

    /// Returns how much a hold concerns people.
    fn concern(&self) -> Concern {
        match self {
            Self::JournalDamaged { .. }
            | Self::RevertBlocked { .. }
            | Self::Halted { .. }
            | Self::OthersHoldWeight { .. }
            | Self::JobsBothOff { .. }
            | Self::JobsDrift { .. }
            | Self::JobsStuck { .. }
            | Self::JobsUnread { overdue: true, .. }
            | Self::JobsRunning { overdue: true, .. }
            | Self::HookFailed { .. }
            | Self::Denied { .. }
            | Self::Drift { .. }
            | Self::AlreadyAtBaseline {}
            | Self::FallbackRed { .. }
            | Self::UnknownTooLong { .. }
            | Self::Route53Unreadable { .. }
            | Self::Clock { .. }
            | Self::PlanChanged { .. }
            | Self::PlanUnreadable { .. }
            | Self::JournalDown { .. }
            | Self::Preflight { .. }
            | Self::NameUsed { .. }
            | Self::Claimed { .. }
            | Self::BreakGlass { .. }
            | Self::FleetUnreadable { .. }
            | Self::Dependency {
                phase: None | Some(Phase::Abandoned),
                ..
            }
            | Self::Approval { .. }
            | Self::ApprovalOverdue { .. }
            | Self::WindowShut { opens_at: None, .. }
            | Self::AlarmRed { .. }
            | Self::MeasureRed { .. }
            | Self::TrafficElsewhere { .. }
            | Self::Climbing { .. }
            | Self::NeverCompared { .. }
            | Self::AlarmMissing { .. }
            | Self::InSyncLate { .. } => Concern::Person,
            // The person who asked for it knows. A start is cancelled only on request.
            Self::Reverted { cause, .. } => match cause.as_deref() {
                None | Some(RevertCause::Operator { .. }) => Concern::News,
                Some(_) => Concern::Person,
            },
            Self::FallbackUnknown { .. }
            | Self::NoData { .. }
            | Self::Unknown { .. }
            | Self::MeasureNear { .. }
            | Self::TooFewRequests { .. }
            | Self::BudgetSpent { .. }
            | Self::SharedFate { .. }
            | Self::Frozen { .. }
            | Self::Dependency { .. }
            | Self::FleetFull { .. }
            | Self::WindowShut {
                opens_at: Some(_), ..
            }
            | Self::JobsFiring { .. }
            | Self::JobsUnread { overdue: false, .. }
            | Self::JobsRunning { overdue: false, .. } => Concern::News,
            Self::Paused { .. }
            | Self::JobsUnseen {}
            | Self::JobsMoving { .. }
            | Self::HookRunning { .. }
            | Self::CallsWait {}
            | Self::Shifting { .. }
            | Self::Settling { .. }
            | Self::Baking { .. }
            | Self::Reverting { .. } => Concern::Pace,
        }
    }

    /// The reason's name as it stands in JSON.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// The step whose approval it asks for, if it does.
    pub fn asks_approval(&self) -> Option<u16> {
        if let Self::Approval { step } | Self::ApprovalOverdue { step, .. } = self {
            return Some(*step);
        }
        None
    }
}
