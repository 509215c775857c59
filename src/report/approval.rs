//! The evidence for an approval: what the bake has shown so far, what would change, and when.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::text;
use crate::engine::evidence::gate::GateId;
use crate::engine::lists;
use crate::engine::plan::HoldOrRevert;
use crate::engine::state::State;
use crate::engine::units::{Share, WeightPair};

/// The facts that a person sees before approving a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalEvidence {
    /// Number of the step to approve, from 1.
    pub step: u16,
    /// The new side's share now, by the last verified step.
    pub from: Share,
    /// The weights that the step sets.
    pub to: WeightPair,
    /// How long the step bakes.
    pub bake: SignedDuration,
    /// The step that bakes or has baked, how much of its bake has counted, and its whole bake; `None` before the first
    /// step.
    pub baked: Option<(u16, SignedDuration, SignedDuration)>,
    /// Number of alarms that are gates, without fallback alarms.
    pub gates: usize,
    /// The gates that cannot be judged, and since when.
    pub unknown: Vec<(GateId, Timestamp)>,
    /// When the windows let the step be taken (`None`: never), and the time zone of the windows. `None` if the plan has
    /// no windows.
    pub window: Option<(Option<Timestamp>, TimeZone)>,
    /// The time until which the step may be approved, and what happens then; `None` if its approval has no timeout.
    pub ends: Option<(Timestamp, HoldOrRevert)>,
}

impl ApprovalEvidence {
    /// Collects the evidence from a cutover's state; `None` if there is no such step.
    pub fn of(state: &State, number: u16, now: Timestamp) -> Option<Self> {
        let plan = state.plan();
        let step = plan.step(number)?;
        let taken = plan.step(state.verified_step);
        let baked = taken.map(|step| {
            let counted = if state.bake.over {
                step.bake
            } else {
                state.bake.counted_at(now).min(step.bake)
            };
            (state.verified_step, counted, step.bake)
        });
        let window = plan.windows.as_ref().map(|windows| {
            let watched = crate::engine::decide::watched(state, number);
            let opens_at = windows.next(now, watched);
            (opens_at, windows.time_zone.rules().clone())
        });
        let timeout = step.approval_timeout.map(|timeout| timeout.on_timeout);
        Some(Self {
            step: number,
            from: taken
                .and_then(|step| step.pair.share())
                .unwrap_or(Share::ZERO),
            to: step.pair,
            bake: step.bake,
            baked,
            gates: plan.gates.alarms.len(),
            unknown: state
                .unknown
                .iter()
                .map(|(id, at)| (id.clone(), *at))
                .collect(),
            window,
            ends: state.approval_ends_at(number).zip(timeout),
        })
    }

    /// Returns the evidence as JSON. Fields are only ever added.
    pub fn to_json(&self) -> Value {
        json!({
            "step": self.step,
            "share_now": text::share_json(self.from),
            "share_next": text::share_json(self.to.share().unwrap_or(Share::ZERO)),
            "bake_secs": self.bake.as_secs(),
            "baked": self.baked.map(|(step, counted, whole)| json!({
                "step": step,
                "counted_secs": counted.as_secs(),
                "of_secs": whole.as_secs(),
            })),
            "gates": self.gates,
            "unknown": self.unknown.iter().map(|(alarm, _)| alarm.to_string()).collect::<Vec<_>>(),
            "window_opens_at": self.window.as_ref().and_then(|(at, _)| at.map(text::rfc3339)),
            "ends_at": self.ends.map(|(at, _)| text::rfc3339(at)),
            "on_timeout": self.ends.map(|(_, answer)| answer),
        })
    }

    /// Returns the evidence as two or three lines for people, not indented.
    pub fn lines(&self, now: Timestamp) -> Vec<String> {
        let change = format!(
            "step {}: {} → {} of the traffic (weights {}), then {} of bake{}",
            self.step,
            text::share(self.from),
            text::share(self.to.share().unwrap_or(Share::ZERO)),
            self.to,
            text::duration(self.bake),
            self.window_text(now),
        );
        let mut lines = vec![change, self.seen(now)];
        if let Some((at, answer)) = self.ends {
            let answer = match answer {
                HoldOrRevert::Hold => "somebody is paged again",
                HoldOrRevert::Revert => "all traffic goes back",
            };
            lines.push(format!(
                "if not approved by {}: {answer}",
                text::when(at, now)
            ));
        }
        lines
    }

    fn window_text(&self, now: Timestamp) -> String {
        match &self.window {
            None => String::new(),
            Some((None, _)) => "; its window never opens again".to_owned(),
            Some((Some(at), _)) if *at <= now => "; its window is open".to_owned(),
            Some((Some(at), zone)) => format!("; window opens {}", text::local(*at, zone)),
        }
    }

    fn seen(&self, now: Timestamp) -> String {
        let gates = text::count(self.gates, "gate");
        let Some((step, counted, whole)) = self.baked else {
            return format!("seen so far: nothing, it has not started; {gates} will watch it");
        };
        let unknown: Vec<String> = self
            .unknown
            .iter()
            .map(|(alarm, since)| format!("{alarm} not judged since {}", text::when(*since, now)))
            .collect();
        let judged = if unknown.is_empty() {
            "none red since the first step".to_owned()
        } else {
            lists::some(&unknown, ", ")
        };
        format!(
            "seen so far: step {step} baked {} of {}; {gates}, {judged}",
            text::duration(counted),
            text::duration(whole)
        )
    }
}
