//! Errands: readings of jobs, switches of jobs, and calls of hooks. They run in parallel to the rounds, and no round
//! waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queues::SharedQueues;
use crate::engine::decide::{Errand, HookCall, JOB_WITHIN, TurnOrder};
use crate::engine::event::{Event, FailureClass, JobFailure};
use crate::engine::hold::RevertCause;
use crate::engine::hooks::{HOOK_OUTPUT_CHARS, HookPoint};
use crate::engine::jobs::{HalfId, HalfReading, JobHalf};
use crate::engine::observation::Beside;
use crate::engine::plan::AwsSettings;
use crate::engine::state::State;
use crate::engine::units::{CutoverName, WriteId};
use crate::ports::{CallError, Clock, HookAnswer, HookRequest, Hooks, Jobs};

/// Time added to the limit of a call, in case its adapter does not end it.
const SLACK: Duration = Duration::from_secs(2);

/// The result of an errand.
#[derive(Debug)]
pub(super) enum ErrandDone {
    /// A switch of jobs or a hook was answered. The event must be journaled.
    Answered(CutoverName, WriteId, Event),
    /// The jobs of the cutover were read.
    Looked(CutoverName, BTreeMap<HalfId, HalfReading>),
}

/// The errands of this process. They end with the controller.
pub(super) struct Errands {
    clock: Arc<dyn Clock>,
    jobs: Arc<dyn Jobs>,
    hooks: Arc<dyn Hooks>,
    shared: Arc<SharedQueues>,
    under_way: BTreeMap<CutoverName, BTreeSet<WriteId>>,
    /// The last readings of each cutover's jobs.
    readings: BTreeMap<CutoverName, BTreeMap<HalfId, HalfReading>>,
    /// When the last reading of each cutover's jobs began.
    pub(super) looked_at: BTreeMap<CutoverName, Timestamp>,
    looking: BTreeSet<CutoverName>,
    /// The cutovers whose reading in progress no longer counts, because jobs were switched since it began.
    outdated: BTreeSet<CutoverName>,
    /// True if no new errand is started. Errands under way go on.
    closed: bool,
    prepared: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    tasks: JoinSet<()>,
    sender: mpsc::UnboundedSender<ErrandDone>,
    receiver: mpsc::UnboundedReceiver<ErrandDone>,
}

/// The input of a hook, as JSON. Fields are added, never removed.
#[derive(Debug, Serialize)]
struct Input<'call> {
    idempotency_key: &'call str,
    hook: HookPoint,
    cutover: &'call str,
    attempt: u32,
    /// The step that the hook belongs to, from 1. If it belongs to none, the step that was last intended.
    step: u16,
    steps: u16,
    /// The new side's share in that step, in percent; `None` if there is no such step.
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<serde_json::Number>,
    #[serde(rename = "try")]
    number: u32,
    /// When the call was decided.
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'call RevertCause>,
}

