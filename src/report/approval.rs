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

/// The facts that a person sees who is asked to approve a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalEvidence {
    /// The step that is approved.
    pub step: u16,
    /// The new side's share now.
    pub from: Share,
    /// Its share afterwards.
    pub to: WeightPair,
    /// How long the step bakes.
    pub bake: SignedDuration,
    /// The step that bakes or has baked, how much of its bake is counted, and its whole bake; none before the start.
    pub baked: Option<(u16, SignedDuration, SignedDuration)>,
    /// The number of gates.
    pub gates: usize,
    /// The gates that cannot be judged, and since when.
    pub unknown: Vec<(GateId, Timestamp)>,
    /// When the window lets the step be taken, and the zone of the plan's windows; none without windows.
    pub window: Option<(Option<Timestamp>, TimeZone)>,
    /// The time until which it may be approved, and what happens then.
    pub ends: Option<(Timestamp, HoldOrRevert)>,
}

impl ApprovalEvidence {
    /// Reads the evidence off a cutover's state; none if there is no such step.
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

    /// The form for JSON. Fields are only ever added.
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

    /// Two or three lines for people, without a margin.
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
