//! The state of a cutover: exactly the fold of its events.
//!
//! `State` only keeps facts; `decide` interprets them. The fold is in [`super::fold`].

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

/// The time by which the first write is dated back: AWS's `Date` has a resolution of a second, and alarms carry
/// their own service's clock (semantics C3).
pub const FIRST_WRITE_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// The facts that the journal has about one cutover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The cutover.
    pub name: CutoverName,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The last entry's number; the next append is conditional on it.
    pub seq: u64,
    /// The last entry's time.
    pub last_at: Timestamp,
    /// The plan in force, with its text and path.
    pub source: PlanSource,
    /// The phase.
    pub phase: Phase,
    /// The time at which the phase began.
    pub phase_since: Timestamp,
    /// Set while a person has paused it.
    pub paused: Option<Pause>,
    /// The step last intended, from 1; 0 before the first write and after a revert.
    pub step: u16,
    /// The last step of this attempt whose weights were read back in all groups; 0 for none.
    pub verified_step: u16,
    /// Set while the last verified step is written again, because a group has another share (semantics L5).
    pub writing_again: bool,
    /// The time at which the current step was first intended.
    pub step_began_at: Option<Timestamp>,
    /// The time at which the last write was abandoned, if it was and Route 53 had answered it.
    pub abandoned_at: Option<Timestamp>,
    /// The last refusal or loss of that write.
    pub abandoned_for: Option<String>,
    /// The images that a revert goes back to, in the plan's order.
    pub baseline: Option<Vec<GroupImage>>,
    /// The images last verified in this attempt (before the first verification: as read for the first write).
    pub verified: Option<Vec<GroupImage>>,
    /// The TTLs of aliases to records of their own zone.
    pub alias_ttls: AliasTtls,
    /// Every pair of weights that this attempt intended, by group. A revert may overwrite these.
    pub intended: BTreeMap<usize, BTreeSet<WeightPair>>,
    /// The time of this attempt's first write, by AWS's clock, less a minute; alarms that changed later may have flapped.
    pub first_write: Option<Timestamp>,
    /// The intended write that is not resolved.
    pub write: Option<Write>,
    /// The submitted changes of the current step.
    pub changes: BTreeMap<ChangeId, SubmittedChange>,
    /// The last resubmission of the current step.
    pub resubmission: Option<Resubmission>,
    /// The bake clock.
    pub bake: Bake,
    /// The time since which each gate and fallback alarm has been Unknown.
    pub unknown: BTreeMap<GateId, Timestamp>,
    /// The counts of the metric gates.
    pub measured: MetricFacts,
    /// The last change of state of each alarm that has been judged (AWS's clock).
    pub judged: BTreeMap<AlarmId, Timestamp>,
    /// The alarms that a person allows to be red until they are first read OK.
    pub ignored: BTreeSet<AlarmId>,
    /// The approvals given in this attempt.
    pub approvals: BTreeMap<u16, StepApproval>,
    /// The step that waits for approval, and the time at which that was first journaled.
    pub approval_asked: Option<(u16, Timestamp)>,
    /// The step whose bake a person wants to end.
    pub skip_requested: Option<u16>,
    /// The groups that somebody else changed, as read; no image if a member is gone.
    pub drift: Option<BTreeMap<usize, Option<GroupImage>>>,
    /// All records of the drifted groups that lack one of their members.
    pub found: BTreeMap<usize, Vec<RecordSet>>,
    /// The rollback that a person requested and that is not yet under way.
    pub rollback: Option<RequestedRollback>,
    /// The revert that is under way, or the last one.
    pub revert: Option<Revert>,
    /// The members beside the baseline's that held weight when the groups were last read after a revert.
    pub strays: Vec<Stray>,
    /// The progress of each hook of this attempt.
    pub hooks: BTreeMap<HookId, HookRun>,
    /// The progress of the jobs in this attempt.
    pub jobs: JobsState,
    /// The reason of the halt, if it is halted.
    pub halt: Option<HaltReason>,
    /// The holds as last journaled.
    pub held: Vec<HoldReason>,
    /// The time of that entry.
    pub held_at: Option<Timestamp>,
    /// The subjects of holds that ended in this attempt, and when: one that comes back soon is the same hold, and pages
    /// nobody again.
    pub ended_holds: BTreeMap<HoldReason, Timestamp>,
    /// The entries that page. The cursors of channels say who has been told of them.
    pub pages: BTreeSet<u64>,
    /// The pages whose cause is not over.
    pub open_pages: OpenPages,
}

