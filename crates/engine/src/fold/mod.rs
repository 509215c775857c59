//! The fold: it turns events into the state. An event that cannot follow the events before it is an error, and is never
//! skipped.

mod beside;
mod drift;
mod ending;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use thiserror::Error;

use crate::event::{Envelope, Event, RevertMode};
use crate::evidence::tally::MetricFacts;
use crate::hold::{HoldReason, RevertCause, SAME_HOLD_WITHIN};
use crate::hooks::HookCalled;
use crate::jobs::{JobTurn, JobsState};
use crate::paged::OpenPages;
use crate::plan::PlanSource;
use crate::state::{
    Bake, Pause, Phase, RequestedRollback, Resubmission, State, StepApproval, SubmittedChange,
    Write,
};
use crate::units::CutoverName;

/// The error of an entry that cannot follow the entries before it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{cutover}: entry {seq} ({event}) cannot follow: {why}")]
pub struct IllegalEvent {
    /// The stream of the entry.
    pub cutover: CutoverName,
    /// The number of the entry.
    pub seq: u64,
    /// The name of its event.
    pub event: &'static str,
    /// The rule that forbids it, for people.
    pub why: String,
}

/// Folds the entries of one stream, in order. Returns `None` for no entries.
///
/// # Errors
/// The first entry that cannot follow.
pub fn fold<'a>(
    entries: impl IntoIterator<Item = &'a Envelope>,
) -> Result<Option<State>, IllegalEvent> {
    let mut state = None;
    for entry in entries {
        apply(&mut state, entry)?;
    }
    Ok(state)
}

/// Folds one more entry into the state.
///
/// # Errors
/// The entry cannot follow. Then the state is unchanged.
pub fn apply(state: &mut Option<State>, entry: &Envelope) -> Result<(), IllegalEvent> {
    apply_entry(state, entry).map_err(|why| IllegalEvent {
        cutover: entry.cutover.clone(),
        seq: entry.seq,
        event: entry.event.label(),
        why,
    })
}

/// Folds one more entry. The error is the rule that forbids it.
fn apply_entry(state: &mut Option<State>, entry: &Envelope) -> Taken {
    if let Some(why) = entry.unbelievable() {
        return Err(why);
    }
    let Some(before) = state else {
        *state = Some(begin(entry)?);
        return Ok(());
    };
    if entry.seq != before.seq + 1 {
        return Err(format!("the entry before it is {}", before.seq));
    }
    before.take(entry)
}

/// Returns the state after the first entry of a stream.
fn begin(entry: &Envelope) -> Result<State, String> {
    let Event::PlanAccepted { source } = &entry.event else {
        return Err("a stream begins with plan_accepted".to_owned());
    };
    if entry.seq != 1 {
        return Err("a stream begins with entry 1".to_owned());
    }
    let name = entry.cutover.clone();
    Ok(State::waiting(
        name,
        entry.attempt,
        (**source).clone(),
        entry.at,
    ))
}

/// The result of folding an entry: nothing, or the rule that forbids it.
pub(super) type Taken = Result<(), String>;

/// The effect of an entry on pages.
struct Paging {
    /// True if the entry pages.
    pages: bool,
    /// The holds that people are paged for by this entry.
    paged: Vec<HoldReason>,
}

impl State {
    /// Folds an entry with its effect on pages.
    fn take(&mut self, entry: &Envelope) -> Taken {
        let paging = self.paging(entry);
        self.take_event(entry)?;
        self.note_paging(entry, &paging);
        self.seq = entry.seq;
        self.last_at = self.last_at.max(entry.at);
        Ok(())
    }

    /// Returns the effect of an entry on pages: if it pages, and which holds people are paged for. Of several holds only the
    /// new ones page. Computed before the entry is taken, so that one that cannot follow changes nothing.
    fn paging(&self, entry: &Envelope) -> Paging {
        let anew = self.pages_anew(entry);
        let pages = !anew.is_empty() || entry.event.pages();
        let again = self.pages_again(entry);
        Paging {
            pages,
            paged: anew.into_iter().chain(again).collect(),
        }
    }

