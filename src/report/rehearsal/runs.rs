//! Many rehearsals of the same plans, each from its own seed: how often they end how, and how long they take.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Look;
use super::film::{Film, Reel};
use super::verdict::{self, Verdict};
use crate::engine::evidence::gate::GateId;
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::units::{AlarmId, CutoverName};
use crate::report::{holds, text};

/// What is kept of one cutover's run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What chance was drawn from.
    pub seed: u64,
    /// How it ended.
    pub ended: Ended,
    /// How long it took; to the end of the rehearsal, if it was held.
    pub took: SignedDuration,
    /// The requests that failed because of the cutover.
    pub failed: f64,
}

/// How a run ended, without what is different in each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// All steps were taken.
    Completed,
    /// The traffic went back, and by what: a gate, a failed step, a person.
    Reverted(By),
    /// Neither.
    Held(Option<String>),
}

/// What took the traffic back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// An alarm was red, also between two readings.
    Red(AlarmId),
    /// An alarm could not be judged for too long.
    Unknown(GateId),
    /// A gate of metrics failed.
    Measured(GateId),
    /// A step failed.
    StepFailed,
    /// Nobody approved a step in time.
    ApprovalTimeout,
    /// A hook failed.
    HookFailed,
    /// A person asked.
    Operator,
    /// A write of ours landed late.
    LateWrite,
    /// Nothing had been written.
    Cancelled,
}

/// The runs of each cutover.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runs {
    /// By cutover, in the order of the seeds.
    pub cutovers: BTreeMap<CutoverName, Vec<Run>>,
    /// Whether the scenario asks for anything to go wrong.
    pub faulty: bool,
}

/// What is counted of a film: a run of each cutover.
pub fn count(film: &Film) -> Vec<(CutoverName, Run)> {
    let run = |reel: &Reel| Run {
        seed: film.seed,
        ended: ended(&Verdict::of(reel)),
        took: verdict::took(film, reel),
        failed: reel.tally.failed_by_cutover,
    };
    let runs = film.reels.iter().map(|reel| (reel.name.clone(), run(reel)));
    runs.collect()
}

impl Runs {
    /// Takes up the runs of the next seed.
    pub fn add(&mut self, counted: Vec<(CutoverName, Run)>) {
        for (name, run) in counted {
            self.cutovers.entry(name).or_default().push(run);
        }
    }
}

fn ended(verdict: &Verdict) -> Ended {
    match verdict {
        Verdict::Completed => Ended::Completed,
        Verdict::Reverted(None) => Ended::Reverted(By::Cancelled),
        Verdict::Reverted(Some(cause)) => Ended::Reverted(match cause {
            RevertCause::AlarmRed { alarm } | RevertCause::AlarmFlapped { alarm, .. } => {
                By::Red(alarm.clone())
            }
            RevertCause::UnknownTooLong { alarm, .. } => By::Unknown(alarm.clone()),
            RevertCause::MeasureBeyond { gate, .. } | RevertCause::Worse { gate, .. } => {
                By::Measured(gate.clone())
            }
            RevertCause::StepFailed { .. } => By::StepFailed,
            RevertCause::ApprovalTimeout { .. } => By::ApprovalTimeout,
            RevertCause::HookFailed { .. } => By::HookFailed,
            RevertCause::Operator { .. } => By::Operator,
            RevertCause::LateWrite {} => By::LateWrite,
        }),
        Verdict::Held(because) => {
            let first = because.first().map(HoldReason::subject);
            Ended::Held(first.map(|reason| holds::kind(&reason)))
        }
    }
}