impl Errands {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        jobs: Arc<dyn Jobs>,
        hooks: Arc<dyn Hooks>,
        shared: Arc<SharedQueues>,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            clock,
            jobs,
            hooks,
            shared,
            under_way: BTreeMap::new(),
            readings: BTreeMap::new(),
            looked_at: BTreeMap::new(),
            looking: BTreeSet::new(),
            outdated: BTreeSet::new(),
            closed: false,
            prepared: Vec::new(),
            tasks: JoinSet::new(),
            sender,
            receiver,
        }
    }

    /// Returns the part of a cutover's observation that is about errands. `journal_down` is true while its revert is
    /// not journaled.
    pub(super) fn beside(&self, name: &CutoverName, journal_down: bool) -> Beside {
        Beside {
            jobs: self.readings.get(name).cloned().unwrap_or_default(),
            under_way: self.under_way.get(name).cloned().unwrap_or_default(),
            hushed: journal_down || self.closed,
        }
    }

    /// Returns true if no errand is under way whose reply must be journaled.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Returns true if no reading of jobs is in progress.
    pub(super) fn has_looked(&self) -> bool {
        self.looking.is_empty()
    }

    /// Starts no new errands from now on. Errands under way go on.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Waits for the next errand that is done, and returns its result.
    pub(super) async fn next(&mut self) -> ErrandDone {
        match self.receiver.recv().await {
            Some(done) => self.note(done),
            // This struct holds a sender, so the channel cannot be closed.
            None => std::future::pending().await,
        }
    }

    fn note(&mut self, done: ErrandDone) -> ErrandDone {
        while self.tasks.try_join_next().is_some() {}
        match &done {
            ErrandDone::Answered(name, id, event) => {
                if matches!(event, Event::JobTurnAnswered { .. }) {
                    self.forget_looks(name);
                }
                let mine = self.under_way.get_mut(name);
                if mine.is_some_and(|ids| ids.remove(id) && ids.is_empty()) {
                    self.under_way.remove(name);
                }
            }
            ErrandDone::Looked(name, readings) => {
                self.looking.remove(name);
                if !self.outdated.remove(name) {
                    self.readings.insert(name.clone(), readings.clone());
                }
            }
        }
        done
    }

    /// Discards readings of jobs from before a switch: they do not show its result, whatever the clocks say.
    fn forget_looks(&mut self, name: &CutoverName) {
        self.readings.remove(name);
        self.looked_at.remove(name);
        if self.looking.contains(name) {
            self.outdated.insert(name.clone());
        }
    }

    /// Prepares an errand that was journaled, and returns its ID. `epoch` is the number of times that somebody else has
    /// written to its stream so far.
    pub(super) fn prepare(
        &mut self,
        state: &State,
        errand: Errand,
        epoch: u64,
        now: Timestamp,
    ) -> WriteId {
        let name = state.name.clone();
        let id = match errand {
            Errand::Turn(turn) => {
                self.forget_looks(&name);
                let id = turn.turn_id.clone();
                let send_by = Instant::now() + monotonic(turn.send_by.duration_since(now));
                let switcher = JobSwitcher {
                    jobs: Arc::clone(&self.jobs),
                    shared: Arc::clone(&self.shared),
                    aws: state.plan().aws.clone(),
                    cutover: name.clone(),
                    epoch,
                    send_by,
                };
                let sender = self.sender.clone();
                self.prepared.push(Box::pin(async move {
                    let turn_id = turn.turn_id.clone();
                    let failed = switcher.switch(turn).await;
                    let event = Event::JobTurnAnswered {
                        turn_id: turn_id.clone(),
                        failed,
                    };
                    let done = ErrandDone::Answered(switcher.cutover.clone(), turn_id, event);
                    // The receiver and this task both live as long as the controller.
                    sender.send(done).unwrap_or_default();
                }));
                id
            }
            Errand::Hook(call) => {
                let id = call.call_id.clone();
                let request = request(state, &call);
                let (hooks, sender) = (Arc::clone(&self.hooks), self.sender.clone());
                let of = name.clone();
                self.prepared.push(Box::pin(async move {
                    let limit = request.timeout + SLACK;
                    let answer = tokio::time::timeout(limit, hooks.call(&request)).await;
                    let event = answered(&call, answer.ok());
                    let done = ErrandDone::Answered(of, call.call_id.clone(), event);
                    sender.send(done).unwrap_or_default();
                }));
                id
            }
        };
        self.under_way.entry(name).or_default().insert(id.clone());
        id
    }

    /// Starts the prepared errands. Called after all decisions of a round are journaled, because a switch of jobs is
    /// not sent if its stream has an entry that this process has not folded.
    pub(super) fn begin(&mut self) {
        for errand in self.prepared.drain(..) {
            self.tasks.spawn(errand);
        }
    }

    /// Starts to read all jobs of a cutover, unless they are being read or the errands are closed.
    pub(super) fn look(&mut self, state: &State, now: Timestamp) {
        let Some(switch) = &state.plan().jobs else {
            return;
        };
        if self.closed || !self.looking.insert(state.name.clone()) {
            return;
        }
        self.looked_at.insert(state.name.clone(), now);
        let halves = switch.halves().into_iter();
        let halves: Vec<(HalfId, JobHalf)> = halves.map(|(id, half)| (id, half.clone())).collect();
        let (jobs, clock) = (Arc::clone(&self.jobs), Arc::clone(&self.clock));
        let (aws, name) = (state.plan().aws.clone(), state.name.clone());
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            let mut looks = JoinSet::new();
            for (half, how) in halves {
                let (jobs, aws, clock) = (Arc::clone(&jobs), aws.clone(), Arc::clone(&clock));
                looks.spawn(async move {
                    let asked_at = clock.now();
                    let look = tokio::time::timeout(limit(), jobs.look(&aws, &how)).await;
                    let look = match look {
                        Ok(look) => look.map_err(|error| error.to_string()),
                        Err(_) => Err(format!("no answer within {} s", JOB_WITHIN.as_secs())),
                    };
                    (half, HalfReading { asked_at, look })
                });
            }
            let mut readings = BTreeMap::new();
            while let Some(Ok((half, reading))) = looks.join_next().await {
                readings.insert(half, reading);
            }
            sender
                .send(ErrandDone::Looked(name, readings))
                .unwrap_or_default();
        });
    }
}

