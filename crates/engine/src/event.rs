//! Events: facts that have happened. The journal holds nothing else, and folding them gives the state.
//!
//! The name of an event is a noun and a past participle. In JSON `type` is the same name in snake case. Later versions
//! only add fields.

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

/// One journal entry: an event with its author and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The cutover that the entry is about, which is also the name of its stream; `@fleet` for the fleet's entries.
    pub cutover: CutoverName,
    /// The cutover's attempt that the entry belongs to, from 1.
    pub attempt: u32,
    /// The entry's number in its stream: from 1, without gaps, and never restarting.
    pub seq: u64,
    /// The entry's time: the later of the writer's clock and the time of the entry before it (semantics D3).
    pub at: Timestamp,
    /// The entry's author: `controller ID` or `user@host`.
    pub actor: String,
    /// The version of the entry's format; see [`JOURNAL_VERSION`].
    pub version: u32,
    /// The event that happened.
    pub event: Event,
}

/// The format version of the entries that this program writes. It reads this version and all earlier ones.
pub const JOURNAL_VERSION: u32 = 1;

/// The part of an intended write that concerns one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The group's index in the plan's `records`, from 0.
    pub group: usize,
    /// The group's hosted zone.
    pub zone: ZoneId,
    /// The image that was read before the write, with the weights at that time.
    pub from: GroupImage,
    /// The weights that are written.
    pub to: WeightPair,
}

/// How a revert writes the baseline's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertMode {
    /// Compare-and-swap: DELETE of the image as read and CREATE with the baseline's weights. Changes by others are not
    /// overwritten.
    Swap,
    /// UPSERT of the last verified images with the baseline's weights. Changes by others are overwritten.
    Force,
}

