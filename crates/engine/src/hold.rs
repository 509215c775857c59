//! Holds: the reasons why no step is taken, with their numbers. `report` makes the sentences for people.

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
    /// An entry of the cutover's stream cannot be used. The controller takes no step and starts no revert by itself
    /// (semantics L4).
    JournalDamaged {
        /// The number of the first entry that cannot be used.
        entry: u64,
        /// Why that entry cannot be used, for people.
        message: String,
    },
    /// A revert cannot be finished yet. The controller keeps trying.
    RevertBlocked {
        /// Why the revert cannot be finished, for people.
        message: String,
    },
    /// The cutover is halted: no step is taken until a person decides.
    Halted {
        /// Why the cutover is halted.
        reason: HaltReason,
    },
    /// The weights are back at the baseline, but members that the baseline did not have still get traffic (semantics
    /// L6).
    OthersHoldWeight {
        /// These members, with their weights.
        members: Vec<Stray>,
    },
    /// The jobs have run on neither side for longer than a switch takes.
    JobsBothOff {
        /// The side that is to be on at the end of the switch.
        to: JobSide,
        /// The time since which both sides have been off.
        since: Timestamp,
    },
    /// Somebody else switched jobs of the plan.
    JobsDrift {
        /// The names of these jobs.
        jobs: Vec<String>,
        /// The names of those that are on at both sides.
        both_on: Vec<String>,
    },
    /// A job cannot be switched, or must not be.
    JobsStuck {
        /// The job's name.
        job: String,
        /// The side on which it cannot be switched.
        side: JobSide,
        /// Why it cannot be switched, for people.
        message: String,
    },
    /// A job cannot be read, so that its state on one side is not known.
    JobsUnread {
        /// The job's name.
        job: String,
        /// The side on which it cannot be read.
        side: JobSide,
        /// Why it cannot be read, for people.
        message: String,
        /// The time since which it cannot be read.
        since: Timestamp,
        /// True if a person must act: for longer than the plan's `unknown_for`, or at once before the start and during
        /// a revert.
        overdue: bool,
    },
    /// All tries of a hook failed. The hook is still called from time to time.
    HookFailed {
        /// The hook and the point at which it is called.
        hook: HookId,
        /// The number of failed tries.
        tries: u32,
        /// The message of the last failure.
        message: String,
    },
    /// AWS denies a call that the cutover needs (semantics L15).
    Denied {
        /// The IAM action, for example `route53:GetChange`.
        action: String,
        /// The purpose of the call, for people.
        needed_for: String,
        /// The message of the refusal.
        message: String,
    },
    /// Somebody else changed groups of the cutover (semantics B3).
    Drift {
        /// The groups that were changed.
        groups: Vec<GroupName>,
        /// For each of these groups, the weights that were expected and the records that were found.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Astray>,
        /// The effect that `adopt-drift` would have now.
        #[serde(default, skip_serializing_if = "Adoption::is_refused")]
        adoption: Adoption,
    },
    /// Somebody else wrote the baseline's weights (semantics B4).
    AlreadyAtBaseline {},
    /// An alarm is red, or the new side fails more often than the old one: before the start, or while drift halts the
    /// cutover so that only people decide.
    AlarmRed {
        /// The alarm, or the gate that compares both sides.
        alarm: GateId,
        /// True if the cutover has started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        started: bool,
    },
    /// A metric is beyond its bound before the start, or while drift halts the cutover so that only people decide.
    MeasureRed {
        /// The gate of the metric.
        gate: GateId,
        /// The datapoints beyond the bound.
        beyond: Beyond,
        /// True if the cutover has started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        started: bool,
    },
    /// The observed share of the traffic differs from the weights by more than chance explains.
    TrafficElsewhere {
        /// The new side's share by the weights.
        intended: Share,
        /// The new side's share of the requests in the last hour, or since the step's bake began if that is later. In
        /// percent.
        observed: Number,
        /// The allowed difference, in percent of the intended share.
        within: Number,
        /// The number of the new side's requests in that time.
        new_requests: u64,
        /// The number of the old side's requests in that time.
        old_requests: u64,
    },
    /// A metric of the new side climbs steadily toward its limit.
    Climbing {
        /// The gate of the metric.
        gate: GateId,
        /// The present value, in `unit`.
        value: Number,
        /// The climb in an hour, in `unit`.
        per_hour: Number,
        /// The limit that the metric must not reach, in `unit`.
        limit: Number,
        /// The unit of the three numbers.
        unit: Unit,
        /// The time at which the metric reaches its limit at this rate.
        reaches_at: Timestamp,
    },
    /// A fallback alarm is red: the old cluster may not be able to take the traffic back.
    FallbackRed {
        /// The fallback alarm.
        alarm: AlarmId,
    },
    /// A fallback alarm cannot be judged, or was red between two readings.
    FallbackUnknown {
        /// The fallback alarm.
        alarm: AlarmId,
        /// Why it cannot be judged, for people.
        message: String,
    },
    /// CloudWatch does not know an alarm of the plan.
    AlarmMissing {
        /// The alarm, as a gate.
        alarm: GateId,
        /// True if the alarm is a fallback alarm.
        fallback: bool,
        /// The time since which it is Unknown. `None` before the first write.
        since: Option<Timestamp>,
    },
    /// An alarm is in INSUFFICIENT_DATA, or a metric has no datapoint although there were requests.
    NoData {
        /// The gate, of any kind.
        alarm: GateId,
        /// The time since which it is Unknown. `None` before the first write.
        since: Option<Timestamp>,
    },
    /// A gate cannot be judged for another reason.
    Unknown {
        /// The gate, of any kind.
        alarm: GateId,
        /// Why it cannot be judged, for people.
        message: String,
        /// The time since which it is Unknown. `None` before the first write.
        since: Option<Timestamp>,
    },
    /// A gate or fallback alarm has been Unknown for longer than the plan's `unknown_for`.
    UnknownTooLong {
        /// The gate, of any kind.
        alarm: GateId,
        /// The time since which it is Unknown.
        since: Timestamp,
    },
    /// Datapoints of a metric are beyond its bound, but too few for the gate to fail. The next step waits.
    MeasureNear {
        /// The gate of the metric.
        gate: GateId,
        /// The worst datapoint, and the number of datapoints beyond the bound.
        beyond: Box<Beyond>,
        /// The number of datapoints beyond the bound that would make the gate fail.
        needed: u32,
        /// The length of a datapoint, in minutes.
        every_mins: u16,
    },
    /// The new side had too few requests for a gate to judge.
    TooFewRequests {
        /// The gate that counts the requests.
        gate: GateId,
        /// The number of requests so far.
        requests: u64,
        /// The number of requests that the gate needs. `None` if that is not known.
        needed: Option<u64>,
        /// The minutes within which the gate needs them. `None` if it counts all requests of the step, or of the whole
        /// cutover.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over_mins: Option<u32>,
        /// About when the gate can judge, at the present rate of requests. `None` if that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judged_at: Option<Timestamp>,
    },
    /// The old side no longer has requests, and too few were compared while it had some. So the gate can never judge if
    /// the new side is worse.
    NeverCompared {
        /// The gate that compares both sides.
        gate: GateId,
        /// The number of the new side's requests that were compared.
        requests: u64,
    },
    /// Route 53 cannot be read.
    Route53Unreadable {
        /// The group that cannot be read.
        group: GroupName,
        /// Why it cannot be read, for people.
        message: String,
    },
    /// The start is refused.
    Preflight {
        /// The group that prevents the start. `None` if the reason is not about one group.
        group: Option<GroupName>,
        /// Why the start is refused, and the remedy, for people.
        message: String,
    },
    /// A plan file has the name of a cutover that has ended, but holds another plan (semantics L9).
    NameUsed {
        /// The absolute path of the file.
        path: String,
        /// The final phase of the cutover that has ended.
        phase: Phase,
        /// True if `retry` is refused for now, because a write of that cutover may still take effect.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unresolved: bool,
    },
    /// Another unfinished cutover moves a group of this plan.
    Claimed {
        /// The group that both plans have.
        group: GroupName,
        /// The name of the other cutover.
        by: CutoverName,
    },
    /// This machine's clock differs from AWS's, or is behind the journal's last entry (semantics D3).
    Clock {
        /// The difference, for people.
        message: String,
    },
    /// The plan file differs from the plan in the journal.
    PlanChanged {
        /// The absolute path of the file.
        path: String,
        /// True if the records differ after the first write. A cutover cannot change its records then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        records: bool,
        /// Why `amend` would refuse the file. `None` if it would accept it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The plan file is gone or cannot be read.
    PlanUnreadable {
        /// The absolute path of the file.
        path: String,
        /// Why it cannot be read, for people.
        message: String,
        /// True if the file no longer exists.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        gone: bool,
    },
    /// The journal cannot be written.
    JournalDown {
        /// Why it cannot be written, for people.
        message: String,
    },
    /// The break-glass files cannot be written, which prevents the start.
    BreakGlass {
        /// Why they cannot be written, for people.
        message: String,
    },
    /// An entry of `@fleet` cannot be used. No step is taken; reverts and rollbacks still work.
    FleetUnreadable {
        /// Why it cannot be used, for people.
        message: String,
    },
    /// The automatic reverts have used up the failure budget.
    BudgetSpent {
        /// The number of automatic reverts since a person last resumed the fleet.
        spent: usize,
        /// The failure budget: the number of automatic reverts that stops the fleet.
        budget: u32,
        /// The time at which a person last resumed the fleet. `None` if never.
        since: Option<Timestamp>,
        /// The first reverted cutovers by name, at most [`NAMED_MAX`](super::lists::NAMED_MAX).
        reverted: Vec<CutoverName>,
        /// True if the reverts probably have one cause.
        one_cause: bool,
    },
    /// Gates of several services failed within minutes, so that one cause is likely.
    SharedFate {
        /// The number of these services.
        services: usize,
        /// The first of them by name, at most [`NAMED_MAX`](super::lists::NAMED_MAX).
        named: Vec<CutoverName>,
        /// The time at which the first gate failed.
        since: Timestamp,
    },
    /// A person froze the fleet.
    Frozen {
        /// The end of the freeze. `None` if it lasts until a person ends it.
        until: Option<Timestamp>,
        /// The reason that the person gave.
        reason: String,
    },
    /// Another cutover must complete before this one starts.
    Dependency {
        /// The name of the other cutover.
        on: CutoverName,
        /// The phase of the other cutover. `None` if the journal does not have it.
        phase: Option<Phase>,
        /// The number of the other cutover's last intended step; 0 if there is none.
        step: u16,
        /// The number of the other cutover's steps.
        steps: u16,
        /// True if the other cutover's stream is damaged, so that its real state is not known.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        damaged: bool,
    },
    /// The most allowed cutovers are under way, so this one cannot start.
    FleetFull {
        /// The number of other cutovers under way.
        in_flight: usize,
        /// The largest number that may be under way.
        max: u32,
    },
    /// A person paused the cutover.
    Paused {
        /// The reason that the person gave. `None` if no reason was given.
        reason: Option<String>,
    },
    /// A step waits for its approval.
    Approval {
        /// The step's number, from 1.
        step: u16,
    },
    /// A step has waited for its approval for longer than the plan allows.
    ApprovalOverdue {
        /// The step's number, from 1.
        step: u16,
        /// The time at which the wait began.
        since: Timestamp,
    },
    /// The plan's window is shut, or would shut before the bake is over.
    WindowShut {
        /// The step's number, from 1.
        step: u16,
        /// The time at which the step can be taken. `None` if never.
        opens_at: Option<Timestamp>,
        /// The plan's time zone.
        time_zone: Zone,
        /// True if the window must stay open until the bake is over.
        whole_bake: bool,
    },
    /// This process has not read the jobs yet.
    JobsUnseen {},
    /// Jobs run at about this time, so the switch waits.
    JobsFiring {
        /// The time at which the wait ends.
        until: Timestamp,
        /// The time since which the switch has waited for a gap. `None` once it has begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// Runs of jobs on the side that is left must end before the other side is switched on.
    JobsRunning {
        /// The side that is left.
        side: JobSide,
        /// The number of runs under way.
        running: u32,
        /// The names of the jobs that still run. Empty in entries of older versions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        jobs: Vec<String>,
        /// The time at which the wait began.
        since: Timestamp,
        /// True if that is longer than the plan's `drain` allows.
        overdue: bool,
    },
    /// The jobs are moving from one side to the other.
    JobsMoving {
        /// The side that is to be on at the end of the switch.
        to: JobSide,
        /// The time since which both sides are off. `None` while one may be on.
        off_since: Option<Timestamp>,
    },
    /// A hook is being called.
    HookRunning {
        /// The hook and the point at which it is called.
        hook: HookId,
    },
    /// Jobs or hooks are due, but this controller calls none now: its journal is down, or `--no-commands` was given.
    CallsWait {},
    /// A step's weights are being written and read back.
    Shifting {
        /// The step's number, from 1.
        step: u16,
        /// The message of the last failure. `None` if there was none.
        message: Option<String>,
    },
    /// A change is not INSYNC after 10 minutes, which is longer than usual (semantics A6).
    InSyncLate {
        /// The ID of the change; `not known` if no change of the group is known.
        change_id: ChangeId,
        /// The hosted zone of the change.
        zone: ZoneId,
    },
    /// The change is INSYNC, or about to be, and resolvers are given time to see it.
    Settling {
        /// The step's number, from 1.
        step: u16,
        /// The end of settling. `None` while a change is not INSYNC.
        until: Option<Timestamp>,
    },
    /// The bake of a step is under way.
    Baking {
        /// The step's number, from 1.
        step: u16,
        /// The end of the bake if all gates go on passing. `None` while the bake clock is stopped.
        until: Option<Timestamp>,
        /// The time that the bake clock has counted, in seconds.
        counted_secs: i64,
    },
    /// The baseline's weights are being written and read back.
    Reverting {
        /// The number of groups that were read at the baseline.
        back: usize,
        /// The number of all groups.
        groups: usize,
    },
    /// The cutover was reverted, or its start was cancelled. This is only shown: nothing is held.
    Reverted {
        /// Why it was reverted. `None` if nothing had been written.
        cause: Option<Box<RevertCause>>,
        /// The new side's share before the revert.
        share: Share,
        /// The time at which the revert ended.
        at: Timestamp,
        /// True if `retry` is refused for now, because a write of that cutover may still take effect.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unresolved: bool,
    },
}

/// The time after its end within which a hold that comes back counts as the same hold: it does not page again, and is
/// journaled no more often than changed numbers. It is twice the interval at which numbers are journaled, so that two
/// controllers that see different things agree.
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
    /// Returns true if this hold pages, because a person must act before it can end. A spent budget does not page here:
    /// the fleet pages once for it, instead of every cutover that it holds.
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

    /// Returns the name of the hold's kind, as it is written in JSON.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns the number of the step whose approval this hold waits for. `None` for other holds.
    pub fn asks_approval(&self) -> Option<u16> {
        if let Self::Approval { step } | Self::ApprovalOverdue { step, .. } = self {
            return Some(*step);
        }
        None
    }
}
