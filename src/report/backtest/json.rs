//! The output of `cutover backtest` as JSON.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::engine::backtest::{Backtest, End, GatePast, Run, Sight, Stretch};
use crate::engine::observation::AlarmState;
use crate::report::holds;
use crate::report::text::rfc3339;

/// Returns all backtests as a JSON array. Fields are only ever added.
pub fn to_json(backtests: &[Backtest]) -> Value {
    backtests.iter().map(one).collect()
}

fn one(test: &Backtest) -> Value {
    let ends = test.ends();
    let took = test.took();
    let took_secs = if took.is_empty() {
        Value::Null
    } else {
        json!({
            "min": secs(took.first()),
            "median": secs(took.get(took.len() / 2)),
            "max": secs(took.last()),
        })
    };
    json!({
        "name": test.source.plan.name.as_str(),
        "path": test.source.path,
        "since": rfc3339(test.since),
        "until": rfc3339(test.until),
        "every_secs": test.every.as_secs(),
        "starts": test.runs.len(),
        "completed": ends.completed,
        "reverted": ends.reverted,
        "halted": ends.halted,
        "cut": ends.cut,
        "week": test.week().map(|week| json!({
            "starts": week.starts,
            "reverted": week.reverted,
        })),
        "took_secs": took_secs,
        "gates": test.gates.iter().map(gate).collect::<Vec<Value>>(),
        "runs": test.runs.iter().map(run).collect::<Vec<Value>>(),
    })
}

fn secs(length: Option<&SignedDuration>) -> Option<i64> {
    length.map(SignedDuration::as_secs)
}

fn gate(gate: &GatePast) -> Value {
    let (sight, message) = match &gate.sight {
        Sight::Seen => ("seen", None),
        Sight::NeverData => ("never_data", None),
        Sight::Missing => ("missing", None),
        Sight::Unreadable(message) => ("unreadable", Some(message)),
        Sight::NotRecorded => ("not_recorded", None),
        Sight::NotThen => ("not_then", None),
    };
    json!({
        "gate": gate.id,
        "fallback": gate.fallback,
        "sight": sight,
        "message": message,
        "red": gate.visits().map(stretch).collect::<Vec<Value>>(),
        "red_secs": gate.time_in(AlarmState::Alarm).as_secs(),
        "no_data_secs": gate.time_in(AlarmState::InsufficientData).as_secs(),
        "flaps": gate.flaps(),
        "reverted": gate.reverted,
    })
}

fn stretch(stretch: &Stretch) -> Value {
    json!({ "from": rfc3339(stretch.from), "until": rfc3339(stretch.until) })
}

fn run(run: &Run) -> Value {
    let (end, at, step, message) = match &run.end {
        End::Completed { at } => ("completed", Some(*at), None, None),
        End::Reverted { at, step, cause } => (
            "reverted",
            Some(*at),
            Some(*step),
            Some(holds::cause(cause)),
        ),
        End::Halted { at, step, reason } => (
            "halted",
            Some(*at),
            Some(*step),
            Some(holds::halt_fact(reason)),
        ),
        End::Cut { step, .. } => ("cut", None, Some(*step), None),
    };
    json!({
        "start": rfc3339(run.start),
        "began_at": run.began_at.map(rfc3339),
        "end": end,
        "at": at.map(rfc3339),
        "step": step,
        "gate": run.reverted_by(),
        "message": message,
    })
}
