//! The verdict: how a rehearsed cutover ended, and what it cost.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::film::{Film, Reel, Tally};
use super::look::{Look, title};
use crate::engine::event::Event;
use crate::engine::hold::{HoldReason, RevertCause};
use crate::engine::lists;
use crate::engine::state::Phase;
use crate::report::{holds, text};

/// How a rehearsal ended for one cutover.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RunVerdict {
    /// All steps were taken.
    Completed,
    /// The traffic went back for this cause; `None` if nothing had been written.
    Reverted(Option<RevertCause>),
    /// The cutover neither completed nor went back, because of these holds.
    Held(Vec<HoldReason>),
}

impl RunVerdict {
    /// Reads the verdict from the last phase and the entries.
    pub(super) fn of(reel: &Reel) -> Self {
        match reel.phase {
            Phase::Completed => Self::Completed,
            Phase::Reverted => Self::Reverted(cause(reel)),
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted
            // Nobody abandons a rehearsal.
            | Phase::Abandoned => Self::Held(because(reel)),
        }
    }

    /// Returns the name of the verdict in JSON.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Reverted(_) => "reverted",
            Self::Held(_) => "held",
        }
    }
}

/// Returns the cause of the last revert; `None` if there was none.
fn cause(reel: &Reel) -> Option<RevertCause> {
    for entry in reel.entries.iter().rev() {
        if let Event::RevertIntended { cause, .. }
        | Event::RevertPerformedUnjournaled { cause, .. } = &entry.event
        {
            return Some(cause.clone());
        }
    }
    None
}

/// Returns the holds at the end; empty if no hold was journaled.
fn because(reel: &Reel) -> Vec<HoldReason> {
    for entry in reel.entries.iter().rev() {
        if let Event::StepHeld { because } = &entry.event {
            return because.clone();
        }
        if let Event::Halted { reason } = &entry.event {
            let reason = reason.clone();
            return vec![HoldReason::Halted { reason }];
        }
    }
    Vec::new()
}

/// Returns how long the cutover took: from the start of the rehearsal to its end, or to the end of the rehearsal if it
/// did not end.
pub(super) fn took(film: &Film, reel: &Reel) -> SignedDuration {
    let end = if reel.phase.is_final() {
        reel.phase_since
    } else {
        film.end
    };
    end.duration_since(film.start)
}

/// Returns the verdict and its costs as text for people.
pub(super) fn to_text(film: &Film, reel: &Reel, look: &Look) -> String {
    let took = text::duration(took(film, reel));
    let verdict = RunVerdict::of(reel);
    let (style, words) = match &verdict {
        RunVerdict::Completed => (text::GOOD, format!("completed after {took}")),
        RunVerdict::Reverted(Some(cause)) => (
            text::WARN,
            format!("reverted after {took}: {}", holds::cause(cause)),
        ),
        RunVerdict::Reverted(None) => (text::WARN, format!("cancelled after {took}")),
        RunVerdict::Held(because) => {
            let mut reasons = Vec::new();
            for reason in because {
                let fact = holds::short(reason);
                reasons.push(fact.trim_start_matches("halted: ").to_owned());
            }
            let why = if reasons.is_empty() {
                String::new()
            } else {
                format!(" because {}", lists::some(&reasons, "; "))
            };
            let phase = reel.phase.label();
            (text::BAD, format!("held: still {phase} after {took}{why}"))
        }
    };
    let name = format!("{}: ", reel.name);
    let line = text::wrap(&format!("{name}{words}"), 0, look.width);
    let first = text::styled(style, &line);
    let requests = requests(&reel.tally, matches!(verdict, RunVerdict::Reverted(_)));
    format!("{first}\n{}", text::wrap(&requests, 2, look.width))
}

/// Describes the requests that failed because of the cutover, and those that would have failed without the revert.
fn requests(tally: &Tally, reverted: bool) -> String {
    let all = amount(tally.requests);
    let failed = amount(tally.failed_by_cutover);
    let mut line = format!("{all} requests; {failed} failed because of the cutover");
    if reverted {
        let without = amount(tally.failed_without_revert);
        line = format!("{line}, {without} would have without the revert");
    }
    line
}

/// Returns the verdict as JSON.
pub(super) fn to_json(film: &Film, reel: &Reel) -> Value {
    let verdict = RunVerdict::of(reel);
    let mut shown = json!({
        "verdict": verdict.label(),
        "took_secs": took(film, reel).as_secs(),
    });
    match &verdict {
        RunVerdict::Completed | RunVerdict::Reverted(None) => {}
        RunVerdict::Reverted(Some(cause)) => {
            let mut value = serde_json::to_value(cause).unwrap_or(Value::Null);
            value["message"] = Value::from(holds::cause(cause));
            shown["cause"] = value;
        }
        RunVerdict::Held(because) => {
            shown["because"] = because
                .iter()
                .map(|reason| holds::because_json(reason, &reel.name, film.end))
                .collect();
        }
    }
    shown
}

/// Returns the title above a cutover's timeline, with its number of steps.
pub(super) fn steps_title(reel: &Reel) -> String {
    title(reel, &text::count(reel.plan.steps.len(), "step"))
}

/// Returns a number of requests, rounded to whole ones, in groups of three digits; millions with one decimal.
pub(super) fn amount(number: f64) -> String {
    if number >= 999_950.0 {
        return format!("{:.1} million", number / 1e6);
    }
    let digits = format!("{:.0}", number.max(0.0));
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Returns a part (0 to 1) in percent: two decimals below 1 %, one below 10 %, none above.
pub(super) fn percent(part: f64) -> String {
    let percent = part * 100.0;
    let text = if percent == 0.0 || percent >= 9.95 {
        format!("{percent:.0}")
    } else if percent >= 0.95 {
        format!("{percent:.1}")
    } else {
        format!("{percent:.2}")
    };
    let short = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{short}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_for_people() {
        assert_eq!(amount(0.4), "0");
        assert_eq!(amount(1_234.6), "1,235");
        assert_eq!(amount(999_949.0), "999,949");
        assert_eq!(amount(12_345_678.0), "12.3 million");
        assert_eq!(percent(0.0), "0%");
        assert_eq!(percent(0.2), "20%");
        assert_eq!(percent(0.015), "1.5%");
        assert_eq!(percent(0.001), "0.1%");
        assert_eq!(percent(0.01), "1%");
        assert_eq!(percent(1.0), "100%");
    }
}