impl Ended {
    fn label(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Reverted(_) => "reverted",
            Self::Held(_) => "held",
        }
    }

    /// What it was, beyond its label; for people.
    fn words(&self) -> String {
        match self {
            Self::Completed => String::new(),
            Self::Reverted(By::Red(alarm)) => format!("alarm {alarm} was red"),
            Self::Reverted(By::Unknown(gate)) => format!("{gate} could not be judged"),
            Self::Reverted(By::Measured(gate)) => format!("{gate} failed"),
            Self::Reverted(By::StepFailed) => "a step failed".to_owned(),
            Self::Reverted(By::HookFailed) => "a hook failed".to_owned(),
            Self::Reverted(By::ApprovalTimeout) => "nobody approved in time".to_owned(),
            Self::Reverted(By::Operator) => "a person asked for it".to_owned(),
            Self::Reverted(By::LateWrite) => "a write of ours landed late".to_owned(),
            Self::Reverted(By::Cancelled) => "cancelled before the first write".to_owned(),
            Self::Held(Some(kind)) => kind.replace('_', " "),
            Self::Held(None) => "nothing said why".to_owned(),
        }
    }

    /// The alarm that it was, if one.
    fn alarm(&self) -> Option<&AlarmId> {
        match self {
            Self::Reverted(By::Red(alarm)) => Some(alarm),
            Self::Completed | Self::Reverted(_) | Self::Held(_) => None,
        }
    }
}

/// The smallest, the middle, the 95th of a hundred, the largest: of values in order.
struct Spread<T> {
    min: T,
    median: T,
    p95: T,
    max: T,
}

/// None of nothing.
fn spread<T: Copy>(sorted: &[T]) -> Option<Spread<T>> {
    // The nearest rank: the smallest value that at least so many of a hundred do not exceed.
    let rank = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    };
    Some(Spread {
        min: *sorted.first()?,
        median: rank(50)?,
        p95: rank(95)?,
        max: *sorted.last()?,
    })
}

fn took(runs: &[Run], wanted: &str) -> Option<Spread<SignedDuration>> {
    let of_kind = runs.iter().filter(|run| run.ended.label() == wanted);
    let mut all: Vec<SignedDuration> = of_kind.map(|run| run.took).collect();
    all.sort_unstable();
    spread(&all)
}

fn failed(runs: &[Run]) -> Option<Spread<f64>> {
    let mut all: Vec<f64> = runs.iter().map(|run| run.failed).collect();
    all.sort_by(f64::total_cmp);
    spread(&all)
}

/// How often each end was reached, the most frequent first.
fn ends(runs: &[Run]) -> Vec<(&Ended, Vec<u64>)> {
    let mut seeds: BTreeMap<&Ended, Vec<u64>> = BTreeMap::new();
    for run in runs {
        seeds.entry(&run.ended).or_default().push(run.seed);
    }
    let mut all: Vec<_> = seeds.into_iter().collect();
    all.sort_by_key(|(_, seeds)| std::cmp::Reverse(seeds.len()));
    all
}

/// The distribution for people.
pub fn to_text(runs: &Runs, look: &Look) -> String {
    let blocks: Vec<String> = runs
        .cutovers
        .iter()
        .map(|(name, of_name)| one(name, of_name, runs.faulty, look))
        .collect();
    let mut shown = blocks.join("\n\n");
    shown.push('\n');
    shown
}

fn one(name: &CutoverName, runs: &[Run], faulty: bool, look: &Look) -> String {
    let first = runs.first().map_or(0, |run| run.seed);
    let last = runs.last().map_or(0, |run| run.seed);
    let many = text::count(runs.len(), "run");
    let title = format!("{name}: {many}, seeds {first} to {last}");
    let mut lines = vec![text::styled(text::TITLE, &title)];
    for (ended, seeds) in ends(runs) {
        let part = ratio(seeds.len(), runs.len());
        let style = match ended {
            Ended::Completed => text::GOOD,
            Ended::Reverted(_) => text::WARN,
            Ended::Held(_) => text::BAD,
        };
        let label = text::styled(style, &format!("{:<9}", ended.label()));
        let numbers = format!("{:>5}  {:>5}", seeds.len(), verdict::percent(part));
        let mut words = ended.words();
        if *ended != Ended::Completed {
            words = format!("{words} (--seed {})", some(&seeds));
        }
        let rest = look.hang("", REST_CELLS, &words);
        let rest = rest.get(REST_CELLS..).unwrap_or_default();
        lines.push(format!("  {label}{numbers}  {rest}").trim_end().to_owned());
    }
    lines.extend(spreads(runs));
    if !faulty {
        lines.push(text::wrap(&healthy(runs), 2, look.width));
    }
    lines.join("\n")
}

