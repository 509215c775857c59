//! The state of a cutover: the fold of its events.
//!
//! [`State`] only keeps facts, which `decide` interprets. The fold itself is in [`super::fold`].

pub(crate) mod phase;
mod settling;

pub use phase::Phase;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::account::Account;
use super::around::AliasTtls;
use super::drifted::Astray;
use super::event::{Envelope, Event, FailureClass, RevertMode, SendOutcome, Target};
use super::evidence::gate::GateId;
use super::evidence::tally::MetricFacts;
use super::hold::{HaltReason, HoldReason, RevertCause, SAME_HOLD_WITHIN};
use super::hooks::{HookId, HookRun};
use super::jobs::JobsState;
use super::paged::{OpenPages, Paged};
use super::plan::{Plan, PlanSource};
use super::record::{GroupImage, RecordSet};
use super::strays::Stray;
use super::units::{AlarmId, ChangeId, ControllerId, CutoverName, WeightPair, WriteId, ZoneId};

/// The time by which the first write is dated back. The `Date` of AWS's replies has a resolution of a second, and
/// alarms carry the clock of another service (semantics C3).
pub const FIRST_WRITE_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// The facts that the journal has about one cutover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The cutover's name.
    pub name: CutoverName,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The number of the last entry. The next append is conditional on it.
    pub seq: u64,
    /// The time of the last entry.
    pub last_at: Timestamp,
    /// The plan in force, with the text and path of its file.
    pub source: PlanSource,
    /// How far the cutover is.
    pub phase: Phase,
    /// The time at which the phase began.
    pub phase_since: Timestamp,
    /// The pause. `None` unless a person has paused the cutover.
    pub paused: Option<Pause>,
    /// The number of the step last intended, from 1; 0 before the first write and after a revert.
    pub step: u16,
    /// The number of the last step of this attempt whose weights were read back in all groups; 0 if there is none.
    pub verified_step: u16,
    /// True while the last verified step is written again because a group has another share (semantics L5).
    pub writing_again: bool,
    /// The time at which the current step was first intended. `None` before the first step.
    pub step_began_at: Option<Timestamp>,
    /// The time at which the last write was abandoned. `None` if it was not, or if no reply to it ever came.
    pub abandoned_at: Option<Timestamp>,
    /// The message of the last refusal or loss of that write. `None` if there was none.
    pub abandoned_for: Option<String>,
    /// The images that a revert goes back to, in the plan's order. `None` before the first intended write.
    pub baseline: Option<Vec<GroupImage>>,
    /// The images last verified in this attempt, in the plan's order. Before the first verification, the images that
    /// were read for the first write. `None` before that.
    pub verified: Option<Vec<GroupImage>>,
    /// The TTLs of aliases to records of their own zone, as last read.
    pub alias_ttls: AliasTtls,
    /// All pairs of weights that this attempt intended, by the group's index. A revert may overwrite these.
    pub intended: BTreeMap<usize, BTreeSet<WeightPair>>,
    /// The time of this attempt's first write, by AWS's clock, less a minute. Alarms that changed later may have been
    /// red between two readings. `None` before the first write.
    pub first_write: Option<Timestamp>,
    /// The intended write that is not resolved. `None` if there is none.
    pub write: Option<Write>,
    /// The changes that Route 53 accepted for the current step.
    pub changes: BTreeMap<ChangeId, SubmittedChange>,
    /// The last resubmission of the current step's images. `None` if there was none.
    pub resubmission: Option<Resubmission>,
    /// The bake clock of the last verified step.
    pub bake: Bake,
    /// The gates and fallback alarms that are Unknown, each with the time since which.
    pub unknown: BTreeMap<GateId, Timestamp>,
    /// The counts and values of the metric gates.
    pub measured: MetricFacts,
    /// The time of the last judged change of state of each alarm, by AWS's clock.
    pub judged: BTreeMap<AlarmId, Timestamp>,
    /// The alarms that a person allows to be red until they are first read OK.
    pub ignored: BTreeSet<AlarmId>,
    /// The approvals given in this attempt, by the step's number.
    pub approvals: BTreeMap<u16, StepApproval>,
    /// The step that waits for approval, and the time at which that was first journaled. `None` if none has waited
    /// since the plan last changed.
    pub approval_asked: Option<(u16, Timestamp)>,
    /// The step whose bake a person asked to end. `None` if nobody asked.
    pub skip_requested: Option<u16>,
    /// The groups that somebody else changed, by index, with their images as read. An image is `None` if a member is
    /// gone. `None` as a whole if nothing has drifted.
    pub drift: Option<BTreeMap<usize, Option<GroupImage>>>,
    /// All records of the drifted groups that lack one of their members, by the group's index.
    pub found: BTreeMap<usize, Vec<RecordSet>>,
    /// The rollback that a person requested and that has not begun. `None` if there is none.
    pub rollback: Option<RequestedRollback>,
    /// The revert that is under way, or the last one. `None` if there was none in this attempt.
    pub revert: Option<Revert>,
    /// The members that held weight after a revert although the baseline did not have it, as last read.
    pub strays: Vec<Stray>,
    /// The progress of each hook of this attempt that was called.
    pub hooks: BTreeMap<HookId, HookRun>,
    /// The progress of the jobs in this attempt.
    pub jobs: JobsState,
    /// Why the cutover is halted. `None` if it is not.
    pub halt: Option<HaltReason>,
    /// The holds as last journaled, most urgent first.
    pub held: Vec<HoldReason>,
    /// The time of the entry that journaled the holds. `None` if there was none.
    pub held_at: Option<Timestamp>,
    /// The subjects of the holds that ended within the last [`SAME_HOLD_WITHIN`], with the times of their ends. A hold
    /// that comes back within that time is the same hold, and pages nobody again.
    pub ended_holds: BTreeMap<HoldReason, Timestamp>,
    /// The entries that page. The cursors of channels say who has been told of them.
    pub pages: BTreeSet<u64>,
    /// The pages whose cause is not over.
    pub open_pages: OpenPages,
}