    /// Remembers that an entry pages, and the holds that people were paged for, until they end.
    fn note_paging(&mut self, entry: &Envelope, paging: &Paging) {
        if paging.pages {
            self.pages.insert(entry.seq);
        }
        self.open_pages.take(&entry.event, &paging.paged);
    }

    #[expect(clippy::too_many_lines, reason = "a table: one arm an event")]
    fn take_event(&mut self, entry: &Envelope) -> Taken {
        let at = entry.at;
        match &entry.event {
            Event::PlanAccepted { source } => self.plan_accepted(source),
            Event::PlanAmended { source, .. } => self.plan_amended(source),
            Event::WeightChangeIntended {
                write_id,
                owner,
                perform_by,
                step,
                targets,
                baseline,
            } => {
                let write = Write {
                    write_id: write_id.clone(),
                    owner: owner.clone(),
                    perform_by: *perform_by,
                    step: *step,
                    targets: targets.clone(),
                    answers: BTreeMap::new(),
                    losses: 0,
                    lost_at: None,
                };
                self.weight_change_intended(write, baseline.as_ref(), at)
            }
            Event::WeightChangeSubmitted {
                write_id,
                zone,
                groups,
                change_id,
                server_time,
            } => {
                let change = SubmittedChange {
                    zone: zone.clone(),
                    groups: groups.clone(),
                    submitted_at: at,
                    in_sync_at: None,
                };
                self.weight_change_submitted(
                    write_id,
                    change_id,
                    change,
                    server_time.unwrap_or(at),
                );
                Ok(())
            }
            Event::WeightChangeFailed {
                write_id,
                groups,
                class,
                message,
                ..
            } => {
                self.weight_change_failed(write_id, groups, *class, message, at);
                Ok(())
            }
            Event::WeightChangeAbandoned {
                write_id,
                moved,
                landed,
                ..
            } => self.weight_change_abandoned(write_id, moved, landed, at),
            Event::WeightsVerified {
                write_id,
                step,
                images,
            } => self.weights_verified(write_id, *step, images, at),
            Event::ChangeLost {
                write_id,
                change_id,
                groups,
            } => {
                let resubmission = Resubmission {
                    write_id: write_id.clone(),
                    groups: groups.clone(),
                    at,
                };
                self.change_lost(change_id.as_ref(), resubmission)
            }
            Event::ChangeInSync { change_id } => {
                if let Some(change) = self.changes.get_mut(change_id) {
                    change.in_sync_at = Some(at);
                }
                Ok(())
            }
            Event::AliasTtlsRead { ttls } => {
                for ttl in ttls {
                    let target = (ttl.zone.clone(), ttl.target.clone());
                    self.alias_ttls.insert(target, ttl.ttl_secs);
                }
                Ok(())
            }
            Event::BakeStarted { step } => self.bake_started(*step, at),
            Event::GatesPassed {} => self.gates_passed(at),
            Event::BakeCounted { until, running } => self.bake_counted(*until, *running),
            Event::StepReopened { step } => self.step_reopened(*step, at),
            Event::StepCompleted { step } => self.step_completed(*step),
            Event::BakeSkipDecided { step, skipped } => self.bake_skip_decided(*step, *skipped),
            Event::StepHeld { because } => {
                self.hold(because, at);
                self.approval_asked(because, at);
                Ok(())
            }
            Event::GateUnknown { alarm, .. } => {
                self.unknown.entry(alarm.clone()).or_insert(at);
                Ok(())
            }
            Event::GateKnown { alarm } => {
                self.unknown.remove(alarm);
                Ok(())
            }
            Event::EvidenceCounted { tally } => {
                require(self.has_started(), "the cutover has not started")?;
                self.measured.tally = Some((**tally).clone());
                Ok(())
            }
            Event::AlarmJudged {
                alarm,
                transitioned_at,
                ..
            } => {
                let judged = self.judged.entry(alarm.clone()).or_insert(*transitioned_at);
                *judged = (*judged).max(*transitioned_at);
                Ok(())
            }
            Event::AlarmIgnored { alarm, .. } => {
                require(!self.has_started(), "the cutover has started")?;
                self.ignored.insert(alarm.clone());
                Ok(())
            }
            Event::AlarmArmed { alarm } => {
                self.ignored.remove(alarm);
                Ok(())
            }
            Event::DriftDetected { groups, members } => {
                self.drift_detected(groups, at)?;
                self.found = members.clone();
                Ok(())
            }
            Event::DriftCleared {} => {
                self.drift_cleared(at);
                Ok(())
            }
            Event::DriftAdopted { images, .. } => self.drift_adopted(images, at),
            Event::RevertIntended {
                write_id,
                cause,
                mode,
                ..
            } => {
                let again = *cause == RevertCause::LateWrite {} || self.rollback.is_some();
                require(!self.phase.is_final() || again, "the cutover is over")?;
                self.begin_revert(write_id, cause, *mode, at)
            }
            Event::RevertPerformedUnjournaled {
                write_id, cause, ..
            } => self.begin_revert(write_id, cause, RevertMode::Swap, at),
            Event::BaselineSeen { at } => self.baseline_seen(*at),
            Event::ForeignWeightsSeen { groups, read_at } => {
                self.foreign_weights_seen(groups, *read_at)
            }
            Event::StrayWeightsFound { members } => self.stray_weights_found(members),
            Event::Reverted { cancelled } => self.reverted(*cancelled, at),
            Event::Halted { reason } => self.halted(reason, at),
            Event::Completed { adopted: None } => self.completed(at),
            Event::Completed { adopted: Some(_) } => self.completed_as_found(at),
            Event::Abandoned { .. } => self.abandoned(at),
            // Written by older versions. Today the cursors of channels say who was told.
            Event::PageSent { .. } => Ok(()),
            Event::PauseRequested { reason } => {
                let actor = entry.actor.clone();
                self.paused = Some(Pause {
                    actor,
                    reason: reason.clone(),
                    at,
                });
                Ok(())
            }
            Event::ResumeRequested { .. } => {
                self.paused = None;
                Ok(())
            }
            Event::StepApproved {
                step,
                pair,
                bake_secs,
                ..
            } => {
                let actor = entry.actor.clone();
                let approval = StepApproval {
                    actor,
                    pair: *pair,
                    bake_secs: *bake_secs,
                };
                self.approvals.insert(*step, approval);
                Ok(())
            }
            Event::BakeSkipRequested { step, .. } => {
                self.skip_requested = Some(*step);
                Ok(())
            }
            Event::HookIntended {
                hook,
                call_id,
                owner,
                ends_by,
                ..
            } => {
                let call = HookCalled {
                    call_id: call_id.clone(),
                    owner: owner.clone(),
                    ends_by: *ends_by,
                };
                self.hook_intended(*hook, call)
            }
            Event::HookSucceeded { hook, call_id, .. } => {
                self.hook_answered(*hook, call_id, None, at);
                Ok(())
            }
            Event::HookFailed {
                hook,
                call_id,
                message,
                ..
            } => {
                self.hook_answered(*hook, call_id, Some(message), at);
                Ok(())
            }
            Event::JobSwitchIntended { to } => self.job_switch_intended(*to, at),
            Event::JobTurnIntended {
                turn_id,
                owner,
                lands_by,
                side,
                on,
                jobs,
                ..
            } => self.job_turn_intended(JobTurn {
                turn_id: turn_id.clone(),
                owner: owner.clone(),
                lands_by: *lands_by,
                side: *side,
                on: *on,
                jobs: jobs.clone(),
                answers: BTreeMap::new(),
                answered_at: None,
            }),
            Event::JobTurnAnswered { turn_id, failed } => {
                self.job_turn_answered(turn_id, failed, at);
                Ok(())
            }
            Event::JobTurnResolved { turn_id, on } => self.job_turn_resolved(turn_id, on, at),
            Event::JobsOff { side } => self.jobs_off(*side, at),
            Event::JobsDrained { side } => self.jobs_drained(*side),
            Event::JobsMoved { to } => self.jobs_moved(*to),
            Event::FleetSettingsAccepted { .. }
            | Event::FleetSlotTaken { .. }
            | Event::FleetBudgetSpent { .. }
            | Event::FleetHeld { .. }
            | Event::FleetFrozen { .. }
            | Event::FleetUnfrozen { .. }
            | Event::FleetResumed { .. }
            | Event::CutoverDamaged { .. }
            | Event::DamagedTakenBack { .. } => Err("it belongs to the fleet's stream".to_owned()),
            Event::Unreadable { why } => Err(why.clone()),
            Event::RetryRequested { .. } => self.retry_requested(at),
            Event::RollbackRequested { mode, reason } => {
                let actor = entry.actor.clone();
                self.rollback = Some(RequestedRollback {
                    actor,
                    reason: reason.clone(),
                    mode: *mode,
                });
                Ok(())
            }
        }
    }