/// A fact that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Event {
    /// A controller accepted the plan: it is new, or has changed before this attempt's first write.
    PlanAccepted {
        /// The plan, with the text and path of its file.
        source: Box<PlanSource>,
    },
    /// A step's weights are about to be written. The entry precedes the write.
    WeightChangeIntended {
        /// The ID of the write, which replies to it carry.
        write_id: WriteId,
        /// The only process that may send the write.
        owner: ControllerId,
        /// The last moment at which the write may be sent (semantics A1).
        perform_by: Timestamp,
        /// The step's number, from 1.
        step: u16,
        /// The groups that are to move, each with its weights before and after.
        targets: Vec<Target>,
        /// The images that a revert goes back to, in the plan's order. `None` unless this is the first step of the
        /// first attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Vec<GroupImage>>,
    },
    /// Route 53 accepted one batch of a write.
    WeightChangeSubmitted {
        /// The ID of the write: of a step, a resubmission or a revert.
        write_id: WriteId,
        /// The hosted zone that the batch was sent to.
        zone: ZoneId,
        /// The groups in the batch, by index in the plan's `records`.
        groups: Vec<usize>,
        /// The ID of the change, whose status `GetChange` returns.
        change_id: ChangeId,
        /// The time in the reply's `Date` header, by AWS's clock. `None` if the reply had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_time: Option<Timestamp>,
    },
    /// Route 53 refused one batch of a write, or its reply was lost, or the batch was never sent.
    WeightChangeFailed {
        /// The ID of the write: of a step, a resubmission or a revert.
        write_id: WriteId,
        /// The hosted zone of the batch.
        zone: ZoneId,
        /// The groups in the batch, by index in the plan's `records`.
        groups: Vec<usize>,
        /// The class of the failure, which says if the write may still have happened and if another try can help.
        class: FailureClass,
        /// The message of the failure, for people.
        message: String,
    },
    /// A write did not happen, in part or in whole, and can no longer happen.
    WeightChangeAbandoned {
        /// The ID of the write.
        write_id: WriteId,
        /// The groups that did move, by index, with their images as read.
        #[serde(deserialize_with = "by_index")]
        moved: BTreeMap<usize, GroupImage>,
        /// The groups, by index, that Route 53 had accepted and that somebody else changed before they were read back.
        /// From now on the step's weights are expected in them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        landed: Vec<usize>,
        /// Why the write was abandoned, for people.
        reason: String,
    },
    /// The step's weights were read back in all groups.
    WeightsVerified {
        /// The ID of the write that set these weights.
        write_id: WriteId,
        /// The step's number, from 1.
        step: u16,
        /// The images of all groups as read, in the plan's order.
        images: Vec<GroupImage>,
    },
    /// A change can no longer be followed. The same images are written again, unchanged, to get a new change ID
    /// (semantics A6).
    ChangeLost {
        /// The ID of the resubmission, which replies to it carry.
        write_id: WriteId,
        /// The ID of the change that Route 53 no longer knows. `None` if the groups are part of no change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change_id: Option<ChangeId>,
        /// The groups that are written again, by index in the plan's `records`.
        groups: Vec<usize>,
    },
    /// A change is on all of Route 53's servers (INSYNC).
    ChangeInSync {
        /// The ID of the change.
        change_id: ChangeId,
    },
    /// The TTLs of aliases to records of their own zone were read. Resolvers keep answers for these times (semantics
    /// L11).
    AliasTtlsRead {
        /// The TTL of each alias target.
        ttls: Vec<AliasTtl>,
    },
    /// Settling is over, and the step's bake begins.
    BakeStarted {
        /// The step's number, from 1.
        step: u16,
    },
    /// All gates pass, for the first time in this bake or after a stop. The bake clock runs from this entry on.
    GatesPassed {},
    /// The bake clock was counted up to a reading. It stops unless `running` is true.
    BakeCounted {
        /// The time of the last reading at which all gates passed.
        until: Timestamp,
        /// True if all gates still pass and the clock goes on.
        running: bool,
    },
    /// A group has another share than the step that settles or bakes. The step's weights are written again, and its
    /// bake begins anew (semantics L5).
    StepReopened {
        /// The step's number, from 1.
        step: u16,
    },
    /// The step's bake is over, and every gate passed at its end.
    StepCompleted {
        /// The step's number, from 1.
        step: u16,
    },
    /// The holds changed.
    StepHeld {
        /// All holds, most urgent first. Empty if nothing holds the cutover any longer.
        because: Vec<HoldReason>,
    },
    /// A gate, or a fallback alarm, cannot be judged from this entry on.
    GateUnknown {
        /// The gate, of any kind.
        alarm: GateId,
        /// Why it cannot be judged, for people.
        reason: String,
    },
    /// A gate, or a fallback alarm, can be judged again.
    GateKnown {
        /// The gate, of any kind.
        alarm: GateId,
    },
    /// The requests, and the comparison of both sides, were counted up to a minute. Only later minutes are read again.
    EvidenceCounted {
        /// The counts so far.
        tally: Box<Tally>,
    },
    /// A change of an alarm's state was judged. It is not judged again, also not after a restart (semantics C3).
    AlarmJudged {
        /// The alarm whose state changed.
        alarm: AlarmId,
        /// The time of that change, by AWS's clock. All changes up to it count as judged.
        transitioned_at: Timestamp,
        /// True if the alarm was in ALARM.
        red: bool,
    },
    /// A person allows the cutover to start although this alarm is red (semantics C5).
    AlarmIgnored {
        /// The alarm that is ignored until it is first read OK.
        alarm: AlarmId,
        /// The reason that the person gave.
        reason: String,
    },
    /// An ignored alarm was read OK. From now on it is armed like any gate.
    AlarmArmed {
        /// The alarm that is no longer ignored.
        alarm: AlarmId,
    },
    /// Somebody else changed groups.
    DriftDetected {
        /// The drifted groups by index, each with its image as read. `None` if a member is gone.
        #[serde(deserialize_with = "by_index")]
        groups: BTreeMap<usize, Option<GroupImage>>,
        /// For groups without both members: all records of the group's name and type, by the group's index.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "by_index"
        )]
        members: BTreeMap<usize, Vec<RecordSet>>,
    },
    /// All groups are again as last verified.
    DriftCleared {},
    /// A person accepted the drifted images as the new verified ones (semantics B5).
    DriftAdopted {
        /// The accepted images, by the group's index.
        #[serde(deserialize_with = "by_index")]
        images: BTreeMap<usize, GroupImage>,
        /// The reason that the person gave.
        reason: String,
    },
    /// A revert begins. Nothing stops it from now on.
    RevertIntended {
        /// The ID of the revert's writes, which replies to them carry.
        write_id: WriteId,
        /// Why the cutover reverts.
        cause: RevertCause,
        /// How the revert writes the baseline's weights.
        mode: RevertMode,
        /// The services whose gates failed at about the same time. `None` unless there are enough of them to suggest
        /// one cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<SharedFate>,
        /// The values of the metrics at that moment. `None` if the plan watches only alarms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Box<Attribution>>,
    },
    /// A revert was performed while the journal was down. The entry is written when the journal works again (semantics
    /// F2).
    RevertPerformedUnjournaled {
        /// The ID of the revert's writes, which replies to them carry.
        write_id: WriteId,
        /// Why the cutover reverted.
        cause: RevertCause,
        /// The time at which the revert was decided.
        decided_at: Timestamp,
    },
    /// All groups of a reverting cutover were read at the baseline for the first time; or they are no longer there.
    BaselineSeen {
        /// The time of that reading. `None` cancels the earlier one.
        at: Option<Timestamp>,
    },
    /// During a revert, groups were read at weights that this attempt never intended, or without a member; or they no
    /// longer are. A second reading must agree before the revert halts (semantics M5).
    ForeignWeightsSeen {
        /// The groups by index, each with its image as read. `None` if a member is gone. An empty map cancels the
        /// earlier reading.
        #[serde(deserialize_with = "by_index")]
        groups: BTreeMap<usize, Option<GroupImage>>,
        /// The time of the reading, by the reader's clock.
        read_at: Timestamp,
    },
    /// After a revert, members with weight were read that the baseline did not have; or they no longer are there
    /// (semantics L6).
    StrayWeightsFound {
        /// These members, with their weights. Empty cancels the earlier reading.
        members: Vec<Stray>,
    },
    /// The revert is over: every group was read at the baseline twice, at least 5 s apart (semantics A3).
    Reverted {
        /// True if the start was cancelled and nothing had ever been written.
        #[serde(default)]
        cancelled: bool,
    },
    /// The cutover is halted: no step is taken until a person decides.
    Halted {
        /// Why the cutover is halted.
        reason: HaltReason,
    },
    /// The cutover is completed: the last step's bake is over, or a person accepted the records found in the last step
    /// as the end.
    Completed {
        /// The records that the person accepted because the old side is gone; there is no revert then. `None` after a
        /// last bake.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adopted: Option<Box<AdoptedEnd>>,
    },
    /// A person ended the cutover without a revert (semantics L8). Nothing more is written, and its records are free
    /// for other cutovers.
    Abandoned {
        /// The reason that the person gave.
        reason: String,
        /// The weights, writes, jobs and hooks that are left as they are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<LeftBehind>,
    },
    /// Written by older versions only: a page for the entry `of` was delivered as far as possible; or the plan's command was
    /// told of its end. Today the cursors of channels say this.
    PageSent {
        /// The number of the entry that pages, or that ends a page.
        of: u64,
        /// True if the page went only to the log, because the plan has neither a command nor a channel for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        logged_only: bool,
        /// The channels that refused the page for good and were skipped, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<String>,
    },
    /// A person paused the cutover: no step is taken.
    PauseRequested {
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person ended the pause.
    ResumeRequested {
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person approved a step with its present weights and bake. A later change of either voids the approval
    /// (semantics E6).
    StepApproved {
        /// The step's number, from 1.
        step: u16,
        /// The step's weights.
        pair: WeightPair,
        /// The step's bake, in seconds.
        bake_secs: i64,
        /// The reason that the person gave.
        reason: String,
        /// The ARN of the approver's AWS identity. `None` if the command had no AWS credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caller_arn: Option<String>,
    },
    /// A person asked to end the bake of a step now.
    BakeSkipRequested {
        /// The number of the step whose bake is to end, from 1.
        step: u16,
        /// The reason that the person gave.
        reason: String,
    },
    /// The controller decided a request to skip a bake. It is granted only if all gates pass at that moment (semantics
    /// D1).
    BakeSkipDecided {
        /// The step's number, from 1.
        step: u16,
        /// True if the bake was skipped.
        skipped: bool,
    },
    /// A person asked for another attempt, for a way out of `halted`, or for new tries of a failed hook (semantics E5).
    RetryRequested {
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person accepted a changed plan file (semantics H2).
    PlanAmended {
        /// The new plan, with the text and path of its file.
        source: Box<PlanSource>,
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person asked to take all traffic back.
    RollbackRequested {
        /// How the revert is to write the baseline's weights.
        mode: RevertMode,
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A hook is about to be called. The entry precedes the call.
    HookIntended {
        /// The hook and the point at which it is called.
        hook: HookId,
        /// The ID of this try, which its answer carries.
        call_id: WriteId,
        /// The only process that makes the call.
        owner: ControllerId,
        /// The number of the try, from 1.
        #[serde(rename = "try")]
        number: u32,
        /// The time by which the call has ended. If it has no answer by then, the hook is called again with the same
        /// idempotency key.
        ends_by: Timestamp,
    },
    /// A call of a hook succeeded.
    HookSucceeded {
        /// The hook and the point at which it was called.
        hook: HookId,
        /// The ID of the try that succeeded.
        call_id: WriteId,
        /// The beginning of the hook's output, without secrets. Empty if there was none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
    },
    /// One try of a hook failed.
    HookFailed {
        /// The hook and the point at which it was called.
        hook: HookId,
        /// The ID of the try that failed.
        call_id: WriteId,
        /// The message of the failure, without secrets.
        message: String,
        /// The beginning of the hook's output, without secrets. Empty if there was none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
        /// True if this was the last try and the cutover goes on without the hook.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        given_up: bool,
    },
    /// The switch of all jobs to one side begins.
    JobSwitchIntended {
        /// The side that is to be on at the end.
        to: JobSide,
    },
    /// A change of jobs: jobs of one side are about to be switched on or off. The entry precedes the calls.
    JobTurnIntended {
        /// The ID of this change of jobs, which its answer carries.
        turn_id: WriteId,
        /// The only process that may send it.
        owner: ControllerId,
        /// The last moment at which it may be sent.
        perform_by: Timestamp,
        /// The time after which it can no longer take effect.
        lands_by: Timestamp,
        /// The side whose jobs are switched.
        side: JobSide,
        /// True to switch them on, false to switch them off.
        on: bool,
        /// The jobs, by index in the plan.
        jobs: Vec<usize>,
        /// The names of these jobs. Empty in entries of older versions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
    /// The replies to a change of jobs came in, or were lost. All jobs that are not in `failed` were accepted.
    JobTurnAnswered {
        /// The ID of the change of jobs.
        turn_id: WriteId,
        /// The jobs, by index, that were refused or whose reply was lost.
        #[serde(
            default,
            skip_serializing_if = "BTreeMap::is_empty",
            deserialize_with = "by_index"
        )]
        failed: BTreeMap<usize, JobFailure>,
    },
    /// The jobs of a change were read back, which shows its result.
    JobTurnResolved {
        /// The ID of the change of jobs.
        turn_id: WriteId,
        /// The jobs of that change that are on now, by index in the plan. Its other jobs are off.
        on: Vec<usize>,
    },
    /// Every job of the side that is left was read off. Neither side runs until the jobs of the other side are on.
    JobsOff {
        /// The side that is off.
        side: JobSide,
    },
    /// No run of a job is still under way on the side that is left.
    JobsDrained {
        /// The side that is off.
        side: JobSide,
    },
    /// The switch is done: every job of one side was read on, and every job of the other side off.
    JobsMoved {
        /// The side that is on.
        to: JobSide,
    },
    /// The limits of `fleet.yaml` were read and differ from before. This event and all below it are entries of
    /// `@fleet`.
    FleetSettingsAccepted {
        /// The new limits.
        settings: FleetSettings,
        /// The absolute path of that file.
        path: String,
    },
    /// A cutover takes its first step. Written in the same append as that step, so that two controllers cannot both
    /// take the last slot.
    FleetSlotTaken {
        /// The cutover that takes the slot.
        of: CutoverName,
    },
    /// The automatic reverts have used up the failure budget: no cutover takes a step.
    FleetBudgetSpent {
        /// The number of automatic reverts since a person last resumed the fleet.
        spent: usize,
        /// The failure budget: the number of automatic reverts that stops the fleet.
        budget: u32,
        /// The first reverted cutovers by name, at most [`NAMED_MAX`](super::lists::NAMED_MAX).
        reverted: Vec<CutoverName>,
        /// The services that failed at about the same time. `None` unless there are enough of them to suggest one
        /// cause.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<SharedFate>,
    },
    /// Written by older versions only: several cutovers wait for a person, probably for one cause; this paged, and their own
    /// holds did not. Today such pages are told together when they are delivered.
    FleetHeld {
        /// The hold of the first cutover in `named`.
        reason: HoldReason,
        /// The number of cutovers that wait.
        services: usize,
        /// The first of these cutovers by name, at most [`NAMED_MAX`](super::lists::NAMED_MAX).
        named: Vec<CutoverName>,
        /// The time at which the first of those holds began for which nobody was paged yet.
        since: Timestamp,
    },
    /// A person froze the fleet: no cutover takes a step.
    FleetFrozen {
        /// The end of the freeze. `None` if it lasts until a person ends it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The reason that the person gave.
        reason: String,
    },
    /// A person ended the freeze.
    FleetUnfrozen {
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A person reviewed the automatic reverts and resumed the fleet.
    FleetResumed {
        /// The reason that the person gave.
        reason: String,
        /// The reverts that no longer count against the budget: for each cutover, all up to this entry of its stream.
        forgiven: BTreeMap<CutoverName, u64>,
    },
    /// An entry of a cutover's stream cannot be read, or cannot follow the entries before it (semantics L4). This entry
    /// pages. Nothing more is written to the damaged stream.
    CutoverDamaged {
        /// The cutover whose stream is damaged.
        of: CutoverName,
        /// The number of the first entry of that stream that cannot be used.
        entry: u64,
        /// Why that entry cannot be used, for people.
        why: String,
    },
    /// On a person's request, the stored baseline of a cutover with a damaged stream was written to Route 53 (semantics
    /// L4).
    DamagedTakenBack {
        /// The cutover whose stream is damaged.
        of: CutoverName,
        /// The number of groups that were read back at the baseline.
        back: usize,
        /// The number of groups in the baseline.
        groups: usize,
        /// The reason that the person gave. `None` if no reason was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Stands for an entry that this program cannot read, because its type or version is newer or its text is damaged.
    /// The reader makes it; it is never written.
    #[serde(skip_deserializing)]
    Unreadable {
        /// Why the entry cannot be read, for people.
        why: String,
    },
}

impl Event {
    /// Returns the event's name: its `type` in the journal.
    pub fn label(&self) -> &'static str {
        self.into()
    }

    /// Returns true if this event pages by itself. For holds, which page only if they are new, see `State::pages_anew`.
    pub fn pages(&self) -> bool {
        if let Self::RevertIntended { cause, .. } | Self::RevertPerformedUnjournaled { cause, .. } =
            self
        {
            // The person who asked for this revert is awake, and the command reports it.
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

/// Deserializes a map whose keys are the indexes of groups or jobs.
///
/// The keys of a JSON object are texts. Serde buffers an event until it knows its `type`, and does not convert buffered
/// texts to numbers.
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