/// A pause, which a person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The person who asked for the pause.
    pub actor: String,
    /// The reason that the person gave. `None` if no reason was given.
    pub reason: Option<String>,
    /// The time of the request.
    pub at: Timestamp,
}

/// An intended write that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The ID of the write, which replies to it carry.
    pub write_id: WriteId,
    /// The only process that may send the write.
    pub owner: ControllerId,
    /// The last moment at which the write may be sent.
    pub perform_by: Timestamp,
    /// The number of the step, from 1.
    pub step: u16,
    /// The groups that are to move, each with its weights before and after.
    pub targets: Vec<Target>,
    /// The reply for each group, by index. A lost reply stays here unless a later send is accepted. Groups without a
    /// reply are missing.
    pub answers: BTreeMap<usize, SendOutcome>,
    /// The number of lost replies to this write.
    pub losses: u32,
    /// The time at which a reply was last lost, by the journal's clock. `None` if none was.
    pub lost_at: Option<Timestamp>,
}

impl Write {
    /// Returns true if it is known of every group whether Route 53 accepted or refused it.
    pub fn is_answered(&self) -> bool {
        self.targets.iter().all(|target| {
            matches!(
                self.answers.get(&target.group),
                Some(SendOutcome::Accepted | SendOutcome::Refused(..))
            )
        })
    }

    /// Returns true if Route 53 accepted the write for this group. Then it took effect, whatever is read afterwards.
    pub fn is_accepted(&self, group: usize) -> bool {
        self.answers.get(&group) == Some(&SendOutcome::Accepted)
    }

    /// Returns the message of a refusal or loss, for people. `None` if there was none.
    pub fn trouble(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            SendOutcome::Refused(_, message) | SendOutcome::Lost(message) => Some(message.as_str()),
            SendOutcome::Accepted => None,
        })
    }

    /// Returns the message of a refusal that would be the same if the write were sent again. `None` if there is none.
    pub fn refused_for_good(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            SendOutcome::Refused(FailureClass::Denied | FailureClass::Permanent, message) => {
                Some(message.as_str())
            }
            SendOutcome::Refused(..) | SendOutcome::Lost(_) | SendOutcome::Accepted => None,
        })
    }
}

/// A change that Route 53 accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmittedChange {
    /// The hosted zone of the change.
    pub zone: ZoneId,
    /// The groups that the change writes, by index.
    pub groups: Vec<usize>,
    /// The time at which it was accepted, by the journal's clock.
    pub submitted_at: Timestamp,
    /// The time at which the change was read on all of Route 53's servers. `None` if it was not yet.
    pub in_sync_at: Option<Timestamp>,
}

/// A write of unchanged images, made to get a change that can be followed (semantics A6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resubmission {
    /// The ID of the resubmission, which replies to it carry.
    pub write_id: WriteId,
    /// The groups that are written again, by index.
    pub groups: Vec<usize>,
    /// The time at which it was decided.
    pub at: Timestamp,
}

/// The bake clock of a step: the time for which all gates have passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bake {
    /// The time counted so far, up to `running_since`.
    pub counted: SignedDuration,
    /// The time from which the clock runs on. `None` while it is stopped.
    pub running_since: Option<Timestamp>,
    /// True if the bake is over.
    pub over: bool,
}

impl Bake {
    /// Returns the counted time as of `now`, if all gates have passed until then.
    pub fn counted_at(&self, now: Timestamp) -> SignedDuration {
        let running = self
            .running_since
            .map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        self.counted + running.max(SignedDuration::ZERO)
    }
}