    fn enter(&mut self, phase: Phase, at: Timestamp) {
        if self.phase != phase {
            self.phase = phase;
            self.phase_since = at;
        }
    }

    /// Replaces the plan, which is legal before the first write only.
    fn plan_accepted(&mut self, source: &PlanSource) -> Taken {
        require(self.phase == Phase::Waiting, "the cutover has started")?;
        self.source = source.clone();
        Ok(())
    }

    /// Replaces the plan of an unfinished cutover. The name stays; the records stay once there is a baseline, and the
    /// jobs once they have begun to move.
    fn plan_amended(&mut self, source: &PlanSource) -> Taken {
        require(!self.phase.is_final(), "the cutover is over")?;
        require(source.plan.name == self.name, "the plan has another name")?;
        let same_records = source.plan.moves_the_groups_of(self.plan());
        require(
            self.baseline.is_none() || same_records,
            "the records differ",
        )?;
        let same_jobs = source.plan.jobs == self.plan().jobs;
        require(
            self.jobs.goal.is_none() || same_jobs,
            "the jobs differ, and have begun to move",
        )?;
        self.forget_changed_hooks(&source.plan);
        let before = std::mem::replace(&mut self.source, source.clone());
        let (measures, before) = (
            &self.source.plan.gates.measures,
            &before.plan.gates.measures,
        );
        self.measured.amended(measures, before);
        // The person who changes the plan has seen that a step waits, so the approval timeout begins anew.
        self.approval_asked = None;
        let plan = &self.source.plan;
        self.unknown.retain(|gate, _| plan.gates.has(gate));
        Ok(())
    }

