//! Many rehearsals of the same plans, each from its own seed: how often each end is reached, and how long that takes.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Look;
use super::film::Film;
use super::verdict::{self, RunVerdict};
use crate::engine::evidence::gate::GateId;
use crate::engine::hold::RevertCause;
use crate::engine::units::{AlarmId, CutoverName};
use crate::report::text;

/// The result of one run for one cutover.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedRun {
    /// The seed of all random numbers of the run.
    pub seed: u64,
    /// How the run ended.
    pub ended: Ended,
    /// How long the run took; up to the end of the rehearsal if the cutover was held.
    pub took: SignedDuration,
    /// Number of requests that failed because of the cutover.
    pub failed: f64,
}

/// How a run ended, without the details that differ between runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// All steps were taken.
    Completed,
    /// The traffic went back, by a gate, a failed step, or a person.
    Reverted(By),
    /// The cutover neither completed nor went back. Has the kind of its first hold; `None` if no hold was journaled.
    Held(Option<String>),
}

/// The kind of cause that sent the traffic back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// An alarm was red, at a reading or between two.
    Red(AlarmId),
    /// An alarm could not be judged for too long.
    Unknown(GateId),
    /// A gate of metrics failed.
    Measured(GateId),
    /// A step could not be written, or not in time.
    StepFailed,
    /// Nobody approved a step in time.
    ApprovalTimeout,
    /// A hook failed for good.
    HookFailed,
    /// A person asked for it.
    Operator,
    /// One of our writes landed after the revert had ended.
    LateWrite,
    /// The cutover was cancelled before anything was written.
    Cancelled,
}

/// The runs of each cutover.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runs {
    /// The runs by cutover, in the order of the seeds.
    pub cutovers: BTreeMap<CutoverName, Vec<CountedRun>>,
    /// True if the scenario has faults.
    pub faulty: bool,
}

/// Returns the run of each cutover in a rehearsal.
pub fn count(film: &Film) -> Vec<(CutoverName, CountedRun)> {
    let mut runs = Vec::new();
    for reel in &film.reels {
        let run = CountedRun {
            seed: film.seed,
            ended: ended(&RunVerdict::of(reel)),
            took: verdict::took(film, reel),
            failed: reel.tally.failed_by_cutover,
        };
        runs.push((reel.name.clone(), run));
    }
    runs
}

impl Runs {
    /// Adds the runs of the next seed.
    pub fn add(&mut self, counted: Vec<(CutoverName, CountedRun)>) {
        for (name, run) in counted {
            self.cutovers.entry(name).or_default().push(run);
        }
    }
}

fn ended(verdict: &RunVerdict) -> Ended {
    match verdict {
        RunVerdict::Completed => Ended::Completed,
        RunVerdict::Reverted(None) => Ended::Reverted(By::Cancelled),
        RunVerdict::Reverted(Some(cause)) => Ended::Reverted(match cause {
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
        RunVerdict::Held(because) => {
            Ended::Held(because.first().map(|reason| reason.kind().to_owned()))
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

    /// Returns the cause, for people; empty if the run completed.
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
            Self::Reverted(By::LateWrite) => "one of our writes landed late".to_owned(),
            Self::Reverted(By::Cancelled) => "cancelled before the first write".to_owned(),
            Self::Held(Some(kind)) => kind.replace('_', " "),
            Self::Held(None) => "no reason given".to_owned(),
        }
    }

    /// Returns the alarm that was red and so caused the revert; otherwise `None`.
    fn alarm(&self) -> Option<&AlarmId> {
        match self {
            Self::Reverted(By::Red(alarm)) => Some(alarm),
            Self::Completed | Self::Reverted(_) | Self::Held(_) => None,
        }
    }
}

/// The minimum, the median, the 95th percentile and the maximum of some values.
struct Spread<T> {
    min: T,
    median: T,
    p95: T,
    max: T,
}

/// Returns the spread of sorted values; `None` if there are no values.
fn spread<T: Copy>(sorted: &[T]) -> Option<Spread<T>> {
    Some(Spread {
        min: *sorted.first()?,
        median: *percentile(sorted, 50)?,
        p95: *percentile(sorted, 95)?,
        max: *sorted.last()?,
    })
}

/// Returns a percentile by the nearest rank: the smallest of the sorted values that at least `percent` of a hundred do
/// not exceed. `None` if there are no values.
fn percentile<T>(sorted: &[T], percent: usize) -> Option<&T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1)
}

