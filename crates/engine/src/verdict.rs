//! Judges gates by their readings: pass, fail, unknown or not judged, with the reason (semantics C).

pub use crate::evidence::verdict::{Unknown, Verdict};

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::evidence::counting;
use super::evidence::gate::GateId;
use super::evidence::judge::{self, Weighed};
use super::hold::RevertCause;
use super::observation::{AlarmReading, AlarmState, HistoryReading, Observation};
use super::plan::{AlarmGate, NoData};
use super::state::State;
use super::units::AlarmId;

/// The verdicts on all gates of a cutover in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateJudgements {
    /// Each gate with its verdict: first the alarms, then the metric gates.
    pub gates: Vec<(GateId, Verdict)>,
    /// Each fallback alarm with its verdict.
    pub fallbacks: Vec<(AlarmId, Verdict)>,
    /// The fallback alarms that are in ALARM now. Only these prevent an automatic revert.
    pub fallbacks_red: Vec<AlarmId>,
    /// The evidence by which the metric gates were judged.
    pub weighed: Weighed,
    /// The facts that the journal must record, whatever is decided.
    pub events: Vec<Event>,
}

impl GateJudgements {
    /// Returns true if every gate passes. Fallback alarms are not considered.
    pub fn passes(&self) -> bool {
        self.gates
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Pass)
    }

    /// Returns the first gate that fails on the new side only, or else the first gate that fails. `None` if none fails.
    pub fn failure(&self) -> Option<(&GateId, &RevertCause)> {
        let mut first = None;
        for (gate, verdict) in &self.gates {
            let Verdict::Fail(cause) = verdict else {
                continue;
            };
            if !self.fails_on_both(gate) {
                return Some((gate, cause));
            }
            first = first.or(Some((gate, cause)));
        }
        first
    }

    /// Returns true if a gate fails on the old side too, so that a revert would not help.
    pub fn fails_on_both(&self, gate: &GateId) -> bool {
        self.weighed.old_too.contains(gate)
    }
}

/// Judges all gates and fallback alarms. The result depends only on the state and the readings.
pub fn judge(state: &State, observation: &Observation) -> GateJudgements {
    let mut judgement = GateJudgements::default();
    for gate in &state.plan().gates.alarms {
        // Before the start the new side has no traffic, so its alarms have no data (semantics C2).
        let no_data = if state.has_started() {
            gate.no_data
        } else {
            NoData::Pass
        };
        let verdict = judge_alarm(state, observation, gate, no_data, &mut judgement.events);
        let id = GateId::from(&gate.id);
        note_unknown(state, &id, &verdict, &mut judgement.events);
        judgement.gates.push((id, verdict));
    }
    for gate in &state.plan().gates.fallback_alarms {
        // While the old share is 0, the old side has no traffic, so its alarms have no data (semantics C2). Before the
        // start the old side has all traffic (semantics L14).
        let no_data = if state.old_is_idle() {
            NoData::Pass
        } else {
            gate.no_data
        };
        let verdict = judge_alarm(state, observation, gate, no_data, &mut judgement.events);
        note_unknown(
            state,
            &GateId::from(&gate.id),
            &verdict,
            &mut judgement.events,
        );
        if is_red(observation, &gate.id) && !state.ignored.contains(&gate.id) {
            judgement.fallbacks_red.push(gate.id.clone());
        }
        judgement.fallbacks.push((gate.id.clone(), verdict));
    }
    let weighed = judge::weigh(state, &observation.series);
    for (id, verdict) in &weighed.gates {
        note_unknown(state, id, verdict, &mut judgement.events);
        judgement.gates.push((id.clone(), verdict.clone()));
    }
    if let Some(tally) = &weighed.settled
        && counting::is_due(state, tally)
    {
        let tally = Box::new(tally.clone());
        judgement.events.push(Event::EvidenceCounted { tally });
    }
    judgement.weighed = weighed;
    judgement
}

