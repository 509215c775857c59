//! Facts that have happened. The journal holds nothing else, and the state is exactly their fold.
//!
//! Names are a noun and a past participle; `type` in JSON is the same in snake case. Fields are only ever added.

mod believed;
mod failure;
mod left;

pub use failure::{FailureClass, JobFailure};
pub use left::{AdoptedEnd, LeftBehind};

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::around::AliasTtl;
use super::evidence::gate::{Attribution, GateId};
use super::evidence::tally::Tally;
use super::fleet::{FleetSettings, SharedFate};
use super::hold::{HaltReason, HoldReason, RevertCause};
use super::hooks::HookId;
use super::jobs::JobSide;
use super::plan::PlanSource;
use super::record::{GroupImage, RecordSet};
use super::strays::Stray;
use super::units::{AlarmId, ChangeId, ControllerId, CutoverName, WeightPair, WriteId, ZoneId};

/// One journal entry: an event, and who wrote it when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The cutover that it is about; also the stream.
    pub cutover: CutoverName,
    /// The attempt that it belongs to, from 1.
    pub attempt: u32,
    /// Its number in the stream, from 1, without gaps, never restarting.
    pub seq: u64,
    /// When: the later of the writer's clock and the entry before.
    pub at: Timestamp,
    /// Who: `controller ID` or `user@host`.
    pub actor: String,
    /// The version of the entry's format.
    pub version: u32,
    /// What happened.
    pub event: Event,
}

/// The version of the entries that this program writes. It reads this one and all before it.
pub const JOURNAL_VERSION: u32 = 1;

/// One group's part of an intended write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The group's index in the plan's `records`.
    pub group: usize,
    /// The zone.
    pub zone: ZoneId,
    /// The image that was read, with the weights before.
    pub from: GroupImage,
    /// The weights after.
    pub to: WeightPair,
}

