//! The timeline: a line for each decision and for what led to it.

use anstyle::Style;
use jiff::{SignedDuration, Timestamp};

use super::film::{Film, Reel};
use super::{Look, verdict};
use crate::engine::event::{Envelope, Event};
use crate::engine::evidence::gate::GateId;
use crate::engine::hold::HoldReason;
use crate::engine::jobs::JobSide;
use crate::engine::lists;
use crate::report::{events, holds, text};

/// One line, or several that say the same.
struct Line {
    at: Timestamp,
    sign: Sign,
    words: String,
    /// How often, and when for the last time.
    times: usize,
    last: Timestamp,
}

/// What kind of line it is: colour never says more than the sign does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A step, or another thing that goes forward.
    Forward,
    /// The world goes wrong, or is well again.
    World,
    /// Something holds it.
    Hold,
    /// Nothing holds it any more; left out where the next line says as much.
    Free,
    /// The way back.
    Back,
    /// Somebody is woken.
    Page,
}

impl Sign {
    /// What stands before the words.
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

/// `Fri 12-04 11:04:10 → `
const FIRST_CELLS: usize = 23;

/// The timeline of one cutover.
pub(super) fn to_text(film: &Film, reel: &Reel, look: &Look) -> String {
    let mut lines = faults(film);
    let mut reader = Reader::new(reel);
    for entry in &reel.entries {
        if let Some((sign, words)) = reader.read(entry) {
            push(&mut lines, entry.at, sign, words);
        }
    }
    lines.sort_by_key(|line| line.at);
    drop_what_is_said_again(&mut lines);
    let lines = lines.iter().map(|line| line.shown(look));
    let all: Vec<String> = std::iter::once(verdict::steps_title(reel))
        .chain(lines)
        .collect();
    all.join("\n")
}

/// When something went wrong in the world, and when it was well again.
fn faults(film: &Film) -> Vec<Line> {
    let mut lines = Vec::new();
    for trouble in &film.faults {
        if trouble.from <= film.end {
            push(&mut lines, trouble.from, Sign::World, trouble.what.clone());
        }
        if let Some(until) = trouble.until.filter(|until| *until <= film.end) {
            let over = format!("over: {}", trouble.what);
            push(&mut lines, until, Sign::World, over);
        }
    }
    lines
}

/// Appends a line, or counts the last one up if it says the same.
fn push(lines: &mut Vec<Line>, at: Timestamp, sign: Sign, words: String) {
    if let Some(last) = lines.last_mut().filter(|last| last.words == words) {
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

/// That nothing holds any more is worth a line only if nothing else follows at once.
fn drop_what_is_said_again(lines: &mut Vec<Line>) {
    let next_at: Vec<Option<Timestamp>> = (1..=lines.len())
        .map(|next| lines.get(next).map(|line| line.at))
        .collect();
    let mut next_at = next_at.into_iter();
    lines.retain(|line| {
        let next = next_at.next().flatten();
        let soon = next.is_some_and(|next| next.duration_since(line.at) < SAID_AGAIN);
        !(line.sign == Sign::Free && soon)
    });
}

/// What follows within this time is taken for the same moment.
const SAID_AGAIN: SignedDuration = SignedDuration::from_secs(90);

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

/// Reads entries in order, and remembers what later ones need.
struct Reader<'reel> {
    reel: &'reel Reel,
    /// The step whose weights were intended last.
    step: u16,
    /// Whether that write has had trouble.
    troubled: bool,
    /// What a write failed with last.
    failure: String,
    /// What holds, the usual aside.
    holds: Vec<HoldReason>,
    /// Whether the bake before was ended by a person.
    skipped: bool,
}

impl<'reel> Reader<'reel> {
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

    /// The line of an entry; none where it says nothing that another line does not say better.
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry an event, none left out"
    )]
    fn read(&mut self, entry: &Envelope) -> Option<(Sign, String)> {
        let said = || events::event(&entry.event);
        match &entry.event {
            Event::WeightChangeIntended { step, .. } => Some((Sign::Forward, self.intended(*step))),
            Event::WeightsVerified { .. } => {
                let troubled = std::mem::take(&mut self.troubled);
                troubled.then(|| (Sign::Forward, said()))
            }
            Event::BakeSkipDecided { skipped, .. } => {
                self.skipped = *skipped;
                Some((Sign::Forward, said()))
            }
            Event::StepHeld { because } => self.held(because),
            Event::WeightChangeFailed { message, .. } => {
                self.failure.clone_from(message);
                self.troubled = true;
                Some((Sign::Hold, said()))
            }
            Event::WeightChangeAbandoned { moved, reason, .. } => {
                self.troubled = true;
                let known = moved.is_empty() && *reason == self.failure;
                (!known).then(|| (Sign::Hold, said()))
            }
            Event::ChangeLost { .. } => {
                self.troubled = true;
                Some((Sign::Hold, said()))
            }
            Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. } => {
                self.holds.clear();
                Some((Sign::Back, said()))
            }
            Event::Reverted { .. } => {
                self.step = 0;
                Some((Sign::Back, said()))
            }
            Event::StrayWeightsFound { members } if members.is_empty() => {
                Some((Sign::World, said()))
            }
            Event::StrayWeightsFound { .. }
            | Event::Halted { .. }
            | Event::Abandoned { .. }
            | Event::HookFailed { given_up: true, .. } => Some((Sign::Page, said())),
            Event::HookFailed { .. } => Some((Sign::Hold, said())),
            Event::JobSwitchIntended { to: JobSide::Old } => Some((Sign::Back, said())),
            Event::Completed { .. } => Some((Sign::Forward, self.completed())),
            Event::DriftDetected { .. } => Some((Sign::World, said())),
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
            | Event::JobsMoved { .. } => Some((Sign::Forward, said())),
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
            | Event::Unreadable { .. } => None,
        }
    }

    /// A step is taken: which, and why now.
    fn intended(&mut self, step: u16) -> String {
        let plan = &self.reel.plan;
        let what = plan.step(step).map_or_else(String::new, |planned| {
            let share = text::share(planned.share);
            format!(": {share} to the new side ({})", planned.pair)
        });
        let why = if step == self.step {
            "once more".to_owned()
        } else if step == 1 {
            "nothing stands in the way".to_owned()
        } else {
            self.baked(step - 1)
        };
        self.step = step;
        self.troubled = false;
        self.holds.clear();
        format!("step {step} of {}{what}; {why}", plan.step_count())
    }

    /// That the step's bake is over.
    fn baked(&mut self, step: u16) -> String {
        if std::mem::take(&mut self.skipped) {
            return format!("the bake of step {step} was skipped");
        }
        let bake = self
            .reel
            .plan
            .step(step)
            .map_or(SignedDuration::ZERO, |step| step.bake);
        format!(
            "step {step} baked {} with all gates passing",
            text::duration(bake)
        )
    }

    fn completed(&mut self) -> String {
        let last = self.reel.plan.step_count();
        format!("completed; {}", self.baked(last))
    }

    /// A hold that is not the plan's own pace.
    fn held(&mut self, because: &[HoldReason]) -> Option<(Sign, String)> {
        let unusual: Vec<HoldReason> = because
            .iter()
            .filter(|one| is_unusual(one) && !is_said_by_another(one, because))
            .cloned()
            .collect();
        let subjects = |reasons: &[HoldReason]| -> Vec<HoldReason> {
            reasons.iter().map(HoldReason::subject).collect()
        };
        if subjects(&unusual) == subjects(&self.holds) {
            return None;
        }
        let free = unusual.is_empty();
        let page = unusual.iter().any(|one| one.pages() && !self.knew(one));
        self.holds.clone_from(&unusual);
        if free {
            return Some((Sign::Free, "nothing holds any more".to_owned()));
        }
        let reasons: Vec<String> = unusual.iter().map(holds::short).collect();
        let sign = if page { Sign::Page } else { Sign::Hold };
        let paged = if page { " (somebody is paged)" } else { "" };
        Some((
            sign,
            format!("held: {}{paged}", lists::some(&reasons, "; ")),
        ))
    }

    fn knew(&self, reason: &HoldReason) -> bool {
        let subject = reason.subject();
        self.holds.iter().any(|held| held.subject() == subject)
    }
}

/// Whether a hold is more than the plan's own pace, or than what the line before it says already.
fn is_unusual(reason: &HoldReason) -> bool {
    !matches!(
        reason,
        HoldReason::Shifting { message: None, .. }
            | HoldReason::Settling { .. }
            | HoldReason::Baking { .. }
            | HoldReason::Reverting { .. }
            | HoldReason::JobsUnseen {}
            | HoldReason::JobsMoving { .. }
            | HoldReason::HookRunning { .. }
            | HoldReason::Paused { .. }
            | HoldReason::Halted { .. }
    )
}

/// Whether a gate that cannot be judged is named once more, as one that could not be for too long.
fn is_said_by_another(reason: &HoldReason, all: &[HoldReason]) -> bool {
    let named = match reason {
        HoldReason::Unknown { alarm, .. }
        | HoldReason::NoData { alarm, .. }
        | HoldReason::AlarmMissing { alarm, .. } => alarm.clone(),
        HoldReason::FallbackUnknown { alarm, .. } => GateId::from(alarm),
        _ => return false,
    };
    let longer = |other: &HoldReason| matches!(other, HoldReason::UnknownTooLong { alarm, .. } if *alarm == named);
    all.iter().any(longer)
}