/// Returns true if an alarm's history must be read to judge it: the alarm is not red now, but changed its state since
/// the first write, and that change was not judged.
pub fn needs_history(state: &State, alarm: &AlarmId, reading: &AlarmReading) -> bool {
    unjudged_transition(state, alarm, reading).is_some()
}

/// Returns true if an alarm is in ALARM now.
fn is_red(observation: &Observation, alarm: &AlarmId) -> bool {
    matches!(
        observation.alarms.get(alarm),
        Some(AlarmReading::Found {
            state: AlarmState::Alarm,
            ..
        })
    )
}

/// Returns an Unknown verdict with this reason.
fn unknown(why: &str) -> Verdict {
    Verdict::Unknown(Unknown::Other(why.to_owned()))
}

/// Judges one alarm by its reading. `no_data` is what INSUFFICIENT_DATA counts as. Adds facts for the journal to
/// `events`.
fn judge_alarm(
    state: &State,
    observation: &Observation,
    gate: &AlarmGate,
    no_data: NoData,
    events: &mut Vec<Event>,
) -> Verdict {
    match observation.alarms.get(&gate.id) {
        None => unknown("it was not read"),
        Some(AlarmReading::Missing) => Verdict::Unknown(Unknown::Missing),
        Some(AlarmReading::Unreadable(message)) => unknown(message),
        Some(AlarmReading::Denied(message)) => Verdict::Unknown(Unknown::Denied(message.clone())),
        Some(AlarmReading::Found {
            state: AlarmState::Alarm,
            transitioned_at,
            ..
        }) => judge_red(state, &gate.id, *transitioned_at, events),
        Some(
            reading @ AlarmReading::Found {
                state: alarm_state,
                evaluation,
                ..
            },
        ) => {
            if *alarm_state == AlarmState::Ok && state.ignored.contains(&gate.id) {
                events.extend(arm(&gate.id, reading));
            }
            if let Some(verdict) = judge_flap(state, observation, &gate.id, reading, events) {
                return verdict;
            }
            if let Some(evaluation) = evaluation {
                return unknown(&format!("its EvaluationState is {evaluation}"));
            }
            if *alarm_state == AlarmState::InsufficientData && no_data == NoData::Hold {
                return Verdict::Unknown(Unknown::NoData);
            }
            Verdict::Pass
        }
    }
}

/// Returns the facts that arm an ignored alarm, which was read OK. From now on it counts. Its time in ALARM until now
/// does not.
fn arm(alarm: &AlarmId, reading: &AlarmReading) -> Vec<Event> {
    let mut events = vec![Event::AlarmArmed {
        alarm: alarm.clone(),
    }];
    if let AlarmReading::Found {
        transitioned_at: Some(transitioned_at),
        ..
    } = reading
    {
        events.push(Event::AlarmJudged {
            alarm: alarm.clone(),
            transitioned_at: *transitioned_at,
            red: false,
        });
    }
    events
}

/// Judges an alarm that is red now: it fails, unless it is ignored.
fn judge_red(
    state: &State,
    alarm: &AlarmId,
    transitioned_at: Option<Timestamp>,
    events: &mut Vec<Event>,
) -> Verdict {
    if state.ignored.contains(alarm) {
        return Verdict::Pass;
    }
    let judged = state.judged.get(alarm).copied();
    if let Some(transitioned_at) = transitioned_at
        && judged.is_none_or(|judged| transitioned_at > judged)
        && state.has_started()
    {
        events.push(Event::AlarmJudged {
            alarm: alarm.clone(),
            transitioned_at,
            red: true,
        });
    }
    Verdict::Fail(RevertCause::AlarmRed {
        alarm: alarm.clone(),
    })
}

/// The age up to which changes of state before the start are journaled. Alarms are searched for flaps from a minute
/// before the first write (semantics C3), by a clock that may be off by a minute (semantics D3). Older changes
/// therefore do not matter.
const START_LOOKS_BACK: SignedDuration = SignedDuration::from_mins(10);