    /// Records when a step first waited for its approval. Other holds in the meantime do not begin the timeout anew.
    fn approval_asked(&mut self, because: &[HoldReason], at: Timestamp) {
        let asked = because.iter().find_map(HoldReason::asks_approval);
        if let Some(step) = asked
            && self.approval_asked.is_none_or(|(before, _)| before != step)
        {
            self.approval_asked = Some((step, at));
        }
    }

    fn bake_started(&mut self, step: u16, at: Timestamp) -> Taken {
        require(self.phase == Phase::Settling, "nothing is settling")?;
        require(step == self.verified_step, "another step is settling")?;
        self.bake = Bake::default();
        self.measured.bake_started(at);
        self.enter(Phase::Baking, at);
        Ok(())
    }

    fn gates_passed(&mut self, at: Timestamp) -> Taken {
        require(self.phase == Phase::Baking, "nothing is baking")?;
        self.bake.running_since = Some(at);
        Ok(())
    }

    fn bake_counted(&mut self, until: Timestamp, running: bool) -> Taken {
        require(self.phase == Phase::Baking, "nothing is baking")?;
        self.bake.counted = self.bake.counted_at(until);
        self.bake.running_since = running.then_some(until);
        Ok(())
    }

    fn step_completed(&mut self, step: u16) -> Taken {
        require(self.phase == Phase::Baking, "nothing is baking")?;
        require(step == self.verified_step, "another step is baking")?;
        (self.bake.over, self.bake.running_since) = (true, None);
        Ok(())
    }