/// Carries out one order to switch jobs on one side on or off.
struct JobSwitcher {
    jobs: Arc<dyn Jobs>,
    shared: Arc<SharedQueues>,
    aws: AwsSettings,
    cutover: CutoverName,
    epoch: u64,
    send_by: Instant,
}

impl JobSwitcher {
    /// Switches all jobs of the order at once. Returns those that failed, by index.
    async fn switch(&self, turn: TurnOrder) -> BTreeMap<usize, JobFailure> {
        let mut failed = BTreeMap::new();
        let send_by = Some(self.send_by);
        let stale = self.shared.stale(&self.cutover, self.epoch, send_by);
        if let Some(why) = stale.await {
            for (job, _) in turn.halves {
                let failure = JobFailure {
                    class: FailureClass::NotSent,
                    message: why.to_owned(),
                };
                failed.insert(job, failure);
            }
            return failed;
        }
        let mut calls = JoinSet::new();
        for (job, half) in turn.halves {
            let (jobs, aws) = (Arc::clone(&self.jobs), self.aws.clone());
            let key = format!("{}/{}/{job}", self.cutover, turn.turn_id);
            let on = turn.on;
            calls.spawn(async move {
                let call = jobs.turn(&aws, &half, on, &key);
                let answer = match tokio::time::timeout(limit(), call).await {
                    Ok(answer) => answer,
                    Err(_) => Err(late()),
                };
                (job, answer)
            });
        }
        while let Some(Ok((job, answer))) = calls.join_next().await {
            if let Err(error) = answer {
                let failure = JobFailure {
                    class: error.class,
                    message: error.to_string(),
                };
                failed.insert(job, failure);
            }
        }
        failed
    }
}

fn late() -> CallError {
    let message = format!("no answer within {} s", JOB_WITHIN.as_secs());
    CallError::new("Switch", FailureClass::Transient, message)
}

/// Returns the longest time for one call about a job.
fn limit() -> Duration {
    monotonic(JOB_WITHIN) + SLACK
}

fn monotonic(duration: SignedDuration) -> Duration {
    duration.try_into().unwrap_or_default()
}

fn request(state: &State, call: &HookCall) -> HookRequest {
    let step = if call.id.step > 0 {
        call.id.step
    } else {
        state.step
    };
    let share = state.plan().step(step).map(|step| step.share.to_string());
    let share = share.and_then(|share| share.trim_end_matches('%').parse().ok());
    let input = Input {
        idempotency_key: &call.key,
        hook: call.id.point,
        cutover: state.name.as_str(),
        attempt: state.attempt,
        step,
        steps: state.plan().step_count(),
        share,
        number: call.number,
        at: call.at,
        cause: call.cause.as_ref(),
    };
    HookRequest {
        action: call.hook.call.clone(),
        timeout: monotonic(call.hook.timeout),
        key: call.key.clone(),
        input: serde_json::to_string(&input).unwrap_or_default(),
        detach: call.hook.detach,
    }
}

/// Returns the event for a hook's answer. `answer` is `None` if no answer came in time.
fn answered(call: &HookCall, answer: Option<HookAnswer>) -> Event {
    let (hook, call_id) = (call.id, call.call_id.clone());
    let answer = match answer {
        Some(answer) => answer,
        None => HookAnswer {
            output: String::new(),
            failure: Some(format!(
                "no answer within {} s",
                call.hook.timeout.as_secs()
            )),
        },
    };
    let output: String = answer.output.chars().take(HOOK_OUTPUT_CHARS).collect();
    match answer.failure {
        None => Event::HookSucceeded {
            hook,
            call_id,
            output,
        },
        Some(message) => Event::HookFailed {
            hook,
            call_id,
            message: message.chars().take(HOOK_OUTPUT_CHARS).collect(),
            output,
            given_up: call.gives_up,
        },
    }
}