/// Returns the last changes of the alarms' states before the start as judged. The alarms were read and nothing held, so
/// a time in ALARM that was over by then was not caused by the new side, and is no flap (semantics C3).
pub fn seen_before_start(state: &State, observation: &Observation, now: Timestamp) -> Vec<Event> {
    let mut seen = Vec::new();
    for gate in state.plan().alarms() {
        let Some(AlarmReading::Found {
            state: AlarmState::Ok | AlarmState::InsufficientData,
            transitioned_at: Some(transitioned_at),
            ..
        }) = observation.alarms.get(&gate.id)
        else {
            continue;
        };
        let known = state.judged.get(&gate.id) >= Some(transitioned_at);
        let recent = *transitioned_at > now - START_LOOKS_BACK;
        if recent && !known {
            seen.push(Event::AlarmJudged {
                alarm: gate.id.clone(),
                transitioned_at: *transitioned_at,
                red: false,
            });
        }
    }
    seen
}

/// Returns the time of the alarm's last change of state. `None` if it came before the first write, was judged, or if
/// the alarm is red or ignored.
fn unjudged_transition(
    state: &State,
    alarm: &AlarmId,
    reading: &AlarmReading,
) -> Option<Timestamp> {
    let AlarmReading::Found {
        state: alarm_state,
        transitioned_at: Some(at),
        ..
    } = reading
    else {
        return None;
    };
    let first_write = state.first_write?;
    let judged = state.judged.get(alarm).is_some_and(|judged| at <= judged);
    if *alarm_state == AlarmState::Alarm || state.ignored.contains(alarm) {
        return None;
    }
    if *at <= first_write || judged {
        return None;
    }
    Some(*at)
}

/// Judges a change of state between two readings by the alarm's history. `None` if there was no such change, or if the
/// alarm was not in ALARM.
fn judge_flap(
    state: &State,
    observation: &Observation,
    alarm: &AlarmId,
    reading: &AlarmReading,
    events: &mut Vec<Event>,
) -> Option<Verdict> {
    let transitioned_at = unjudged_transition(state, alarm, reading)?;
    let since = state.first_write.max(state.judged.get(alarm).copied());
    let entries = match observation.histories.get(alarm) {
        None => return Some(unknown("its history was not read")),
        Some(HistoryReading::Unreadable(message)) => {
            return Some(unknown(&format!("its history cannot be read: {message}")));
        }
        Some(HistoryReading::Denied(message)) => {
            return Some(Verdict::Unknown(Unknown::Denied(message.clone())));
        }
        Some(HistoryReading::EnteredAlarm(entries)) => entries,
    };
    let entries = entries.iter().copied();
    let entered = entries.filter(|entry| Some(*entry) > since).max();
    events.push(Event::AlarmJudged {
        alarm: alarm.clone(),
        transitioned_at,
        red: entered.is_some(),
    });
    entered.map(|at| {
        Verdict::Fail(RevertCause::AlarmFlapped {
            alarm: alarm.clone(),
            at,
        })
    })
}

/// Adds an event if a gate becomes Unknown, or can be judged again. Before the first write nothing is recorded.
fn note_unknown(state: &State, alarm: &GateId, verdict: &Verdict, events: &mut Vec<Event>) {
    if !state.has_started() {
        return;
    }
    let was_unknown = state.unknown.contains_key(alarm);
    match verdict {
        Verdict::Unknown(unknown) if !was_unknown => {
            let reason = match unknown {
                Unknown::Missing => "CloudWatch does not know it".to_owned(),
                Unknown::NoData => "it is in INSUFFICIENT_DATA".to_owned(),
                Unknown::Denied(why) | Unknown::Other(why) => why.clone(),
            };
            events.push(Event::GateUnknown {
                alarm: alarm.clone(),
                reason,
            });
        }
        Verdict::Pass | Verdict::Fail(_) | Verdict::NotJudged(_) if was_unknown => {
            events.push(Event::GateKnown {
                alarm: alarm.clone(),
            });
        }
        Verdict::Pass | Verdict::Fail(_) | Verdict::Unknown(_) | Verdict::NotJudged(_) => {}
    }
}
