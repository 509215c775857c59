//! A gate and its readings → Pass, Fail or Unknown, with the reason (semantics C).

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::evidence::gate::GateId;
use super::evidence::judge::{self, Weighed};
use super::evidence::tally;
use super::hold::{HoldReason, RevertCause};
use super::observation::{AlarmReading, AlarmState, HistoryReading, Observation};
use super::plan::{AlarmGate, NoData};
use super::state::State;
use super::units::AlarmId;

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Pass,
    /// Red: take the traffic back (for a fallback alarm: do not advance).
    Fail(RevertCause),
    /// It cannot be seen. Never a pass.
    Unknown(Unknown),
    /// There is too little to judge by, or it says to wait. Holds, and never takes anything back.
    NotJudged(HoldReason),
}

/// Why a gate cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// CloudWatch does not know the alarm.
    Missing,
    /// The alarm is in INSUFFICIENT_DATA.
    NoData,
    /// The credentials may not read it; in words.
    Denied(String),
    /// Anything else, in words.
    Other(String),
}

/// All gates of a cutover, judged in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The gates, alarms first.
    pub gates: Vec<(GateId, Verdict)>,
    /// The fallback alarms.
    pub fallbacks: Vec<(AlarmId, Verdict)>,
    /// Fallback alarms that are in ALARM now; only these stand in the way of an automatic revert.
    pub fallbacks_red: Vec<AlarmId>,
    /// What the gates of metrics were judged from.
    pub weighed: Weighed,
    /// What was learned and must be journaled.
    pub events: Vec<Event>,
}

impl Judgement {
    /// Whether every gate passes.
    pub fn passes(&self) -> bool {
        self.gates
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Pass)
    }

    /// The first failing gate; one that does not fail on the old side too, if there is one.
    pub fn failure<'j>(&'j self) -> Option<(&'j GateId, &'j RevertCause)> {
        let failed = |(gate, verdict): &'j (GateId, Verdict)| match verdict {
            Verdict::Fail(cause) => Some((gate, cause)),
            Verdict::Pass | Verdict::Unknown(_) | Verdict::NotJudged(_) => None,
        };
        let mut failures = self.gates.iter().filter_map(failed);
        let first = failures.clone().next();
        failures
            .find(|(gate, _)| !self.fails_on_both(gate))
            .or(first)
    }

    /// Whether the old side shows the same, so that going back would not help.
    pub fn fails_on_both(&self, gate: &GateId) -> bool {
        self.weighed.old_too.contains(gate)
    }
}

/// Judges all gates and fallback alarms.
pub fn judge(state: &State, observation: &Observation) -> Judgement {
    let mut judgement = Judgement::default();
    for gate in &state.plan().gates.alarms {
        // Before the start the new side has no traffic, so it has no data (semantics C2).
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
        // At an old share of 0 the old side has no traffic, so it has no data (semantics C2). Before the start it has all of it
        // (semantics L14).
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
    if let Some(tally) = weighed
        .settled
        .as_ref()
        .filter(|tally| tally::is_due(state, tally))
    {
        let tally = Box::new(tally.clone());
        judgement.events.push(Event::EvidenceCounted { tally });
    }
    judgement.weighed = weighed;
    judgement
}

/// Whether the alarm's history must be read to judge it: it is not red now, but changed its state since the first
/// write, and that change has not been judged.
pub fn needs_history(state: &State, alarm: &AlarmId, reading: &AlarmReading) -> bool {
    unjudged_transition(state, alarm, reading).is_some()
}

fn is_red(observation: &Observation, alarm: &AlarmId) -> bool {
    matches!(
        observation.alarms.get(alarm),
        Some(AlarmReading::Found {
            state: AlarmState::Alarm,
            ..
        })
    )
}

fn judge_alarm(
    state: &State,
    observation: &Observation,
    gate: &AlarmGate,
    no_data: NoData,
    events: &mut Vec<Event>,
) -> Verdict {
    let unknown = |why: &str| Verdict::Unknown(Unknown::Other(why.to_owned()));
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

/// An ignored alarm is green for the first time: from here on it counts, and the visit to ALARM that just ended does not.
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
    if let Some(transitioned_at) =
        transitioned_at.filter(|at| judged.is_none_or(|judged| *at > judged))
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

/// A flap is looked for from a minute before the first write (semantics C3), by a clock that may be off by a minute (D3).
/// Changes of state much older than that are no news to anybody.
const START_LOOKS_BACK: SignedDuration = SignedDuration::from_mins(10);

/// What the alarms had been through when the start was decided. They were read and nothing held, so a visit to ALARM
/// that was over by then is neither a flap nor the new side's doing: it has been judged (semantics C3).
pub fn seen_before_start(state: &State, observation: &Observation, now: Timestamp) -> Vec<Event> {
    let gates = &state.plan().gates;
    let ids = gates.alarms.iter().chain(&gates.fallback_alarms);
    let seen = ids.filter_map(|gate| {
        let Some(AlarmReading::Found {
            state: AlarmState::Ok | AlarmState::InsufficientData,
            transitioned_at: Some(transitioned_at),
            ..
        }) = observation.alarms.get(&gate.id)
        else {
            return None;
        };
        let known = state.judged.get(&gate.id) >= Some(transitioned_at);
        let recent = *transitioned_at > now - START_LOOKS_BACK;
        (recent && !known).then(|| Event::AlarmJudged {
            alarm: gate.id.clone(),
            transitioned_at: *transitioned_at,
            red: false,
        })
    });
    seen.collect()
}

/// The alarm's last change of state, if it came after the first write and has not been judged.
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
    let judged = state.judged.get(alarm).copied();
    let counts = *alarm_state != AlarmState::Alarm && !state.ignored.contains(alarm);
    (counts && *at > first_write && judged.is_none_or(|judged| *at > judged)).then_some(*at)
}

/// Looks a change of state up that happened between two readings. None means that there is nothing to look up, or that
/// it was no visit to ALARM.
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
        None => {
            return Some(Verdict::Unknown(Unknown::Other(
                "its history was not read".to_owned(),
            )));
        }
        Some(HistoryReading::Unreadable(message)) => {
            let why = format!("its history cannot be read: {message}");
            return Some(Verdict::Unknown(Unknown::Other(why)));
        }
        Some(HistoryReading::Denied(message)) => {
            return Some(Verdict::Unknown(Unknown::Denied(message.clone())));
        }
        Some(HistoryReading::EnteredAlarm(entries)) => entries,
    };
    let entered = entries
        .iter()
        .copied()
        .filter(|entry| Some(*entry) > since)
        .max();
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

/// Journals when a gate begins or ceases to be Unknown; before the first write that does not count.
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
