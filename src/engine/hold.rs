//! Why nothing happens: the reasons, with their numbers. The wording is `report`'s.

mod ends;
mod subject;

pub use ends::{HaltReason, RevertCause};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::drifted::{Adoption, Astray};
use super::evidence::gate::{Beyond, GateId, Unit};
use super::evidence::number::Number;
use super::hooks::HookId;
use super::jobs::JobSide;
use super::record::GroupName;
use super::state::Phase;
use super::strays::Stray;
use super::units::{AlarmId, ChangeId, CutoverName, Share, ZoneId};
use super::window::Zone;

/// Why a cutover does not move now. The same value goes to the terminal, JSON and journal.
///
/// `kind` in JSON is the variant in snake case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HoldReason {
    /// An entry of its journal cannot be read or cannot follow: it is neither stepped nor reverted by itself.
    JournalDamaged {
        /// The first entry that cannot be used.
        entry: u64,
        /// Why not.
        message: String,
    },
    /// A revert cannot be finished yet.
    RevertBlocked {
        /// What stands in the way.
        message: String,
    },
    /// Halted: a person must settle it.
    Halted {
        /// Why it was halted.
        reason: HaltReason,
    },
    /// The weights are back, and members that the baseline did not have get a part of the traffic.
    OthersHoldWeight {
        /// These, with what they get.
        members: Vec<Stray>,
    },
    /// The jobs run on neither side, for longer than a switch takes.
    JobsBothOff {
        /// The side that is to be on.
        to: JobSide,
        /// Since when both are off.
        since: Timestamp,
    },
    /// Somebody else switched these jobs.
    JobsDrift {
        /// The jobs, by name.
        jobs: Vec<String>,
        /// Those of them that are on on both sides.
        both_on: Vec<String>,
    },
    /// The jobs cannot be read or switched.
    JobsStuck {
        /// The job, by name.
        job: String,
        /// On which side.
        side: JobSide,
        /// What was said.
        message: String,
    },
    /// A job cannot be looked at, so that nobody knows where it runs.
    JobsUnread {
        /// The job, by name.
        job: String,
        /// On which side.
        side: JobSide,
        /// What was said.
        message: String,
        /// Since when.
        since: Timestamp,
        /// Whether that is longer than the plan allows.
        overdue: bool,
    },
    /// A hook failed, and all its tries.
    HookFailed {
        /// Which.
        hook: HookId,
        /// How often it was tried.
        tries: u32,
        /// What was said.
        message: String,
    },
    /// AWS denies a call that the cutover needs.
    Denied {
        /// The action, for example `route53:GetChange`.
        action: String,
        /// What it is needed for.
        needed_for: String,
        /// What was said.
        message: String,
    },
    /// Somebody else changed these groups.
    Drift {
        /// The groups.
        groups: Vec<GroupName>,
        /// What was expected of each, and what is there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<Astray>,
        /// What `adopt-drift` does now.
        #[serde(default, skip_serializing_if = "Adoption::is_refused")]
        adoption: Adoption,
    },
    /// Somebody put the weights back to the baseline.
    AlreadyAtBaseline {},
    /// An alarm is red: before the start, or where drift halted it and only people decide.
    AlarmRed {
        /// The alarm.
        alarm: GateId,
        /// Whether the cutover has started.
        #[serde(default, skip_serializing_if = "is_false")]
        started: bool,
    },
    /// A metric is beyond its bound: before the start, or where drift halted it and only people decide.
    MeasureRed {
        /// The gate.
        gate: GateId,
        /// By how much.
        beyond: Beyond,
        /// Whether the cutover has started.
        #[serde(default, skip_serializing_if = "is_false")]
        started: bool,
    },
    /// The traffic is not where the weights say.
    TrafficElsewhere {
        /// The new side's share by the weights.
        intended: Share,
        /// The new side's share of the requests in the last hour, in percent.
        observed: Number,
        /// How far it may be off, in percent of the intended share.
        within: Number,
        /// The new side's requests in that time.
        new_requests: u64,
        /// The old side's.
        old_requests: u64,
    },
    /// Something on the new side climbs without end.
    Climbing {
        /// What.
        gate: GateId,
        /// Where it is.
        value: Number,
        /// How much it climbs in an hour.
        per_hour: Number,
        /// Where it ends.
        limit: Number,
        /// What is counted.
        unit: Unit,
        /// When it reaches the limit if it goes on so.
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
        /// Why.
        message: String,
    },
    /// CloudWatch does not know the alarm.
    AlarmMissing {
        /// The alarm.
        alarm: GateId,
        /// Whether it is a fallback alarm.
        fallback: bool,
        /// Since when; none before the first write.
        since: Option<Timestamp>,
    },
    /// The alarm has too little data to judge.
    NoData {
        /// The gate.
        alarm: GateId,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// The gate cannot be judged for another reason.
    Unknown {
        /// The gate.
        alarm: GateId,
        /// Why.
        message: String,
        /// Since when; none before the first write.
        since: Option<Timestamp>,
    },
    /// A gate has been Unknown for longer than the plan allows.
    UnknownTooLong {
        /// The gate.
        alarm: GateId,
        /// Since when.
        since: Timestamp,
    },
    /// Datapoints of a metric are beyond its bound, but not so many yet that the gate fails: the next step waits.
    MeasureNear {
        /// The gate.
        gate: GateId,
        /// The worst datapoint, and how many there are beyond the bound.
        beyond: Box<Beyond>,
        /// How many make the gate fail.
        needed: u32,
        /// How long a datapoint is, in minutes.
        every_mins: u16,
    },
    /// The new side had too few requests for a gate to judge.
    TooFewRequests {
        /// The gate.
        gate: GateId,
        /// How many it had.
        requests: u64,
        /// How many are needed; none where that cannot be told.
        needed: Option<u64>,
        /// In how many minutes they are needed; none: in the step, or in the whole cutover, as the gate counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over_mins: Option<u32>,
        /// About when the gate can judge if as many come as now; none where that cannot be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judged_at: Option<Timestamp>,
    },
    /// The old side has no requests any more, and too few were compared while it had some: whether the new one is worse can
    /// no longer be told.
    NeverCompared {
        /// The gate.
        gate: GateId,
        /// How many requests of the new side were compared.
        requests: u64,
    },
    /// Route 53 cannot be read.
    Route53Unreadable {
        /// The group.
        group: GroupName,
        /// What it said.
        message: String,
    },
    /// The start is refused.
    Preflight {
        /// The group that it is about, if one.
        group: Option<GroupName>,
        /// Why, and what to do about it.
        message: String,
    },
    /// A plan file has the name of a cutover that has ended, and is another plan than that one's.
    NameUsed {
        /// The file.
        path: String,
        /// How that cutover ended.
        phase: Phase,
        /// Whether `retry` is refused for now: a write of it is still looked for.
        #[serde(default, skip_serializing_if = "is_false")]
        unresolved: bool,
    },
    /// Another unfinished cutover moves this group.
    Claimed {
        /// The group.
        group: GroupName,
        /// That cutover.
        by: CutoverName,
    },
    /// Our clock and AWS's differ, or ours went back.
    Clock {
        /// What was seen.
        message: String,
    },
    /// The plan file is no longer what the journal has.
    PlanChanged {
        /// The file.
        path: String,
        /// Whether its records are others than those that the baseline is of, which no cutover can change to.
        #[serde(default, skip_serializing_if = "is_false")]
        records: bool,
        /// Why `amend` does not take it, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// The plan file is gone or cannot be read.
    PlanUnreadable {
        /// The file.
        path: String,
        /// Why.
        message: String,
        /// Whether there is no such file any more.
        #[serde(default, skip_serializing_if = "is_false")]
        gone: bool,
    },
    /// The journal cannot be written.
    JournalDown {
        /// Why.
        message: String,
    },
    /// The break-glass files cannot be written.
    BreakGlass {
        /// Why.
        message: String,
    },
    /// The fleet's own entries cannot be understood; everything can still go back.
    FleetUnreadable {
        /// Why.
        message: String,
    },
    /// As many cutovers went back by themselves as the failure budget allows.
    BudgetSpent {
        /// How many did.
        spent: usize,
        /// How many the budget allows.
        budget: u32,
        /// When a person last resumed the fleet; none if never.
        since: Option<Timestamp>,
        /// The first of them, by name.
        reverted: Vec<CutoverName>,
        /// Whether it looks like one cause.
        one_cause: bool,
    },
    /// Gates of several services failed within minutes.
    SharedFate {
        /// How many services.
        services: usize,
        /// The first of them, by name.
        named: Vec<CutoverName>,
        /// When the first one failed.
        since: Timestamp,
    },
    /// A person froze the fleet.
    Frozen {
        /// Until when; none until somebody unfreezes.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// Another cutover must complete first.
    Dependency {
        /// The other one.
        on: CutoverName,
        /// Its phase; none where the journal does not know it.
        phase: Option<Phase>,
        /// The step it last took.
        step: u16,
        /// How many it has.
        steps: u16,
        /// Whether its journal is damaged, so that it may stand elsewhere by now.
        #[serde(default, skip_serializing_if = "is_false")]
        damaged: bool,
    },
    /// As many cutovers are under way as may be.
    FleetFull {
        /// How many are.
        in_flight: usize,
        /// How many may be.
        max: u32,
    },
    /// A person paused the cutover.
    Paused {
        /// Why.
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
        /// Since when it waits.
        since: Timestamp,
    },
    /// The plan's window is shut, or would shut before the bake is over.
    WindowShut {
        /// The step.
        step: u16,
        /// When the step can be taken; none if never.
        opens_at: Option<Timestamp>,
        /// Whose clock the plan goes by.
        time_zone: Zone,
        /// Whether it must stay open until the bake is over.
        whole_bake: bool,
    },
    /// The jobs have not been looked at yet.
    JobsUnseen {},
    /// Jobs fire about now; the switch keeps away from it.
    JobsFiring {
        /// Until when.
        until: Timestamp,
        /// Since when the switch waits for a gap; none where it is not begun anew.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// What still runs on the side that was left is waited for.
    JobsRunning {
        /// The side.
        side: JobSide,
        /// How many still run.
        running: u32,
        /// The jobs that they are of; empty in old entries.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        jobs: Vec<String>,
        /// Since when they are waited for.
        since: Timestamp,
        /// Whether that is longer than the plan allows.
        overdue: bool,
    },
    /// The jobs move.
    JobsMoving {
        /// The side that is to be on.
        to: JobSide,
        /// Since when both sides are off, if they are.
        off_since: Option<Timestamp>,
    },
    /// A hook is being called.
    HookRunning {
        /// Which.
        hook: HookId,
    },
    /// The weights are being written and read back.
    Shifting {
        /// The step.
        step: u16,
        /// The last failure, if there was one.
        message: Option<String>,
    },
    /// Route 53 is distributing the change, for longer than usual.
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
        /// Until when; none while the change is not INSYNC.
        until: Option<Timestamp>,
    },
    /// The step is watched.
    Baking {
        /// The step.
        step: u16,
        /// Until when, if all gates go on passing; none while the clock stands.
        until: Option<Timestamp>,
        /// How much of the bake has been counted, in seconds.
        counted_secs: i64,
    },
    /// The weights are being taken back.
    Reverting {
        /// How many groups are back.
        back: usize,
        /// Of how many.
        groups: usize,
    },
    /// It went back, or its start was cancelled. Only ever shown: nothing is held.
    Reverted {
        /// Why; none where nothing had been written.
        cause: Option<Box<RevertCause>>,
        /// The new side's share that it went back from.
        share: Share,
        /// When it was back.
        at: Timestamp,
        /// Whether `retry` is refused for now: a write of it is still looked for.
        #[serde(default, skip_serializing_if = "is_false")]
        unresolved: bool,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}
/// A hold that comes back within this time after it ended is the same hold: it pages nobody again, and is not journaled
/// oftener than numbers are. Twice what numbers take, so that two controllers that see different things agree.
pub const SAME_HOLD_WITHIN: SignedDuration = SignedDuration::from_secs(20 * 60);

impl HoldReason {
    /// Whether a person must do something before this hold can end, so that somebody is woken. For a spent budget it is
    /// the fleet that pages, once, and not every cutover that it holds.
    pub fn pages(&self) -> bool {
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
            | Self::InSyncLate { .. } => true,
            // Whoever asked for it knows, and a start that was cancelled was asked for.
            Self::Reverted { cause, .. } => {
                !matches!(cause.as_deref(), None | Some(RevertCause::Operator { .. }))
            }
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
            | Self::Paused { .. }
            | Self::WindowShut {
                opens_at: Some(_), ..
            }
            | Self::JobsUnseen {}
            | Self::JobsFiring { .. }
            | Self::JobsUnread { overdue: false, .. }
            | Self::JobsRunning { overdue: false, .. }
            | Self::JobsMoving { .. }
            | Self::HookRunning { .. }
            | Self::Shifting { .. }
            | Self::Settling { .. }
            | Self::Baking { .. }
            | Self::Reverting { .. } => false,
        }
    }

    /// The reason's name as it stands in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JournalDamaged { .. } => "journal_damaged",
            Self::RevertBlocked { .. } => "revert_blocked",
            Self::Halted { .. } => "halted",
            Self::OthersHoldWeight { .. } => "others_hold_weight",
            Self::JobsBothOff { .. } => "jobs_both_off",
            Self::JobsDrift { .. } => "jobs_drift",
            Self::JobsStuck { .. } => "jobs_stuck",
            Self::JobsUnread { .. } => "jobs_unread",
            Self::HookFailed { .. } => "hook_failed",
            Self::Denied { .. } => "denied",
            Self::Drift { .. } => "drift",
            Self::AlreadyAtBaseline { .. } => "already_at_baseline",
            Self::AlarmRed { .. } => "alarm_red",
            Self::MeasureRed { .. } => "measure_red",
            Self::TrafficElsewhere { .. } => "traffic_elsewhere",
            Self::Climbing { .. } => "climbing",
            Self::FallbackRed { .. } => "fallback_red",
            Self::MeasureNear { .. } => "measure_near",
            Self::TooFewRequests { .. } => "too_few_requests",
            Self::NeverCompared { .. } => "never_compared",
            Self::FallbackUnknown { .. } => "fallback_unknown",
            Self::AlarmMissing { .. } => "alarm_missing",
            Self::NoData { .. } => "no_data",
            Self::Unknown { .. } => "unknown",
            Self::UnknownTooLong { .. } => "unknown_too_long",
            Self::Route53Unreadable { .. } => "route53_unreadable",
            Self::Preflight { .. } => "preflight",
            Self::NameUsed { .. } => "name_used",
            Self::Claimed { .. } => "claimed",
            Self::Clock { .. } => "clock",
            Self::PlanChanged { .. } => "plan_changed",
            Self::PlanUnreadable { .. } => "plan_unreadable",
            Self::JournalDown { .. } => "journal_down",
            Self::BreakGlass { .. } => "break_glass",
            Self::FleetUnreadable { .. } => "fleet_unreadable",
            Self::BudgetSpent { .. } => "budget_spent",
            Self::SharedFate { .. } => "shared_fate",
            Self::Frozen { .. } => "frozen",
            Self::Dependency { .. } => "dependency",
            Self::FleetFull { .. } => "fleet_full",
            Self::Paused { .. } => "paused",
            Self::Approval { .. } => "approval",
            Self::ApprovalOverdue { .. } => "approval_overdue",
            Self::WindowShut { .. } => "window_shut",
            Self::JobsUnseen { .. } => "jobs_unseen",
            Self::JobsFiring { .. } => "jobs_firing",
            Self::JobsRunning { .. } => "jobs_running",
            Self::JobsMoving { .. } => "jobs_moving",
            Self::HookRunning { .. } => "hook_running",
            Self::Shifting { .. } => "shifting",
            Self::InSyncLate { .. } => "in_sync_late",
            Self::Settling { .. } => "settling",
            Self::Baking { .. } => "baking",
            Self::Reverting { .. } => "reverting",
            Self::Reverted { .. } => "reverted",
        }
    }

    /// The step whose approval it asks for, if it does.
    pub fn asks_approval(&self) -> Option<u16> {
        if let Self::Approval { step } | Self::ApprovalOverdue { step, .. } = self {
            return Some(*step);
        }
        None
    }
}