    fn bake_skip_decided(&mut self, step: u16, skipped: bool) -> Taken {
        let current = self.phase == Phase::Baking && step == self.verified_step;
        require(!skipped || current, "that step is not baking")?;
        self.skip_requested = None;
        self.bake.over |= skipped;
        Ok(())
    }

    /// Begins another attempt, leaves `halted`, or makes all tries of a failed hook again, as the phase requires
    /// (semantics E5).
    fn retry_requested(&mut self, at: Timestamp) -> Taken {
        match self.phase {
            Phase::Reverted => {
                self.begin_attempt(at);
                Ok(())
            }
            Phase::Halted => {
                require(self.verified_step > 0, "no step was ever verified")?;
                self.forget_failures_of_hooks();
                self.halt = None;
                self.step = self.verified_step;
                self.bake = Bake::default();
                self.measured.bake_started(at);
                self.measured.violations_from = Some(at);
                self.enter(Phase::Baking, at);
                Ok(())
            }
            Phase::Waiting | Phase::Shifting | Phase::Settling | Phase::Baking => {
                let failed = !self.failed_hooks().is_empty();
                require(failed, "there is nothing to retry")?;
                self.forget_failures_of_hooks();
                Ok(())
            }
            Phase::Completed | Phase::Reverting | Phase::Abandoned => {
                Err("there is nothing to retry".to_owned())
            }
        }
    }

    /// Returns a cutover that waits for its start, after the first entry of its stream.
    fn waiting(name: CutoverName, attempt: u32, source: PlanSource, at: Timestamp) -> Self {
        Self {
            name,
            attempt,
            seq: 1,
            last_at: at,
            source,
            phase: Phase::Waiting,
            phase_since: at,
            paused: None,
            step: 0,
            verified_step: 0,
            writing_again: false,
            step_began_at: None,
            abandoned_at: None,
            abandoned_for: None,
            baseline: None,
            verified: None,
            alias_ttls: BTreeMap::new(),
            intended: BTreeMap::new(),
            first_write: None,
            write: None,
            changes: BTreeMap::new(),
            resubmission: None,
            bake: Bake::default(),
            unknown: BTreeMap::new(),
            measured: MetricFacts::default(),
            judged: BTreeMap::new(),
            ignored: BTreeSet::new(),
            approvals: BTreeMap::new(),
            approval_asked: None,
            skip_requested: None,
            drift: None,
            found: BTreeMap::new(),
            rollback: None,
            revert: None,
            strays: Vec::new(),
            hooks: BTreeMap::new(),
            jobs: JobsState::default(),
            halt: None,
            held: Vec::new(),
            held_at: None,
            ended_holds: BTreeMap::new(),
            pages: BTreeSet::new(),
            open_pages: OpenPages::default(),
        }
    }

    /// Replaces the holds, and records when those ended that are no longer among them.
    fn hold(&mut self, because: &[HoldReason], at: Timestamp) {
        let subjects: BTreeSet<HoldReason> = because.iter().map(HoldReason::subject).collect();
        for reason in &self.held {
            let subject = reason.subject();
            if !subjects.contains(&subject) {
                self.ended_holds.insert(subject, at);
            }
        }
        self.ended_holds
            .retain(|_, ended| at.duration_since(*ended) < SAME_HOLD_WITHIN);
        self.held = because.to_vec();
        self.held_at = Some(at);
    }

    /// Begins another attempt. Of the one before, only the plan, the baseline and the numbers of the pages are kept.
    fn begin_attempt(&mut self, at: Timestamp) {
        let (name, source) = (self.name.clone(), self.source.clone());
        let fresh = Self::waiting(name, self.attempt.saturating_add(1), source, at);
        let (baseline, pages) = (self.baseline.take(), std::mem::take(&mut self.pages));
        *self = Self {
            last_at: self.last_at,
            baseline,
            pages,
            ..fresh
        };
    }
}

/// Returns an error with this reason unless the entry is legal.
pub(super) fn require(legal: bool, why: &str) -> Taken {
    if legal { Ok(()) } else { Err(why.to_owned()) }
}