/// `  completed  1000   100%  `
const REST_CELLS: usize = 25;

/// Some of the seeds, with which a run can be seen again.
fn some(seeds: &[u64]) -> String {
    let first: Vec<String> = seeds.iter().take(SEEDS_MAX).map(u64::to_string).collect();
    let more = if seeds.len() > SEEDS_MAX { " …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// As many are enough to begin with.
const SEEDS_MAX: usize = 5;

/// How long they took and what they cost: a line each, in columns.
fn spreads(runs: &[Run]) -> Vec<String> {
    let head = ["", "least", "median", "95 in 100", "most"].map(str::to_owned);
    let mut rows: Vec<[String; 5]> = vec![head];
    for kind in ["completed", "reverted", "held"] {
        if let Some(spread) = took(runs, kind) {
            rows.push(row(&format!("{kind} after"), &spread, text::duration));
        }
    }
    if let Some(spread) = failed(runs) {
        rows.push(row("failed requests", &spread, verdict::amount));
    }
    let line = |row: &[String; 5]| {
        let [name, least, median, p95, most] = row;
        format!("  {name:<16} {least:>12} {median:>12} {p95:>12} {most:>12}")
    };
    rows.iter().map(line).collect()
}

fn row<T: Copy>(name: &str, spread: &Spread<T>, words: impl Fn(T) -> String) -> [String; 5] {
    let Spread {
        min,
        median,
        p95,
        max,
    } = *spread;
    [
        name.to_owned(),
        words(min),
        words(median),
        words(p95),
        words(max),
    ]
}

/// What it means that some did not complete although nothing was made to go wrong.
fn healthy(runs: &[Run]) -> String {
    let count = |kind: &str| runs.iter().filter(|run| run.ended.label() == kind).count();
    format!(
        "nothing was made to go wrong: of {}, {} went back and {} held all the same",
        text::count(runs.len(), "healthy run"),
        count("reverted"),
        count("held")
    )
}

/// A part of a whole. Neither is ever near the bounds of 32 bits.
fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    if whole == 0 {
        0.0
    } else {
        number(part) / number(whole)
    }
}

/// The distribution as JSON: an array with an object a cutover.
pub fn to_json(runs: &Runs) -> Value {
    let cutovers = runs.cutovers.iter().map(|(name, runs)| {
        json!({
            "name": name,
            "runs": runs.len(),
            "ends": ends(runs).into_iter().map(|(ended, seeds)| json!({
                "verdict": ended.label(),
                "why": (*ended != Ended::Completed).then(|| ended.words()),
                "alarm": ended.alarm(),
                "runs": seeds.len(),
                "percent": ratio(seeds.len(), runs.len()) * 100.0,
                "seeds": seeds,
            })).collect::<Vec<_>>(),
            "completed_after_secs": took(runs, "completed").map(seconds),
            "reverted_after_secs": took(runs, "reverted").map(seconds),
            "held_after_secs": took(runs, "held").map(seconds),
            "failed_by_cutover": failed(runs).map(|spread| json!({
                "min": spread.min.round(),
                "median": spread.median.round(),
                "p95": spread.p95.round(),
                "max": spread.max.round(),
            })),
        })
    });
    json!({ "faults": runs.faulty, "cutovers": cutovers.collect::<Vec<_>>() })
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map` hands over")]
fn seconds(spread: Spread<SignedDuration>) -> Value {
    json!({
        "min": spread.min.as_secs(),
        "median": spread.median.as_secs(),
        "p95": spread.p95.as_secs(),
        "max": spread.max.as_secs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_of_a_hundred_is_the_nearest_rank() {
        let sorted: Vec<u32> = (1..=200).collect();
        let spread = spread(&sorted).unwrap();
        assert_eq!((spread.min, spread.median), (1, 100));
        assert_eq!((spread.p95, spread.max), (190, 200));
        assert!(super::spread::<u32>(&[]).is_none());
    }
}
