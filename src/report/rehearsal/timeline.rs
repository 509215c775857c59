//! Shows the timeline: a line for each decision and its causes.

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};

use super::film::{Film, Reel};
use super::look::Look;
use super::verdict;
use crate::engine::event::{Envelope, Event};
use crate::engine::evidence::gate::GateId;
use crate::engine::hold::HoldReason;
use crate::engine::jobs::JobSide;
use crate::engine::lists;
use crate::report::{events, holds, text};

/// One line of the timeline, or several equal ones.
struct Line {
    at: Timestamp,
    sign: Sign,
    words: String,
    /// Number of equal lines.
    times: usize,
    /// When the last of the equal lines happened.
    last: Timestamp,
}

/// The kind of a line. Each has a sign of its own, so that nothing depends on colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A step, or other progress.
    Forward,
    /// A fault begins or ends, or something else happens in the simulated world.
    World,
    /// The cutover is held.
    Hold,
    /// All holds are cleared. The line is left out if another line follows at once.
    Free,
    /// The traffic goes back.
    Back,
    /// A person is paged or needed.
    Page,
}

impl Sign {
    /// Returns the sign before the words, and its style.
    fn mark(self) -> (&'static str, Style) {
        match self {
            Self::Forward => ("→", text::GOOD),
            Self::World => ("×", text::WARN),
            Self::Hold | Self::Free => ("·", text::FAINT),
            Self::Back => ("↩", text::WARN),
            Self::Page => ("!", text::BAD),
        }
    }
}

/// Width of `Fri 12-04 11:04:10 → ` with its indentation, in columns.
const FIRST_CELLS: usize = 23;

/// Returns the timeline of one cutover.
pub(super) fn to_text(film: &Film, reel: &Reel, look: &Look) -> String {
    let mut lines = faults(film);
    let mut reader = EntryReader::new(reel);
    for entry in &reel.entries {
        if let Some((sign, words)) = reader.read(entry) {
            push(&mut lines, entry.at, sign, words);
        }
    }
    lines.sort_by_key(|line| line.at);
    let mut shown = vec![verdict::steps_title(reel)];
    for line in without_short_freedom(lines) {
        shown.push(line.shown(look));
    }
    shown.join("\n")
}

/// Returns lines for the start and the end of each fault.
fn faults(film: &Film) -> Vec<Line> {
    let mut lines = Vec::new();
    for trouble in &film.faults {
        if trouble.from <= film.end {
            push(&mut lines, trouble.from, Sign::World, trouble.what.clone());
        }
        if let Some(until) = trouble.until
            && until <= film.end
        {
            let over = format!("over: {}", trouble.what);
            push(&mut lines, until, Sign::World, over);
        }
    }
    lines
}

/// Appends a line, or counts it with the last line if both have the same words.
fn push(lines: &mut Vec<Line>, at: Timestamp, sign: Sign, words: String) {
    if let Some(last) = lines.last_mut()
        && last.words == words
    {
        last.times += 1;
        last.last = at;
        return;
    }
    lines.push(Line {
        at,
        sign,
        words,
        times: 1,
        last: at,
    });
}

/// Returns the lines without each "all holds cleared" that another line follows at once, because the other line implies
/// it.
fn without_short_freedom(lines: Vec<Line>) -> Vec<Line> {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        if let Some(last) = kept.last()
            && last.sign == Sign::Free
            && line.at.duration_since(last.at) < AT_ONCE
        {
            kept.pop();
        }
        kept.push(line);
    }
    kept
}

/// Lines less than this apart follow each other at once.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(90);

impl Line {
    fn shown(&self, look: &Look) -> String {
        let (mark, style) = self.sign.mark();
        let first = format!("  {} {mark}", look.second(self.at));
        let mut words = self.words.clone();
        if self.times > 1 {
            let last = look.second(self.last);
            words = format!("{words} ({} times, last {last})", self.times);
        }
        let line = look.hang(&first, FIRST_CELLS, &words);
        let sign = text::styled(style, mark);
        line.replacen(&format!(" {mark} "), &format!(" {sign} "), 1)
    }
}