/// A person's pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The person who asked for it.
    pub actor: String,
    /// The reason given.
    pub reason: Option<String>,
    /// The time of the request.
    pub at: Timestamp,
}

/// An intended write that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Identifies it in replies.
    pub write_id: WriteId,
    /// The only process that may send it.
    pub owner: ControllerId,
    /// The last moment at which it may be sent.
    pub perform_by: Timestamp,
    /// The step.
    pub step: u16,
    /// Each group's part.
    pub targets: Vec<Target>,
    /// The answers, by group.
    pub answers: BTreeMap<usize, SendOutcome>,
    /// The number of lost replies to it.
    pub losses: u32,
    /// The time at which a reply was last lost, by the journal's clock.
    pub lost_at: Option<Timestamp>,
}

impl Write {
    /// Returns true if every group has an answer that leaves no doubt.
    pub fn is_answered(&self) -> bool {
        self.targets.iter().all(|target| {
            matches!(
                self.answers.get(&target.group),
                Some(SendOutcome::Accepted | SendOutcome::Refused(..))
            )
        })
    }

    /// Returns true if Route 53 accepted this group's part: it took effect, whatever is read afterwards.
    pub fn is_accepted(&self, group: usize) -> bool {
        self.answers.get(&group) == Some(&SendOutcome::Accepted)
    }

    /// The last refusal or loss, for people.
    pub fn trouble(&self) -> Option<&str> {
        self.answers.values().find_map(|answer| match answer {
            SendOutcome::Refused(_, message) | SendOutcome::Lost(message) => Some(message.as_str()),
            SendOutcome::Accepted => None,
        })
    }

    /// Returns the message of a refusal that would be the same if the write were sent again.
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
    /// Its zone.
    pub zone: ZoneId,
    /// Its groups, by index.
    pub groups: Vec<usize>,
    /// The time at which it was accepted.
    pub submitted_at: Timestamp,
    /// The time at which it was read in sync, on all of Route 53's servers.
    pub in_sync_at: Option<Timestamp>,
}

/// Unchanged images that are written again to get a change that can be awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resubmission {
    /// Identifies it in replies.
    pub write_id: WriteId,
    /// The groups, by index.
    pub groups: Vec<usize>,
    /// The time of the decision.
    pub at: Timestamp,
}

/// The bake clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bake {
    /// The time counted so far, up to `running_since`.
    pub counted: SignedDuration,
    /// Set while all gates pass.
    pub running_since: Option<Timestamp>,
    /// Set when the bake is over.
    pub over: bool,
}

impl Bake {
    /// The time counted if all gates pass at `now`.
    pub fn counted_at(&self, now: Timestamp) -> SignedDuration {
        let running = self
            .running_since
            .map_or(SignedDuration::ZERO, |since| now.duration_since(since));
        self.counted + running.max(SignedDuration::ZERO)
    }
}

/// An approval, bound to the step as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepApproval {
    /// The person who asked for it.
    pub actor: String,
    /// The step's weights.
    pub pair: WeightPair,
    /// The step's bake, in seconds.
    pub bake_secs: i64,
}

/// A rollback that a person requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedRollback {
    /// The person who asked for it.
    pub actor: String,
    /// The reason given.
    pub reason: Option<String>,
    /// The mode.
    pub mode: RevertMode,
}

/// A revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// Identifies its writes in replies.
    pub write_id: WriteId,
    /// The cause.
    pub cause: RevertCause,
    /// The mode.
    pub mode: RevertMode,
    /// The time of the decision.
    pub at: Timestamp,
    /// The step whose weights it takes back.
    pub step: u16,
    /// The time at which all groups were first read at the baseline.
    pub baseline_seen: Option<Timestamp>,
    /// Somebody else's weights, if the last reading found any.
    pub foreign: Option<ForeignSeen>,
    /// The groups of which Route 53 accepted a write, and the time of the last one.
    pub submitted: BTreeMap<usize, Timestamp>,
    /// The last refusal or loss, for people.
    pub trouble: Option<String>,
    /// The class of the last failure.
    pub failed_class: Option<FailureClass>,
    /// The number of refusals and losses since something last moved.
    pub failures: u32,
    /// The time of the last one.
    pub failed_at: Option<Timestamp>,
}

