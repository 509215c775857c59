//! The errands of the engine's small test world: jobs are read and switched, and hooks are called.

use std::collections::BTreeMap;

use cutover_engine::decide::{self, Errand, HookCall, TurnOrder};
use cutover_engine::event::{Event, FailureClass, JobFailure};
use cutover_engine::jobs::{HalfId, HalfLook, HalfReading, JobSide, JobSwitch};
use cutover_engine::observation::Beside;

use crate::beside::TurnFate;
use crate::world::World;

impl World {
    /// Sets the plan's jobs to their state before a cutover: on at the old side, off at the new one.
    pub fn find_jobs(&mut self) {
        let switch = self.source.plan.jobs.as_ref();
        let halves = switch.map(JobSwitch::halves).unwrap_or_default();
        for (half, _) in halves {
            let on = half.side == JobSide::Old;
            self.checker.job_found(half, on);
            let look = HalfLook {
                on,
                ..HalfLook::default()
            };
            self.aside.halves.insert(half, look);
        }
    }

    /// Returns the state of a job on the old side and on the new side. True means on.
    pub fn job(&self, job: usize) -> (bool, bool) {
        let [old, new] = [JobSide::Old, JobSide::New].map(|side| HalfId::new(job, side));
        (self.aside.halves[&old].on, self.aside.halves[&new].on)
    }

    /// Returns the state of a job on one side, which the caller may change.
    pub fn half(&mut self, job: usize, side: JobSide) -> &mut HalfLook {
        let half = self.aside.halves.get_mut(&HalfId::new(job, side));
        half.expect("a job of the plan")
    }

    /// Switches a job on one side, as another program would.
    pub fn switch_by_others(&mut self, job: usize, side: JobSide, on: bool) {
        self.half(job, side).on = on;
        self.checker
            .job_changed_by_others(HalfId::new(job, side), on);
    }

    /// Returns a controller's observation of jobs and hooks. It reads jobs only if the engine asks for it.
    pub fn observe_beside(&mut self, index: usize) -> Beside {
        let (state, now) = (self.state(), self.now);
        let wants = decide::wants_jobs(state, self.controllers[index].hands.looked_at, now);
        let hands = &mut self.controllers[index].hands;
        if wants {
            hands.looked_at = Some(now);
            hands.looks.clear();
            for (half, seen) in &self.aside.halves {
                let look = match &self.aside.unseen {
                    Some(why) => Err(why.clone()),
                    None => Ok(seen.clone()),
                };
                let asked_at = now;
                hands.looks.insert(*half, HalfReading { asked_at, look });
            }
        }
        Beside {
            jobs: hands.looks.clone(),
            under_way: hands.under_way.clone(),
            hushed: self.aside.hushed,
        }
    }

    /// Performs a controller's errands. An errand that does not end is kept.
    pub fn perform_beside(&mut self, index: usize) {
        for errand in std::mem::take(&mut self.controllers[index].hands.errands) {
            let (id, answer) = match &errand {
                Errand::Turn(turn) => (&turn.turn_id, self.turn_jobs(turn)),
                Errand::Hook(call) => (&call.call_id, self.call_hook(call)),
            };
            match answer {
                Some(event) => {
                    self.append("controller", event);
                    let hands = &mut self.controllers[index].hands;
                    hands.under_way.remove(id);
                    // The switch or call may have changed the jobs, so earlier readings are dropped.
                    (hands.looks, hands.looked_at) = (BTreeMap::new(), None);
                }
                None => self.controllers[index].hands.errands.push(errand),
            }
        }
    }

    /// Switches jobs as the chosen outcome says. Returns the event of the reply, or `None` if the call does not end.
    fn turn_jobs(&mut self, turn: &TurnOrder) -> Option<Event> {
        let fate = self.aside.turns;
        if fate == TurnFate::Slow {
            return None;
        }
        if matches!(fate, TurnFate::Done | TurnFate::ReplyLost) {
            self.aside.turned.push((self.now, turn.side, turn.on));
            for (job, _) in &turn.halves {
                let half = HalfId::new(*job, turn.side);
                self.half(*job, turn.side).on = turn.on;
                let broken = self.checker.job_turned(half, turn.on);
                assert!(broken.is_empty(), "{broken:?}\n{}", self.story());
            }
        }
        let failure = match fate {
            TurnFate::Refused => Some((FailureClass::Denied, "not allowed")),
            TurnFate::ReplyLost => Some((FailureClass::Transient, "no answer")),
            TurnFate::Done | TurnFate::Ignored | TurnFate::Slow => None,
        };
        let mut failed = BTreeMap::new();
        if let Some((class, message)) = failure {
            for (job, _) in &turn.halves {
                let message = message.to_owned();
                failed.insert(*job, JobFailure { class, message });
            }
        }
        Some(Event::JobTurnAnswered {
            turn_id: turn.turn_id.clone(),
            failed,
        })
    }

    /// Calls a hook. Returns the event of its end, or `None` if it does not end.
    fn call_hook(&mut self, call: &HookCall) -> Option<Event> {
        let known = self
            .aside
            .calls
            .iter()
            .any(|(_, made)| made.call_id == call.call_id);
        if !known {
            self.aside.calls.push((self.now, call.clone()));
        }
        let (hook, call_id, output) = (call.id, call.call_id.clone(), String::new());
        Some(if self.aside.hooks_fail? {
            Event::HookFailed {
                hook,
                call_id,
                message: "exit code 1".to_owned(),
                output,
                given_up: call.gives_up,
            }
        } else {
            Event::HookSucceeded {
                hook,
                call_id,
                output,
            }
        })
    }

    /// Returns the idempotency keys of all calls of hooks, oldest first.
    pub fn keys(&self) -> Vec<&str> {
        self.aside
            .calls
            .iter()
            .map(|(_, call)| call.key.as_str())
            .collect()
    }
}