/// An approval of a step, which holds only for this weight and bake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepApproval {
    /// The person who approved the step.
    pub actor: String,
    /// The step's weights at the time of the approval.
    pub pair: WeightPair,
    /// The step's bake at the time of the approval, in seconds.
    pub bake_secs: i64,
}

/// A rollback that a person requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedRollback {
    /// The person who requested it.
    pub actor: String,
    /// The reason that the person gave. `None` if no reason was given.
    pub reason: Option<String>,
    /// How the revert is to write the baseline's weights.
    pub mode: RevertMode,
}

/// A revert that is under way or over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The ID of the revert's writes, which replies to them carry.
    pub write_id: WriteId,
    /// Why the cutover reverts.
    pub cause: RevertCause,
    /// How the revert writes the baseline's weights.
    pub mode: RevertMode,
    /// The time at which it was decided.
    pub at: Timestamp,
    /// The number of the step whose weights are taken back.
    pub step: u16,
    /// The time at which all groups were first read at the baseline. `None` if they were not, or are no longer there.
    pub baseline_seen: Option<Timestamp>,
    /// The weights of others that the last reading found. `None` if it found none.
    pub foreign: Option<ForeignSeen>,
    /// The groups of which Route 53 accepted a write, by index, with the time of the last one.
    pub submitted: BTreeMap<usize, Timestamp>,
    /// The message of the last refusal or loss, for people. `None` if there was none since a write was last accepted.
    pub trouble: Option<String>,
    /// The class of the last failure. `None` if there was none.
    pub failed_class: Option<FailureClass>,
    /// The number of refusals and losses since a write was last accepted.
    pub failures: u32,
    /// The time of the last refusal or loss. `None` if there was none since a write was last accepted.
    pub failed_at: Option<Timestamp>,
}

/// Weights that somebody else wrote, as read during a revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignSeen {
    /// The groups by index, each with its image as read. `None` if a member was gone.
    pub groups: BTreeMap<usize, Option<GroupImage>>,
    /// The time of the first reading that found them, by the reader's clock.
    pub read_at: Timestamp,
}

impl State {
    /// Returns the plan in force.
    pub fn plan(&self) -> &Plan {
        &self.source.plan
    }

    /// Returns the account in which a change was made.
    pub fn account_of(&self, change: &SubmittedChange) -> &Account {
        let group = change.groups.first().copied().unwrap_or_default();
        self.plan().account_of_group(group)
    }

    /// Returns the time at which the last of the current step's changes was in sync. `None` if there is no change, or
    /// if one is not in sync.
    pub fn changes_in_sync_at(&self) -> Option<Timestamp> {
        let mut last: Option<Timestamp> = None;
        for change in self.changes.values() {
            last = last.max(Some(change.in_sync_at?));
        }
        last
    }

    /// Returns the images that a revert goes back to, each with the account of its zone. Empty before the first
    /// intended write.
    pub fn way_back(&self) -> Vec<(Account, GroupImage)> {
        let mut images = Vec::new();
        for (index, image) in self.baseline.iter().flatten().enumerate() {
            let account = self.plan().account_of_group(index).clone();
            images.push((account, image.clone()));
        }
        images
    }

    /// Returns the drifted groups, each with the weights that were expected and the records that were found.
    pub fn astray(&self) -> Vec<Astray> {
        let mut all = Vec::new();
        for (index, image) in self.drift.iter().flatten() {
            let verified = self.verified.as_ref().and_then(|images| images.get(*index));
            if let (Some(group), Some(verified)) = (self.plan().records.get(*index), verified) {
                let members = self.found.get(index).map_or(&[][..], Vec::as_slice);
                all.push(Astray::of(group, verified, image.as_ref(), members));
            }
        }
        all
    }

    /// Returns true if a hold on this subject ended less than [`SAME_HOLD_WITHIN`] ago, so that a new one counts as the
    /// same hold.
    pub fn has_ended_lately(&self, subject: &HoldReason, now: Timestamp) -> bool {
        let ended = self.ended_holds.get(subject);
        ended.is_some_and(|at| now.duration_since(*at) < SAME_HOLD_WITHIN)
    }

    /// Returns the hooks that hold the cutover because all their tries have failed.
    pub fn failed_hooks(&self) -> Vec<HookId> {
        let mut failed = Vec::new();
        for (id, run) in &self.hooks {
            let Some(hook) = self.plan().hook(*id) else {
                continue;
            };
            if run.failures >= hook.tries() && !run.done && id.point.can_hold() {
                failed.push(*id);
            }
        }
        failed
    }

