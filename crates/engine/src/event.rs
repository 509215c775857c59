//! Events: facts that have happened. The journal holds nothing else, and the state is exactly their fold.
//!
//! Names are a noun and a past participle; `type` in JSON is the same in snake case. Fields are only ever added.

mod believed;
pub(crate) mod failure;
mod left;

pub use failure::{FailureClass, JobFailure, SendOutcome};
pub use left::{AdoptedEnd, LeftBehind};

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::around::AliasTtl;
use super::evidence::gate::{Attribution, GateId};
use super::evidence::tally::Tally;
use super::fleet::settings::FleetSettings;
use super::fleet::shared_fate::SharedFate;
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
    /// Its time: the later of the writer's clock and the entry before.
    pub at: Timestamp,
    /// The actor who wrote it: `controller ID` or `user@host`.
    pub actor: String,
    /// The version of the entry's format.
    pub version: u32,
    /// The event.
    pub event: Event,
}

/// The version of the entries that this program writes. It reads this version and all earlier ones.
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

/// The mode of a revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertMode {
    /// Compare-and-swap of the image as read; somebody else's changes are not overwritten.
    Swap,
    /// UPSERT of the last verified images with the baseline's weights; whatever is there is overwritten.
    Force,
}

/// A fact that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
        /// The change to poll with `GetChange`.
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
        /// The class of the failure.
        class: FailureClass,
        /// The message of the failure.
        message: String,
    },
    /// The write did not happen, in part or in whole, and can no longer happen.
    WeightChangeAbandoned {
        /// The write.
        write_id: WriteId,
        /// The groups that did move, with their images.
        #[serde(deserialize_with = "by_index")]
        moved: BTreeMap<usize, GroupImage>,
        /// The groups that Route 53 had accepted and that somebody else changed before they were read back. They are
        /// expected at the step's weights.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        landed: Vec<usize>,
        /// Why it was abandoned.
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
    /// The TTLs of aliases to records of their own zone were read, for which resolvers keep their answers.
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
        /// True if they still pass, so that the clock goes on.
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
    /// The holds changed. Most urgent first.
    StepHeld {
        /// The holds; empty if nothing holds any longer.
        because: Vec<HoldReason>,
    },
    /// A gate cannot be judged since this entry.
    GateUnknown {
        /// The gate.
        alarm: GateId,
        /// The reason given.
        reason: String,
    },
    /// A gate can be judged again.
    GateKnown {
        /// The gate.
        alarm: GateId,
    },
    /// The counts of requests and of the comparison of both sides up to now; only later minutes are read again.
    EvidenceCounted {
        /// The counts so far.
        tally: Box<Tally>,
    },
    /// A change of an alarm's state was judged; it is not judged again.
    AlarmJudged {
        /// The alarm.
        alarm: AlarmId,
        /// Judged up to and including this change of state (AWS's clock).
        transitioned_at: Timestamp,
        /// True if it had been in ALARM.
        red: bool,
    },
    /// A person allows the cutover to start although this alarm is red.
    AlarmIgnored {
        /// The alarm.
        alarm: AlarmId,
        /// The reason given.
        reason: String,
    },
    /// An ignored alarm was read OK; from now on it counts.
    AlarmArmed {
        /// The alarm.
        alarm: AlarmId,
    },
    /// Somebody else changed a group.
    DriftDetected {
        /// The images as read, by the group's index; none if a member is gone.
        #[serde(deserialize_with = "by_index")]
        groups: BTreeMap<usize, Option<GroupImage>>,
        /// For groups without both members, all records of the name and type.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "by_index"
        )]
        members: BTreeMap<usize, Vec<RecordSet>>,
    },
    /// All groups are again as last verified.
    DriftCleared {},
    /// A person accepted the drifted images as the verified ones.
    DriftAdopted {
        /// The images, by the group's index.
        #[serde(deserialize_with = "by_index")]
        images: BTreeMap<usize, GroupImage>,
        /// The reason given.
        reason: String,
    },
    /// The revert begins. Nothing stops it now.
    RevertIntended {
        /// Identifies its writes in replies.
        write_id: WriteId,
        /// The cause.
        cause: RevertCause,
        /// The mode.
        mode: RevertMode,
        /// The other services that failed at the same time, if that suggests one cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<SharedFate>,
        /// The readings of that moment, if more than alarms is watched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Box<Attribution>>,
    },
    /// A revert was performed while the journal was down; recorded when it came back.
    RevertPerformedUnjournaled {
        /// Identifies its writes in replies.
        write_id: WriteId,
        /// The cause.
        cause: RevertCause,
        /// The time of the decision.
        decided_at: Timestamp,
    },
    /// All groups were read at the baseline for the first time; or they no longer are.
    BaselineSeen {
        /// The time of that reading; none cancels an earlier one.
        at: Option<Timestamp>,
    },
    /// During a revert, groups were read at weights that are not ours, or without a member; or they no longer are. A second
    /// reading must agree before that halts the revert.
    ForeignWeightsSeen {
        /// The images as read, by the group's index; none if a member is gone. Empty cancels an earlier reading.
        #[serde(deserialize_with = "by_index")]
        groups: BTreeMap<usize, Option<GroupImage>>,
        /// The time of the reading, by the reader's clock.
        read_at: Timestamp,
    },
    /// After a revert, members that the baseline did not have were read with weight; or they no longer are.
    StrayWeightsFound {
        /// The members; empty cancels an earlier reading.
        members: Vec<Stray>,
    },
    /// Every group was read at the baseline twice, a fence apart.
    Reverted {
        /// True if nothing had ever been written (a cancelled start).
        #[serde(default)]
        cancelled: bool,
    },
    /// Nothing advances until a person acts.
    Halted {
        /// The reason.
        reason: HaltReason,
    },
    /// The last step's bake is over; or a person accepted the records found in the last step as the end.
    Completed {
        /// The records that the person accepted, if the old side is gone: there is no revert.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adopted: Option<Box<AdoptedEnd>>,
    },
    /// A person ended the cutover as it was: nothing more is written, and its records are free for other cutovers.
    Abandoned {
        /// The reason given.
        reason: String,
        /// Everything that is left as it is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<LeftBehind>,
    },
    /// Written by older versions only: a page for the entry `of` was delivered as far as possible; or the plan's command was
    /// told of its end. Today the cursors of channels say this.
    PageSent {
        /// The entry that pages, or that ends a page.
        of: u64,
        /// True if the page went only to the log, because the plan has neither a command nor a channel for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        logged_only: bool,
        /// The channels that refused it for good, and were passed over.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
    },
    /// A person paused the cutover.
    PauseRequested {
        /// The reason given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person ended the pause.
    ResumeRequested {
        /// The reason given.
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
        /// The reason given.
        reason: String,
        /// The approver's ARN, if AWS credentials were at hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller_arn: Option<String>,
    },
    /// A person wants the bake to end now.
    BakeSkipRequested {
        /// The step whose bake it is.
        step: u16,
        /// The reason given.
        reason: String,
    },
    /// The controller decided a requested skip: the bake ends only if all gates passed at that moment.
    BakeSkipDecided {
        /// The step.
        step: u16,
        /// True if the bake is over.
        skipped: bool,
    },
    /// A person wants another attempt, or to leave Halted.
    RetryRequested {
        /// The reason given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person took a changed plan file.
    PlanAmended {
        /// The new plan.
        source: Box<PlanSource>,
        /// The reason given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person wants everything back.
    RollbackRequested {
        /// The mode.
        mode: RevertMode,
        /// The reason given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A hook is about to be called.
    HookIntended {
        /// The hook.
        hook: HookId,
        /// Identifies this try in answers.
        call_id: WriteId,
        /// The only process that makes it.
        owner: ControllerId,
        /// The try, from 1.
        #[serde(rename = "try")]
        number: u32,
        /// The time by which the call has ended. If there is no answer until then, it is made again, with the same key.
        ends_by: Timestamp,
    },
    /// A hook succeeded.
    HookSucceeded {
        /// The hook.
        hook: HookId,
        /// The try.
        call_id: WriteId,
        /// The beginning of its output, without secrets.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
    },
    /// A try of a hook failed.
    HookFailed {
        /// The hook.
        hook: HookId,
        /// The try.
        call_id: WriteId,
        /// The message of the failure, without secrets.
        message: String,
        /// The beginning of its output, without secrets.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
        /// True if that was the last try, and the cutover goes on without the hook.
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
        /// True to switch them on, false to switch them off.
        on: bool,
        /// The jobs, by index.
        jobs: Vec<usize>,
        /// Their names; empty in old entries.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
    /// The answers to a change of jobs: all that are not named were accepted.
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
    /// The result of a change of jobs was read back.
    JobTurnResolved {
        /// The change.
        turn_id: WriteId,
        /// Its jobs that are on now, by index; the others are off.
        on: Vec<usize>,
    },
    /// Every job of the side that is left was read off. Until the other side's are on, neither runs.
    JobsOff {
        /// The side that is off.
        side: JobSide,
    },
    /// No job of that side runs any longer.
    JobsDrained {
        /// The side that is off.
        side: JobSide,
    },
    /// Every job of a side was read on, and every one of the other off: the switch is done.
    JobsMoved {
        /// The side that is on.
        to: JobSide,
    },
    /// The limits of `fleet.yaml` were read and differ from before. In `@fleet`, like all that follow.
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
    /// The automatic reverts have used up the failure budget: nothing advances.
    FleetBudgetSpent {
        /// The number of automatic reverts since the fleet was last resumed.
        spent: usize,
        /// The number that the budget allows.
        budget: u32,
        /// The first of them, by name.
        reverted: Vec<CutoverName>,
        /// The services that failed together, if that suggests one cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<SharedFate>,
    },
    /// Written by older versions only: several cutovers wait for a person, probably for one cause; this paged, and their own
    /// holds did not. Today such pages are told together when they are delivered.
    FleetHeld {
        /// The hold of the first named cutover.
        reason: HoldReason,
        /// The number of cutovers.
        services: usize,
        /// The first of them, by name.
        named: Vec<CutoverName>,
        /// The time at which the first of these holds began that nobody was told of.
        since: Timestamp,
    },
    /// A person froze the fleet: nothing advances.
    FleetFrozen {
        /// The end; none until somebody unfreezes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The reason given.
        reason: String,
    },
    /// A person ended the freeze.
    FleetUnfrozen {
        /// The reason given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person reviewed the reverts and lets the fleet go on.
    FleetResumed {
        /// The reason given.
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
        /// Why it cannot be used.
        why: String,
    },
    /// On a person's request, the stored baseline of a cutover with a damaged stream was written to Route 53.
    DamagedTakenBack {
        /// The cutover.
        of: CutoverName,
        /// The number of groups that were read back at the baseline.
        back: usize,
        /// The number of groups.
        groups: usize,
        /// The reason given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Stands for an entry that this program cannot read: its type or version is newer, or its text is damaged. It is made
    /// by the reader and never written.
    #[serde(skip_deserializing)]
    Unreadable {
        /// Why it cannot be read.
        why: String,
    },
}

impl Event {
    /// The event's name as it stands in the journal.
    pub fn label(&self) -> &'static str {
        self.into()
    }

    /// Returns true if this event pages. Of the holds in an entry only new ones page; the fold decides that.
    pub fn pages(&self) -> bool {
        if let Self::RevertIntended { cause, .. } | Self::RevertPerformedUnjournaled { cause, .. } =
            self
        {
            // The person who asked for it is awake, and is told by the command.
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
/// JSON keys are text, and serde, which buffers an event until it has seen its `type`, does not turn buffered text into
/// numbers.
fn by_index<'de, D, V>(deserializer: D) -> Result<BTreeMap<usize, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    let mut parsed = BTreeMap::new();
    for (text, value) in BTreeMap::<String, V>::deserialize(deserializer)? {
        let Ok(index) = text.parse() else {
            let message = format!("`{text}` is not a group's index");
            return Err(serde::de::Error::custom(message));
        };
        parsed.insert(index, value);
    }
    Ok(parsed)
}