/// Somebody else's weights in some groups during a revert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignSeen {
    /// The images, by the group's index; none if a member was gone.
    pub groups: BTreeMap<usize, Option<GroupImage>>,
    /// The time at which they were first read so, by the reader's clock.
    pub read_at: Timestamp,
}

impl State {
    /// The plan in force.
    pub fn plan(&self) -> &Plan {
        &self.source.plan
    }

    /// Returns the account that a change was sent in.
    pub fn account_of(&self, change: &SubmittedChange) -> &Account {
        let group = change.groups.first().copied().unwrap_or_default();
        self.plan().account_of_group(group)
    }

    /// The time at which the last known change was in sync; none if there is no change, or one is not in sync.
    pub fn changes_in_sync_at(&self) -> Option<Timestamp> {
        let mut last: Option<Timestamp> = None;
        for change in self.changes.values() {
            last = last.max(Some(change.in_sync_at?));
        }
        last
    }

    /// Returns the baseline's images, each with the account of its zone. Empty before the first intended write.
    pub fn way_back(&self) -> Vec<(Account, GroupImage)> {
        let mut images = Vec::new();
        for (index, image) in self.baseline.iter().flatten().enumerate() {
            let account = self.plan().account_of_group(index).clone();
            images.push((account, image.clone()));
        }
        images
    }

    /// Returns what somebody else changed in this cutover's groups since they were last verified.
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

    /// Returns true if a hold on this subject ended so lately that a new one is the same hold.
    pub fn has_ended_lately(&self, subject: &HoldReason, now: Timestamp) -> bool {
        let ended = self.ended_holds.get(subject);
        ended.is_some_and(|at| now.duration_since(*at) < SAME_HOLD_WITHIN)
    }

    /// Returns the hooks whose tries have all failed, and that hold.
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

    /// Returns the holds in an entry that page: those of a paging kind that are new in it.
    pub fn pages_anew(&self, entry: &Envelope) -> Vec<HoldReason> {
        let Event::StepHeld { because } = &entry.event else {
            return Vec::new();
        };
        let mut known: BTreeSet<HoldReason> = self.held.iter().map(HoldReason::subject).collect();
        if let Some(reason) = self.halt.clone() {
            // The halt has paged already, as an event.
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

    /// Returns the holds in an entry that paged, ended, and are back so soon that they page nobody again.
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

    /// Returns true if a hold is of a paging kind and is not among the open pages. A halt pages as an event.
    fn is_back(&self, reason: &HoldReason) -> bool {
        let halted = matches!(reason, HoldReason::Halted { .. });
        reason.pages() && !halted && !self.open_pages.has(&reason.subject())
    }

    /// Returns the pages whose cause an entry ends.
    pub fn settles(&self, entry: &Envelope) -> Vec<Paged> {
        self.open_pages.settled_by(&entry.event)
    }

    /// Returns true if this attempt has intended a write that may have reached Route 53.
    pub fn has_started(&self) -> bool {
        self.first_write.is_some()
    }

    /// Returns true if every group was last verified at the weights of the last verified step: its bake counts only then.
    pub fn is_at_its_share(&self) -> bool {
        let pair = self.plan().step(self.verified_step).map(|step| step.pair);
        let mut images = self.verified.iter().flatten();
        images.all(|image| Some(image.pair()) == pair)
    }

    /// Returns true if some group was last verified at the weights of the step that is being taken.
    pub fn has_moved_in_step(&self) -> bool {
        let pair = self.plan().step(self.step).map(|step| step.pair);
        let mut images = self.verified.iter().flatten();
        images.any(|image| Some(image.pair()) == pair)
    }

    /// Returns true if the old side gets nothing by the last verified weights.
    pub fn old_is_idle(&self) -> bool {
        let Some(images) = &self.verified else {
            return false;
        };
        images.iter().all(|image| image.pair().old.0 == 0)
    }

    /// Returns the weights that group `index` was last meant to have: during and after a revert, the baseline's.
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

    /// The time until which step `number`, which waits for its approval, may be approved, if the plan sets a timeout; also
    /// if it is past.
    pub fn approval_ends_at(&self, number: u16) -> Option<Timestamp> {
        let timeout = self.plan().step(number)?.approval_timeout?;
        let (asked, since) = self.approval_asked?;
        if asked != number {
            return None;
        }
        since.checked_add(timeout.after).ok()
    }

    /// Returns true if the step has a valid approval, or needs none.
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