fn took(runs: &[CountedRun], wanted: &str) -> Option<Spread<SignedDuration>> {
    let of_kind = runs.iter().filter(|run| run.ended.label() == wanted);
    let mut all: Vec<SignedDuration> = of_kind.map(|run| run.took).collect();
    all.sort_unstable();
    spread(&all)
}

fn failed(runs: &[CountedRun]) -> Option<Spread<f64>> {
    let mut all: Vec<f64> = runs.iter().map(|run| run.failed).collect();
    all.sort_by(f64::total_cmp);
    spread(&all)
}

/// Returns the ends that were reached, each with its seeds, the most frequent end first.
fn ends(runs: &[CountedRun]) -> Vec<(&Ended, Vec<u64>)> {
    let mut seeds: BTreeMap<&Ended, Vec<u64>> = BTreeMap::new();
    for run in runs {
        seeds.entry(&run.ended).or_default().push(run.seed);
    }
    let mut all: Vec<_> = seeds.into_iter().collect();
    all.sort_by_key(|(_, seeds)| std::cmp::Reverse(seeds.len()));
    all
}

/// Returns the distribution of the ends as text for people.
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

fn one(name: &CutoverName, runs: &[CountedRun], faulty: bool, look: &Look) -> String {
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

/// Width of `  completed  1000   100%  `, in columns.
const REST_CELLS: usize = 25;

/// Returns the first [`SEEDS_MAX`] seeds, with which a run can be repeated.
fn some(seeds: &[u64]) -> String {
    let first: Vec<String> = seeds.iter().take(SEEDS_MAX).map(u64::to_string).collect();
    let more = if seeds.len() > SEEDS_MAX { " …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Largest number of seeds that are shown.
const SEEDS_MAX: usize = 5;

/// Returns the durations and failed requests, one line each, in columns.
fn spreads(runs: &[CountedRun]) -> Vec<String> {
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
    let mut lines = Vec::new();
    for [name, least, median, p95, most] in rows {
        lines.push(format!(
            "  {name:<16} {least:>12} {median:>12} {p95:>12} {most:>12}"
        ));
    }
    lines
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

/// Describes the runs that did not complete although the scenario has no faults.
fn healthy(runs: &[CountedRun]) -> String {
    let (mut reverted, mut held) = (0, 0);
    for run in runs {
        match run.ended {
            Ended::Completed => {}
            Ended::Reverted(_) => reverted += 1,
            Ended::Held(_) => held += 1,
        }
    }
    format!(
        "the scenario has no faults: of {}, {reverted} reverted and {held} held anyway",
        text::count(runs.len(), "healthy run"),
    )
}

/// Returns a part of a whole, from 0 to 1; 0 if the whole is 0.
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}

/// Converts a count of runs, which is never too large for 32 bits.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Returns the distribution as JSON: whether the scenario has faults, and an array with an object for each cutover.
pub fn to_json(runs: &Runs) -> Value {
    let mut cutovers = Vec::new();
    for (name, of_name) in &runs.cutovers {
        cutovers.push(one_to_json(name, of_name));
    }
    json!({ "faults": runs.faulty, "cutovers": cutovers })
}

fn one_to_json(name: &CutoverName, runs: &[CountedRun]) -> Value {
    let ends: Vec<Value> = ends(runs)
        .into_iter()
        .map(|(ended, seeds)| end_to_json(ended, &seeds, runs.len()))
        .collect();
    json!({
        "name": name,
        "runs": runs.len(),
        "ends": ends,
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
}

fn end_to_json(ended: &Ended, seeds: &[u64], all: usize) -> Value {
    let why = match ended {
        Ended::Completed => None,
        Ended::Reverted(_) | Ended::Held(_) => Some(ended.words()),
    };
    json!({
        "verdict": ended.label(),
        "why": why,
        "alarm": ended.alarm(),
        "runs": seeds.len(),
        "percent": ratio(seeds.len(), all) * 100.0,
        "seeds": seeds,
    })
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
