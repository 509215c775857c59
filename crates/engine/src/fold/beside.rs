//! The fold of events about hooks and jobs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Taken, require};
use crate::event::{FailureClass, JobFailure, SendOutcome};
use crate::hooks::{HookCalled, HookId};
use crate::jobs::{HalfId, JobSide, JobTurn};
use crate::plan::Plan;
use crate::state::{Phase, State};
use crate::units::WriteId;

impl State {
    /// Records a call that is about to be made. A hook that has succeeded is not called again.
    pub(super) fn hook_intended(&mut self, hook: HookId, call: HookCalled) -> Taken {
        require(!self.phase.is_final(), "the cutover is over")?;
        let run = self.hooks.entry(hook).or_default();
        require(!run.done, "that hook has succeeded already")?;
        run.call = Some(call);
        Ok(())
    }

    /// Folds the answer to a call of a hook. A late answer to an earlier call is ignored.
    pub(super) fn hook_answered(
        &mut self,
        hook: HookId,
        call_id: &WriteId,
        failed: Option<&String>,
        at: Timestamp,
    ) {
        let Some(run) = self.hooks.get_mut(&hook) else {
            return;
        };
        if run.call.as_ref().map(|call| &call.call_id) != Some(call_id) {
            return;
        }
        run.call = None;
        match failed {
            None => run.done = true,
            Some(message) => {
                run.failures = run.failures.saturating_add(1);
                run.failed = Some((at, message.clone()));
            }
        }
    }

    /// Resets the failures of the hooks that hold the cutover, so that all their tries are made again.
    pub(super) fn forget_failures_of_hooks(&mut self) {
        for id in self.failed_hooks() {
            if let Some(run) = self.hooks.get_mut(&id) {
                (run.failures, run.failed) = (0, None);
            }
        }
    }

    /// Removes the progress of the hooks that an amended plan changes. A changed hook has not been called.
    pub(super) fn forget_changed_hooks(&mut self, plan: &Plan) {
        let before = &self.source.plan;
        self.hooks.retain(|id, _| {
            let hook = plan.hook(*id);
            hook.is_some() && hook == before.hook(*id)
        });
    }

    /// Begins the switch to a side: forward while a step settles or bakes, back while the cutover reverts or is halted.
    pub(super) fn job_switch_intended(&mut self, to: JobSide, at: Timestamp) -> Taken {
        require(self.plan().jobs.is_some(), "the plan has no jobs")?;
        require(self.jobs.turn.is_none(), "a change of jobs is unresolved")?;
        require(self.jobs.goal != Some(to), "the jobs already move there")?;
        let legal = match (to, self.phase) {
            (JobSide::New, Phase::Settling | Phase::Baking) => true,
            (JobSide::Old, Phase::Reverting | Phase::Halted) => self.jobs.goal.is_some(),
            (JobSide::New | JobSide::Old, _) => false,
        };
        require(legal, "jobs do not move that way in this phase")?;
        let jobs = &mut self.jobs;
        (jobs.goal, jobs.since) = (Some(to), Some(at));
        (jobs.off_at, jobs.drained, jobs.moved) = (None, false, false);
        (jobs.failures, jobs.failed_at, jobs.trouble) = (0, None, None);
        Ok(())
    }

    /// Records a change of jobs that is about to be made. A side is switched on only after the other side was read off
    /// and drained.
    pub(super) fn job_turn_intended(&mut self, turn: JobTurn) -> Taken {
        let count = self.plan().jobs.as_ref().map_or(0, |jobs| jobs.jobs.len());
        let jobs = &mut self.jobs;
        require(jobs.turn.is_none(), "another change of jobs is unresolved")?;
        let goal = jobs.goal.ok_or("the jobs do not move")?;
        require(!jobs.moved, "the jobs have moved")?;
        require(
            turn.jobs.iter().all(|job| *job < count),
            "the plan has no such job",
        )?;
        if turn.on {
            require(turn.side == goal, "that side is left")?;
            // The jobs must never run on both sides.
            let off = jobs.off_at.is_some() && jobs.drained;
            require(off, "the other side is not known to be off")?;
        } else {
            require(turn.side == goal.other(), "that side is to be on")?;
            (jobs.off_at, jobs.drained) = (None, false);
        }
        for job in &turn.jobs {
            let half = HalfId::new(*job, turn.side);
            jobs.turned.insert(half);
            jobs.known.remove(&half);
        }
        jobs.turn = Some(turn);
        Ok(())
    }

    /// Records the replies to a change of jobs. An answer to another change is ignored.
    pub(super) fn job_turn_answered(
        &mut self,
        turn_id: &WriteId,
        failed: &BTreeMap<usize, JobFailure>,
        at: Timestamp,
    ) {
        let Some(turn) = &mut self.jobs.turn else {
            return;
        };
        if turn.turn_id != *turn_id {
            return;
        }
        for job in &turn.jobs {
            let answer = match failed.get(job) {
                None => SendOutcome::Accepted,
                Some(JobFailure {
                    class: FailureClass::Transient,
                    message,
                }) => SendOutcome::Lost(message.clone()),
                Some(JobFailure { class, message }) => {
                    SendOutcome::Refused(*class, message.clone())
                }
            };
            turn.answers.insert(*job, answer);
        }
        turn.answered_at = Some(at);
    }

    /// Records which jobs of a change are on. If one is not as wanted, the change counts as failed.
    pub(super) fn job_turn_resolved(
        &mut self,
        turn_id: &WriteId,
        on: &[usize],
        at: Timestamp,
    ) -> Taken {
        let jobs = &mut self.jobs;
        let turn = jobs.turn.take_if(|turn| turn.turn_id == *turn_id);
        let turn = turn.ok_or("that change of jobs is not the unresolved one")?;
        if turn.jobs.iter().all(|job| on.contains(job) == turn.on) {
            (jobs.failures, jobs.failed_at, jobs.trouble) = (0, None, None);
        } else {
            jobs.failures = jobs.failures.saturating_add(1);
            jobs.failed_at = Some(at);
            jobs.trouble = turn.trouble().map(str::to_owned);
        }
        for job in &turn.jobs {
            let half = HalfId::new(*job, turn.side);
            jobs.known.insert(half, on.contains(job));
        }
        Ok(())
    }

    /// Records that the side that is left was read off.
    pub(super) fn jobs_off(&mut self, side: JobSide, at: Timestamp) -> Taken {
        let jobs = &mut self.jobs;
        require(jobs.turn.is_none(), "a change of jobs is unresolved")?;
        let left = jobs.goal.map(JobSide::other) == Some(side) && !jobs.moved;
        require(left, "that side is not the one that is left")?;
        (jobs.off_at, jobs.drained) = (Some(at), false);
        Ok(())
    }

    /// Records that no job of the side that is left still runs.
    pub(super) fn jobs_drained(&mut self, side: JobSide) -> Taken {
        let jobs = &mut self.jobs;
        let left = jobs.goal.map(JobSide::other) == Some(side);
        require(left && jobs.off_at.is_some(), "that side is not off")?;
        jobs.drained = true;
        Ok(())
    }

    /// Records that the switch is done.
    pub(super) fn jobs_moved(&mut self, to: JobSide) -> Taken {
        let jobs = &mut self.jobs;
        require(jobs.turn.is_none(), "a change of jobs is unresolved")?;
        require(
            jobs.goal == Some(to) && !jobs.moved,
            "the jobs do not move there",
        )?;
        jobs.moved = true;
        Ok(())
    }
}