    /// Returns the holds in an entry that page: those that a person must end, and that are new in this entry.
    pub fn pages_anew(&self, entry: &Envelope) -> Vec<HoldReason> {
        let Event::StepHeld { because } = &entry.event else {
            return Vec::new();
        };
        let mut known: BTreeSet<HoldReason> = self.held.iter().map(HoldReason::subject).collect();
        if let Some(reason) = self.halt.clone() {
            // The halt has already paged as an event.
            known.insert(HoldReason::Halted { reason }.subject());
        }
        let mut anew = Vec::new();
        for reason in because {
            let subject = reason.subject();
            let same = known.contains(&subject) || self.has_ended_lately(&subject, entry.at);
            if reason.pages() && !same {
                anew.push(reason.clone());
            }
        }
        anew
    }

    /// Returns the causes of the holds in an entry that page, if other cutovers may have all of them too; empty if one of
    /// them concerns this cutover alone, or none pages.
    pub fn common_causes(&self, entry: &Envelope) -> Vec<HoldReason> {
        let mut causes = BTreeSet::new();
        for reason in self.pages_anew(entry) {
            let Some(cause) = reason.common() else {
                return Vec::new();
            };
            causes.insert(cause);
        }
        causes.into_iter().collect()
    }

    /// Returns the holds in an entry that paged earlier, ended, and came back so soon that they page nobody again.
    pub fn pages_again(&self, entry: &Envelope) -> Vec<HoldReason> {
        let mut again = Vec::new();
        if let Event::StepHeld { because } = &entry.event {
            let anew = self.pages_anew(entry);
            for reason in because {
                if self.is_back(reason) && !anew.contains(reason) {
                    again.push(reason.clone());
                }
            }
        }
        if matches!(entry.event, Event::DriftDetected { .. }) {
            for reason in &self.held {
                if matches!(reason, HoldReason::Drift { .. }) && self.is_back(reason) {
                    again.push(reason.clone());
                }
            }
        }
        again
    }

    /// Returns true if a hold is of a kind that pages and has no open page. A halt pages as an event and does not count.
    fn is_back(&self, reason: &HoldReason) -> bool {
        let halted = matches!(reason, HoldReason::Halted { .. });
        reason.pages() && !halted && !self.open_pages.has(&reason.subject())
    }

    /// Returns the open pages that an entry ends.
    pub fn settles(&self, entry: &Envelope) -> Vec<Paged> {
        self.open_pages.settled_by(&entry.event)
    }

    /// Returns true if this attempt has intended a write that may have reached Route 53.
    pub fn has_started(&self) -> bool {
        self.first_write.is_some()
    }

    /// Returns true if every group was last verified at the weights of the last verified step. The bake counts only
    /// then (semantics L5).
    pub fn is_at_its_share(&self) -> bool {
        let pair = self.plan().step(self.verified_step).map(|step| step.pair);
        let mut images = self.verified.iter().flatten();
        images.all(|image| Some(image.pair()) == pair)
    }

    /// Returns true if at least one group was last verified at the weights of the current step.
    pub fn has_moved_in_step(&self) -> bool {
        let pair = self.plan().step(self.step).map(|step| step.pair);
        let mut images = self.verified.iter().flatten();
        images.any(|image| Some(image.pair()) == pair)
    }

    /// Returns true if the old side gets no traffic by the last verified weights.
    pub fn old_is_idle(&self) -> bool {
        let Some(images) = &self.verified else {
            return false;
        };
        images.iter().all(|image| image.pair().old.0 == 0)
    }

    /// Returns the weights that group `index` is meant to have: those of the current step, or the baseline's during and
    /// after a revert. `None` if there is neither a step nor a baseline.
    pub fn intended_pair(&self, index: usize) -> Option<WeightPair> {
        let of_step = match self.phase {
            Phase::Reverting | Phase::Reverted => None,
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Completed
            | Phase::Halted
            | Phase::Abandoned => self.plan().step(self.step),
        };
        if let Some(step) = of_step {
            return Some(step.pair);
        }
        let baseline = self.baseline.as_ref()?;
        baseline.get(index).map(GroupImage::pair)
    }

    /// Returns the time until which step `number`, which waits for its approval, may be approved; it may be past.
    /// `None` if the plan sets no timeout or the step does not wait.
    pub fn approval_ends_at(&self, number: u16) -> Option<Timestamp> {
        let timeout = self.plan().step(number)?.approval_timeout?;
        let (asked, since) = self.approval_asked?;
        if asked != number {
            return None;
        }
        since.checked_add(timeout.after).ok()
    }

    /// Returns true if step `number` needs no approval, or has one for its present weights and bake. False for a step
    /// that the plan does not have.
    pub fn is_approved(&self, number: u16) -> bool {
        let Some(step) = self.plan().step(number) else {
            return false;
        };
        if !step.approval {
            return true;
        }
        let Some(approval) = self.approvals.get(&number) else {
            return false;
        };
        approval.pair == step.pair && approval.bake_secs == step.bake.as_secs()
    }
}