/// Reads entries in order, and remembers what later entries need.
struct EntryReader<'reel> {
    reel: &'reel Reel,
    /// The step whose weights were intended last.
    step: u16,
    /// True if a try of that write has failed.
    troubled: bool,
    /// The message of the last failed write.
    failure: String,
    /// The current holds, without the usual ones.
    holds: Vec<HoldReason>,
    /// True if a person skipped the last bake.
    skipped: bool,
}

impl<'reel> EntryReader<'reel> {
    fn new(reel: &'reel Reel) -> Self {
        Self {
            reel,
            step: 0,
            troubled: false,
            failure: String::new(),
            holds: Vec::new(),
            skipped: false,
        }
    }

    /// Returns the line of an entry; `None` if another line says it better.
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry an event, none left out"
    )]
    fn read(&mut self, entry: &Envelope) -> Option<(Sign, String)> {
        let sign = match &entry.event {
            Event::WeightChangeIntended { step, .. } => {
                return Some((Sign::Forward, self.intended(*step)));
            }
            Event::Completed { .. } => return Some((Sign::Forward, self.completed())),
            Event::StepHeld { because } => return self.held(because),
            Event::WeightsVerified { .. } => {
                if !std::mem::take(&mut self.troubled) {
                    return None;
                }
                Sign::Forward
            }
            Event::BakeSkipDecided { skipped, .. } => {
                self.skipped = *skipped;
                Sign::Forward
            }
            Event::WeightChangeFailed { message, .. } => {
                self.failure.clone_from(message);
                self.troubled = true;
                Sign::Hold
            }
            Event::WeightChangeAbandoned { moved, reason, .. } => {
                self.troubled = true;
                if moved.is_empty() && *reason == self.failure {
                    return None;
                }
                Sign::Hold
            }
            Event::ChangeLost { .. } => {
                self.troubled = true;
                Sign::Hold
            }
            Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. } => {
                self.holds.clear();
                Sign::Back
            }
            Event::Reverted { .. } => {
                self.step = 0;
                Sign::Back
            }
            Event::StrayWeightsFound { members } if members.is_empty() => Sign::World,
            Event::StrayWeightsFound { .. }
            | Event::Halted { .. }
            | Event::Abandoned { .. }
            | Event::HookFailed { given_up: true, .. } => Sign::Page,
            Event::HookFailed { .. } => Sign::Hold,
            Event::JobSwitchIntended { to: JobSide::Old } => Sign::Back,
            Event::DriftDetected { .. } => Sign::World,
            Event::DriftCleared {}
            | Event::DriftAdopted { .. }
            | Event::AlarmIgnored { .. }
            | Event::AlarmArmed { .. }
            | Event::PauseRequested { .. }
            | Event::ResumeRequested { .. }
            | Event::StepApproved { .. }
            | Event::BakeSkipRequested { .. }
            | Event::RetryRequested { .. }
            | Event::PlanAmended { .. }
            | Event::RollbackRequested { .. }
            | Event::HookSucceeded { .. }
            | Event::JobSwitchIntended { to: JobSide::New }
            | Event::JobsOff { .. }
            | Event::JobsMoved { .. } => Sign::Forward,
            Event::PlanAccepted { .. }
            | Event::WeightChangeSubmitted { .. }
            | Event::ChangeInSync { .. }
            | Event::AliasTtlsRead { .. }
            | Event::EvidenceCounted { .. }
            | Event::BakeStarted { .. }
            | Event::GatesPassed {}
            | Event::BakeCounted { .. }
            | Event::StepReopened { .. }
            | Event::StepCompleted { .. }
            | Event::GateUnknown { .. }
            | Event::GateKnown { .. }
            | Event::AlarmJudged { .. }
            | Event::BaselineSeen { .. }
            | Event::ForeignWeightsSeen { .. }
            | Event::PageSent { .. }
            | Event::HookIntended { .. }
            | Event::JobTurnIntended { .. }
            | Event::JobTurnAnswered { .. }
            | Event::JobTurnResolved { .. }
            | Event::JobsDrained { .. }
            | Event::FleetSettingsAccepted { .. }
            | Event::FleetSlotTaken { .. }
            | Event::FleetBudgetSpent { .. }
            | Event::FleetHeld { .. }
            | Event::FleetFrozen { .. }
            | Event::FleetUnfrozen { .. }
            | Event::FleetResumed { .. }
            | Event::CutoverDamaged { .. }
            | Event::DamagedTakenBack { .. }
            | Event::Unreadable { .. } => return None,
        };
        Some((sign, events::event(&entry.event)))
    }

    /// Describes a step that is taken: its number, its share, and why it is taken now.
    fn intended(&mut self, step: u16) -> String {
        let plan = &self.reel.plan;
        let share = match plan.step(step) {
            Some(planned) => format!(
                ": {} to the new side ({})",
                text::share(planned.share),
                planned.pair
            ),
            None => String::new(),
        };
        let why = if step == self.step {
            "once more".to_owned()
        } else if step == 1 {
            "nothing holds it".to_owned()
        } else {
            self.baked(step - 1)
        };
        self.step = step;
        self.troubled = false;
        self.holds.clear();
        format!("step {step} of {}{share}; {why}", plan.step_count())
    }

    /// Describes how the bake of a step ended.
    fn baked(&mut self, step: u16) -> String {
        if std::mem::take(&mut self.skipped) {
            return format!("the bake of step {step} was skipped");
        }
        let bake = match self.reel.plan.step(step) {
            Some(step) => step.bake,
            None => SignedDuration::ZERO,
        };
        format!(
            "step {step} baked {} with all gates passing",
            text::duration(bake)
        )
    }

    fn completed(&mut self) -> String {
        let last = self.reel.plan.step_count();
        format!("completed; {}", self.baked(last))
    }

    /// Returns the line for these holds, without the usual ones; `None` if they have not changed.
    fn held(&mut self, because: &[HoldReason]) -> Option<(Sign, String)> {
        let unusual: Vec<HoldReason> = because
            .iter()
            .filter(|one| !holds::is_usual(one) && !is_said_by_another(one, because))
            .cloned()
            .collect();
        if subjects(&unusual) == subjects(&self.holds) {
            return None;
        }
        let page = unusual.iter().any(|one| one.pages() && !self.knew(one));
        self.holds = unusual;
        if self.holds.is_empty() {
            return Some((Sign::Free, "all holds cleared".to_owned()));
        }
        let facts: Vec<String> = self.holds.iter().map(holds::short).collect();
        let facts = lists::some(&facts, "; ");
        if page {
            Some((Sign::Page, format!("held: {facts} (somebody is paged)")))
        } else {
            Some((Sign::Hold, format!("held: {facts}")))
        }
    }

    fn knew(&self, reason: &HoldReason) -> bool {
        let subject = reason.subject();
        self.holds.iter().any(|held| held.subject() == subject)
    }
}

fn subjects(reasons: &[HoldReason]) -> Vec<HoldReason> {
    reasons.iter().map(HoldReason::subject).collect()
}

/// Returns true if the hold says that a gate cannot be judged, and another hold says that this has lasted too long.
fn is_said_by_another(reason: &HoldReason, all: &[HoldReason]) -> bool {
    let gate = if let HoldReason::Unknown { alarm, .. }
    | HoldReason::NoData { alarm, .. }
    | HoldReason::AlarmMissing { alarm, .. } = reason
    {
        alarm.clone()
    } else if let HoldReason::FallbackUnknown { alarm, .. } = reason {
        GateId::from(alarm)
    } else {
        return false;
    };
    all.iter()
        .any(|other| matches!(other, HoldReason::UnknownTooLong { alarm, .. } if *alarm == gate))
}