/// What a rollback was asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertMode {
    /// Compare-and-swap of the image as read; nothing that somebody else wrote is overwritten.
    Swap,
    /// UPSERT of the last verified images with the baseline's weights, whatever is there.
    Force,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A controller saw the plan for the first time, or again before this attempt's first write.
    PlanAccepted {
        /// The plan, its text and its path.
        source: Box<PlanSource>,
    },
    /// A step's weights are about to be written.
    WeightChangeIntended {
        /// Identifies the write in replies.
        write_id: WriteId,
        /// The only process that may send it.
        owner: ControllerId,
        /// The last moment at which it may be sent.
        perform_by: Timestamp,
        /// The step, from 1.
        step: u16,
        /// The weights of each group that is to move.
        targets: Vec<Target>,
        /// With the first step of the first attempt: the images that a revert goes back to, in the plan's order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Vec<GroupImage>>,
    },
    /// Route 53 accepted a batch of the write.
    WeightChangeSubmitted {
        /// The write (a step's or a revert's).
        write_id: WriteId,
        /// The zone.
        zone: ZoneId,
        /// The groups in the batch, by index.
        groups: Vec<usize>,
        /// What to ask `GetChange` for.
        change_id: ChangeId,
        /// The reply's `Date`: AWS's clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_time: Option<Timestamp>,
    },
    /// Route 53 refused a batch, or the reply was lost.
    WeightChangeFailed {
        /// The write.
        write_id: WriteId,
        /// The zone.
        zone: ZoneId,
        /// The groups in the batch, by index.
        groups: Vec<usize>,
        /// What kind of failure.
        class: FailureClass,
        /// What was said.
        message: String,
    },
    /// The write did not happen, in part or in whole, and can no longer happen.
    WeightChangeAbandoned {
        /// The write.
        write_id: WriteId,
        /// The groups that did move, with their images.
        #[serde(deserialize_with = "by_index")]
        moved: BTreeMap<usize, GroupImage>,
        /// The groups that Route 53 had accepted and that somebody else changed before they were read back. The step's
        /// weights are what is expected of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        landed: Vec<usize>,
        /// Why it was given up.
        reason: String,
    },
    /// The step's weights were read back in all groups.
    WeightsVerified {
        /// The write that brought them there.
        write_id: WriteId,
        /// The step.
        step: u16,
        /// All groups' images, in the plan's order.
        images: Vec<GroupImage>,
    },
    /// A change id was lost; the same images are written again, unchanged, to get one that can be awaited.
    ChangeLost {
        /// Identifies the resubmission in replies.
        write_id: WriteId,
        /// The change that Route 53 no longer knows, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change_id: Option<ChangeId>,
        /// The groups that are written again, by index.
        groups: Vec<usize>,
    },
    /// The change is on all of Route 53's servers.
    ChangeInSync {
        /// The change.
        change_id: ChangeId,
    },
    /// The TTLs of aliases to records of their own zone were read: resolvers keep answers for so long.
    AliasTtlsRead {
        /// The TTLs.
        ttls: Vec<AliasTtl>,
    },
    /// Settling is over; the bake clock may run.
    BakeStarted {
        /// The step.
        step: u16,
    },
    /// All gates passed, for the first time in this bake or again: the clock runs from this entry on.
    GatesPassed {},
    /// The bake clock is counted up to here; it stops unless `running`.
    BakeCounted {
        /// The last reading at which all gates passed.
        until: Timestamp,
        /// Whether they still do.
        running: bool,
    },
    /// A group has another share than the step that settles or bakes: its weights are written again, and its bake begins
    /// anew.
    StepReopened {
        /// The step.
        step: u16,
    },
    /// The step's bake is over and every gate passed.
    StepCompleted {
        /// The step.
        step: u16,
    },
    /// Nothing moves, and why. Most urgent first.
    StepHeld {
        /// The reasons; empty when nothing holds any more.
        because: Vec<HoldReason>,
    },
    /// A gate cannot be judged since this entry.
    GateUnknown {
        /// The gate.
        alarm: GateId,
        /// Why.
        reason: String,
    },
    /// A gate can be judged again.
    GateKnown {
        /// The gate.
        alarm: GateId,
    },
    /// What the requests and the comparison of both sides add up to; the minutes since then are read again.
    EvidenceCounted {
        /// All of it so far.
        tally: Box<Tally>,
    },
    /// A change of an alarm's state was judged; it is not judged again.
    AlarmJudged {
        /// The alarm.
        alarm: AlarmId,
        /// Judged up to and including this change of state (AWS's clock).
        transitioned_at: Timestamp,
        /// Whether it had been in ALARM.
        red: bool,
    },
    /// A person lets the cutover start although this alarm is red.
    AlarmIgnored {
        /// The alarm.
        alarm: AlarmId,
        /// Why.
        reason: String,
    },
    /// An ignored alarm was read OK; from now on it counts.
    AlarmArmed {
        /// The alarm.
        alarm: AlarmId,
    },
    /// Somebody else changed a group.
    DriftDetected {
        /// What was read, by the group's index; none where a member is gone.
        #[serde(deserialize_with = "by_index")]
        groups: BTreeMap<usize, Option<GroupImage>>,
        /// All records of the name and type, of groups without both members.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "by_index"
        )]
        members: BTreeMap<usize, Vec<RecordSet>>,
    },
    /// All groups are again as last verified.
    DriftCleared {},
    /// A person takes the drifted images for the verified ones.
    DriftAdopted {
        /// The images, by the group's index.
        #[serde(deserialize_with = "by_index")]
        images: BTreeMap<usize, GroupImage>,
        /// Why.
        reason: String,
    },
    /// The way back begins. Nothing stops it now.
    RevertIntended {
        /// Identifies its writes in replies.
        write_id: WriteId,
        /// Why.
        cause: RevertCause,
        /// How.
        mode: RevertMode,
        /// The other services that failed at the same time, where it looks like one cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<SharedFate>,
        /// What was seen at that moment, where more than alarms is watched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Box<Attribution>>,
    },
    /// A revert was performed while the journal was down; recorded when it came back.
    RevertPerformedUnjournaled {
        /// Identifies its writes in replies.
        write_id: WriteId,
        /// Why.
        cause: RevertCause,
        /// When it was decided.
        decided_at: Timestamp,
    },
    /// All groups were read at the baseline, a first time; or no longer were.
    BaselineSeen {
        /// When they were read; none takes an earlier reading back.
        at: Option<Timestamp>,
    },
    /// On the way back groups were read at weights that are not ours, or without a member; or no longer are. A second reading
    /// must agree before that halts the revert.
    ForeignWeightsSeen {
        /// What was read, by the group's index; none where a member is gone. Empty takes an earlier reading back.
        #[serde(deserialize_with = "by_index")]
        groups: BTreeMap<usize, Option<GroupImage>>,
        /// When they were read, by the reader's clock.
        read_at: Timestamp,
    },
    /// After a revert, members that the baseline did not have were read with weight; or none are any longer.
    StrayWeightsFound {
        /// These; empty takes an earlier reading back.
        members: Vec<Stray>,
    },
    /// Every group was read at the baseline twice, a fence apart.
    Reverted {
        /// Whether nothing had ever been written (a cancelled start).
        #[serde(default)]
        cancelled: bool,
    },
    /// Nothing advances until a person settles it.
    Halted {
        /// Why.
        reason: HaltReason,
    },
    /// The last step's bake is over; or a person took what was found in the last step for the end.
    Completed {
        /// What the person took, where the old side is gone: there is no way back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adopted: Option<Box<AdoptedEnd>>,
    },
    /// A person ended the cutover as it stood: nothing more is written, and its names are free.
    Abandoned {
        /// Why.
        reason: String,
        /// What was left, and where.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<LeftBehind>,
    },
    /// A page for the entry `of` was delivered, as far as it could be; or its end was told to the plan's command.
    PageSent {
        /// The entry that pages, or that settles what paged.
        of: u64,
        /// Whether nobody but the log was told: neither a command nor a channel gets the page.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        logged_only: bool,
        /// The channels that refused it for good, and were passed over.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
    },
    /// A person paused the cutover.
    PauseRequested {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person ended the pause.
    ResumeRequested {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person approved a step as it then was.
    StepApproved {
        /// The step.
        step: u16,
        /// Its weights.
        pair: WeightPair,
        /// Its bake, in seconds.
        bake_secs: i64,
        /// Why.
        reason: String,
        /// As whom AWS knows whoever approved, where their credentials were at hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller_arn: Option<String>,
    },
    /// A person wants the bake to end now.
    BakeSkipRequested {
        /// The step whose bake it is.
        step: u16,
        /// Why.
        reason: String,
    },
    /// Whether the bake was ended: only if all gates passed at that moment.
    BakeSkipDecided {
        /// The step.
        step: u16,
        /// Whether the bake is over.
        skipped: bool,
    },
    /// A person wants another attempt, or to leave Halted.
    RetryRequested {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person took a changed plan file.
    PlanAmended {
        /// The new plan.
        source: Box<PlanSource>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person wants everything back.
    RollbackRequested {
        /// How.
        mode: RevertMode,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A hook is about to be called.
    HookIntended {
        /// Which.
        hook: HookId,
        /// Identifies this try in answers.
        call_id: WriteId,
        /// The only process that makes it.
        owner: ControllerId,
        /// The try, from 1.
        #[serde(rename = "try")]
        number: u32,
        /// When it has ended, whatever comes of it; unanswered until then, it is made again, with the same key.
        ends_by: Timestamp,
    },
    /// A hook answered that all is well.
    HookSucceeded {
        /// Which.
        hook: HookId,
        /// The try.
        call_id: WriteId,
        /// The beginning of what it said, without secrets.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
    },
    /// A try of a hook failed.
    HookFailed {
        /// Which.
        hook: HookId,
        /// The try.
        call_id: WriteId,
        /// Why. Holds no secrets.
        message: String,
        /// The beginning of what it said, without secrets.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
        /// Whether that was the last try, and the cutover goes on without it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        given_up: bool,
    },
    /// The jobs are to move to a side, as one switch.
    JobSwitchIntended {
        /// The side that is to be on.
        to: JobSide,
    },
    /// Jobs of one side are about to be switched.
    JobTurnIntended {
        /// Identifies it in answers.
        turn_id: WriteId,
        /// The only process that may send it.
        owner: ControllerId,
        /// The last moment at which it may be sent.
        perform_by: Timestamp,
        /// After this it can no longer take effect.
        lands_by: Timestamp,
        /// The side.
        side: JobSide,
        /// On, or off.
        on: bool,
        /// The jobs, by index.
        jobs: Vec<usize>,
        /// Their names; empty in old entries.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
    /// What came back for a change of jobs: all that are not named were accepted.
    JobTurnAnswered {
        /// The change.
        turn_id: WriteId,
        /// The jobs that were refused, or whose reply was lost.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "by_index"
        )]
        failed: BTreeMap<usize, JobFailure>,
    },
    /// What a change of jobs came to was read back.
    JobTurnResolved {
        /// The change.
        turn_id: WriteId,
        /// Those of its jobs that are on now, by index; its others are off.
        on: Vec<usize>,
    },
    /// Every job of the side that is left was read off. Until the other side's are on, neither runs.
    JobsOff {
        /// The side that is off.
        side: JobSide,
    },
    /// Nothing of that side runs any more.
    JobsDrained {
        /// The side that is off.
        side: JobSide,
    },
    /// Every job of a side was read on, and every one of the other off: the switch is done.
    JobsMoved {
        /// The side that is on.
        to: JobSide,
    },
    /// The limits of `fleet.yaml` were read, and are other than before. In `@fleet`, as all that follow.
    FleetSettingsAccepted {
        /// The limits.
        settings: FleetSettings,
        /// The absolute path of the file.
        path: String,
    },
    /// A cutover takes its first step; in the same append, so that two controllers cannot both take the last slot.
    FleetSlotTaken {
        /// The cutover.
        of: CutoverName,
    },
    /// As many cutovers went back by themselves as the failure budget allows: nothing advances.
    FleetBudgetSpent {
        /// How many reverts there were since the fleet was last resumed.
        spent: usize,
        /// How many the budget allows.
        budget: u32,
        /// The first of them, by name.
        reverted: Vec<CutoverName>,
        /// Where it looks like one cause: who failed together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<SharedFate>,
    },
    /// Several cutovers wait for a person, by what looks like one cause: this pages, and their own holds need not.
    FleetHeld {
        /// The hold of the first of those that are named.
        reason: HoldReason,
        /// How many there are.
        services: usize,
        /// The first of them, by name.
        named: Vec<CutoverName>,
        /// When the first one began that nobody was told of.
        since: Timestamp,
    },
    /// A person froze the fleet: nothing advances.
    FleetFrozen {
        /// Until when; none until somebody unfreezes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// A person ended the freeze.
    FleetUnfrozen {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person looked at the reverts and lets the fleet go on.
    FleetResumed {
        /// Why.
        reason: String,
        /// The reverts that no longer count: each cutover's, up to this entry of its stream.
        forgiven: BTreeMap<CutoverName, u64>,
    },
    /// An entry of a cutover's stream cannot be read or cannot follow. This pages; nothing more is written to that stream.
    CutoverDamaged {
        /// The cutover.
        of: CutoverName,
        /// The first entry of its stream that cannot be used.
        entry: u64,
        /// Why not.
        why: String,
    },
    /// A person had the stored baseline of a cutover with a damaged stream written to Route 53.
    DamagedTakenBack {
        /// The cutover.
        of: CutoverName,
        /// How many groups were read back at the baseline.
        back: usize,
        /// How many groups there are.
        groups: usize,
        /// Why it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Stands for an entry that this program cannot read: its type or its version is newer, or its text is damaged. It is made
    /// by reading and is never written.
    #[serde(skip_deserializing)]
    Unreadable {
        /// Why it cannot be read.
        why: String,
    },
}

impl Event {
    /// The event's name as it stands in the journal.
    pub fn label(&self) -> &'static str {
        match self {
            Self::PlanAccepted { .. } => "plan_accepted",
            Self::WeightChangeIntended { .. } => "weight_change_intended",
            Self::WeightChangeSubmitted { .. } => "weight_change_submitted",
            Self::WeightChangeFailed { .. } => "weight_change_failed",
            Self::WeightChangeAbandoned { .. } => "weight_change_abandoned",
            Self::WeightsVerified { .. } => "weights_verified",
            Self::ChangeLost { .. } => "change_lost",
            Self::AliasTtlsRead { .. } => "alias_ttls_read",
            Self::ChangeInSync { .. } => "change_in_sync",
            Self::BakeStarted { .. } => "bake_started",
            Self::GatesPassed {} => "gates_passed",
            Self::BakeCounted { .. } => "bake_counted",
            Self::StepReopened { .. } => "step_reopened",
            Self::StepCompleted { .. } => "step_completed",
            Self::StepHeld { .. } => "step_held",
            Self::GateUnknown { .. } => "gate_unknown",
            Self::GateKnown { .. } => "gate_known",
            Self::EvidenceCounted { .. } => "evidence_counted",
            Self::AlarmJudged { .. } => "alarm_judged",
            Self::AlarmIgnored { .. } => "alarm_ignored",
            Self::AlarmArmed { .. } => "alarm_armed",
            Self::DriftDetected { .. } => "drift_detected",
            Self::DriftCleared {} => "drift_cleared",
            Self::DriftAdopted { .. } => "drift_adopted",
            Self::RevertIntended { .. } => "revert_intended",
            Self::RevertPerformedUnjournaled { .. } => "revert_performed_unjournaled",
            Self::BaselineSeen { .. } => "baseline_seen",
            Self::ForeignWeightsSeen { .. } => "foreign_weights_seen",
            Self::StrayWeightsFound { .. } => "stray_weights_found",
            Self::Reverted { .. } => "reverted",
            Self::Halted { .. } => "halted",
            Self::Completed { .. } => "completed",
            Self::Abandoned { .. } => "abandoned",
            Self::PageSent { .. } => "page_sent",
            Self::PauseRequested { .. } => "pause_requested",
            Self::ResumeRequested { .. } => "resume_requested",
            Self::StepApproved { .. } => "step_approved",
            Self::BakeSkipRequested { .. } => "bake_skip_requested",
            Self::BakeSkipDecided { .. } => "bake_skip_decided",
            Self::RetryRequested { .. } => "retry_requested",
            Self::PlanAmended { .. } => "plan_amended",
            Self::RollbackRequested { .. } => "rollback_requested",
            Self::HookIntended { .. } => "hook_intended",
            Self::HookSucceeded { .. } => "hook_succeeded",
            Self::HookFailed { .. } => "hook_failed",
            Self::JobSwitchIntended { .. } => "job_switch_intended",
            Self::JobTurnIntended { .. } => "job_turn_intended",
            Self::JobTurnAnswered { .. } => "job_turn_answered",
            Self::JobTurnResolved { .. } => "job_turn_resolved",
            Self::JobsOff { .. } => "jobs_off",
            Self::JobsDrained { .. } => "jobs_drained",
            Self::JobsMoved { .. } => "jobs_moved",
            Self::FleetSettingsAccepted { .. } => "fleet_settings_accepted",
            Self::FleetSlotTaken { .. } => "fleet_slot_taken",
            Self::FleetBudgetSpent { .. } => "fleet_budget_spent",
            Self::FleetHeld { .. } => "fleet_held",
            Self::FleetFrozen { .. } => "fleet_frozen",
            Self::FleetUnfrozen { .. } => "fleet_unfrozen",
            Self::FleetResumed { .. } => "fleet_resumed",
            Self::CutoverDamaged { .. } => "cutover_damaged",
            Self::DamagedTakenBack { .. } => "damaged_taken_back",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether this event wakes somebody. A hold does so only for what is new in it; that is the fold's to know.
    pub fn pages(&self) -> bool {
        if let Self::RevertIntended { cause, .. } | Self::RevertPerformedUnjournaled { cause, .. } =
            self
        {
            // Whoever asked for it is awake, and is told by the command that asked.
            return !matches!(cause, RevertCause::Operator { .. });
        }
        if let Self::StrayWeightsFound { members } = self {
            return !members.is_empty();
        }
        let failed_for_good = matches!(self, Self::HookFailed { given_up: true, .. });
        let fleets = matches!(
            self,
            Self::FleetBudgetSpent { .. } | Self::FleetHeld { .. } | Self::CutoverDamaged { .. }
        );
        failed_for_good || fleets || matches!(self, Self::Halted { .. } | Self::Abandoned { .. })
    }
}

/// Reads a map whose keys are groups' indexes.
///
/// JSON has text for keys, and serde, which buffers an event until it has seen its `type`, does not turn buffered text
/// into numbers by itself.
fn by_index<'de, D, V>(deserializer: D) -> Result<BTreeMap<usize, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    let by_text = BTreeMap::<String, V>::deserialize(deserializer)?;
    let parsed = by_text
        .into_iter()
        .map(|(index, value)| match index.parse() {
            Ok(index) => Ok((index, value)),
            Err(_) => Err(serde::de::Error::custom(format!(
                "`{index}` is not a group's index"
            ))),
        });
    parsed.collect()
}
