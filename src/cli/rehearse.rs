//! `cutover rehearse`: the same controller over a simulated world.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::args::Rehearse;
use super::context::Context;
use super::exit::Exit;
use super::plans;
use crate::controller::{Controller, Outside, Scope, Settings};
use crate::engine::calendar::Calendar;
use crate::engine::event::{Envelope, Event};
use crate::engine::observation::FileReading;
use crate::engine::plan::{Plan, PlanSource};
use crate::engine::state::{Phase, State};
use crate::engine::units::ControllerId;
use crate::journal::MemoryJournal;
use crate::ports::{Clock, Journal, Notifier, Page, PlanFiles, PlanFilesNow, Position};
use crate::report;
use crate::report::text;
use crate::sim::world::World;

/// How often the rehearsed controller looks: often enough for bakes of hours, seldom enough for two weeks in a moment.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How much longer than its plan a rehearsal goes on, whatever holds it.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// Rehearses the plans.
///
/// # Errors
/// A plan is not valid.
pub fn run(context: &mut Context<'_>, args: &Rehearse) -> Result<Exit> {
    let sources = plans::find(&args.paths).require_valid(context)?;
    let start = args.start.unwrap_or_else(|| context.clock.now());
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let played = runtime.block_on(play(sources, start))?;
    if context.json() {
        context.print_json(&played.to_json())?;
    } else {
        played.print(context, start)?;
    }
    Ok(played.exit())
}

/// What came of a rehearsal.
struct Played {
    entries: Vec<Envelope>,
    states: Vec<State>,
    writes: u64,
    alarm_reads: u64,
}

/// Runs the real controller over a world where all is well, approving what waits for approval.
async fn play(sources: Vec<PlanSource>, start: Timestamp) -> Result<Played> {
    let world = World::for_plans(sources.iter().map(|source| &source.plan), start)?;
    let (dns, signals) = (world.dns.clone(), world.signals.clone());
    let sources_length = sources
        .iter()
        .map(|source| length(&source.plan, start))
        .max()
        .unwrap_or_default();
    let journal = MemoryJournal::new();
    let outside = Outside {
        clock: Arc::new(world.clock),
        dns: Arc::new(world.dns),
        signals: Arc::new(world.signals),
        journal: Arc::new(journal.clone()),
        notifier: Arc::new(Nobody),
        files: Some(Arc::new(Script(sources))),
        break_glass: None,
        narrate: Arc::new(progress),
    };
    let settings = Settings {
        me: ControllerId::from("rehearsal"),
        host: "rehearsal".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interval: LOOK_EVERY,
        baseline_as_is: None,
        scope: Scope::Files,
    };
    let mut controller = Controller::new(outside, settings);
    let longest = sources_length.saturating_mul(2).saturating_add(GRACE);
    let longest = tokio::time::sleep(longest.try_into().unwrap_or_default());
    let quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let ended = tokio::select! {
        ended = controller.run(longest) => ended,
        never = approve_all(&journal, &world.clock) => never,
    };
    drop(quiet);
    ended?;
    let (entries, _) = journal.read_after(Position::default()).await?;
    let count = |calls: &std::collections::BTreeMap<&'static str, u64>, call: &str| {
        calls.get(call).copied().unwrap_or_default()
    };
    Ok(Played {
        entries,
        states: controller.states().into_iter().cloned().collect(),
        writes: count(&dns.calls(), "ChangeResourceRecordSets"),
        alarm_reads: count(&signals.calls(), "DescribeAlarms"),
    })
}

/// How long a plan takes if nothing but its windows holds it; bakes and settling where a window never opens.
fn length(plan: &Plan, start: Timestamp) -> SignedDuration {
    let settle = plan.settle.unwrap_or_default();
    let end = Calendar::of_plan(plan, settle, start).ends_at;
    end.map_or_else(
        || report::check::minimum_duration(plan),
        |end| end.duration_since(start),
    )
}

/// Stands in for the people who approve: at once, so that the rehearsal shows the plan's own pace.
async fn approve_all<T>(journal: &MemoryJournal, clock: &dyn Clock) -> T {
    let mut position = Position::default();
    let mut states = std::collections::BTreeMap::new();
    loop {
        journal.changed(position).await;
        let Ok((entries, read_to)) = journal.read_after(position).await else {
            continue;
        };
        position = read_to;
        for entry in &entries {
            let state = states.entry(entry.cutover.clone()).or_default();
            crate::engine::fold::apply(state, entry).unwrap_or_default();
        }
        for state in states.values().flatten() {
            approve(journal, clock, state).await;
        }
    }
}

async fn approve(journal: &MemoryJournal, clock: &dyn Clock, state: &State) {
    let reason = "approved by the rehearsal";
    let Ok(event) = crate::engine::commands::approve(state, None, reason) else {
        return;
    };
    let entry = crate::ports::NewEntry {
        cutover: state.name.clone(),
        attempt: state.attempt,
        at: clock.now(),
        actor: "rehearsal".to_owned(),
        event,
    };
    let append = crate::ports::Append {
        expect: vec![(state.name.clone(), state.seq)],
        append_id: format!("approval {} {}", state.name, state.seq),
        entries: vec![entry],
    };
    // Who loses this race is asked again after the entry that won it.
    drop(journal.append(append).await);
}

impl Played {
    fn exit(&self) -> Exit {
        super::outcome::of_run(&self.states).unwrap_or(Exit::Halted)
    }

    fn to_json(&self) -> Value {
        let cutover = |state: &State| {
            json!({
                "name": state.name,
                "phase": state.phase.label(),
                "ended_at": text::rfc3339(state.phase_since),
            })
        };
        json!({
            "cutovers": self.states.iter().map(cutover).collect::<Vec<_>>(),
            "writes": self.writes,
            "alarm_reads": self.alarm_reads,
            "history": report::history::to_json(&self.entries),
        })
    }

    fn print(&self, context: &mut Context<'_>, start: Timestamp) -> Result<()> {
        let out = &mut context.out;
        for state in &self.states {
            writeln!(
                out,
                "{}, {}:",
                state.name,
                text::count(state.plan().steps.len(), "step")
            )?;
            for entry in self
                .entries
                .iter()
                .filter(|entry| entry.cutover == state.name)
            {
                if is_worth_a_line(&entry.event) {
                    writeln!(
                        out,
                        "  {}  {}",
                        text::minute(entry.at),
                        report::event(&entry.event)
                    )?;
                }
            }
            let took = text::duration(state.phase_since.duration_since(start));
            let verdict = match state.phase {
                Phase::Completed => format!("completed after {took}"),
                Phase::Reverted => format!("reverted after {took}"),
                Phase::Waiting
                | Phase::Shifting
                | Phase::Settling
                | Phase::Baking
                | Phase::Reverting
                | Phase::Halted => format!("still {} after {took}", state.phase.label()),
            };
            writeln!(out, "{}: {verdict}\n", state.name)?;
        }
        writeln!(
            out,
            "{} written to the simulated Route 53; alarms were read {} times, all of them OK throughout. \
             Approvals were given at once.",
            text::count(usize::try_from(self.writes).unwrap_or(usize::MAX), "change"),
            self.alarm_reads
        )?;
        Ok(())
    }
}

/// Says on standard error how far the simulated days have come.
fn progress(entry: &Envelope) -> String {
    let words = report::event(&entry.event);
    if matches!(
        entry.event,
        Event::WeightsVerified { .. } | Event::Completed {}
    ) {
        let line = format!(
            "rehearsing {}: {}: {words}",
            entry.cutover,
            text::minute(entry.at)
        );
        // Nobody reads it: that is no reason to stop.
        writeln!(anstream::stderr(), "{line}").unwrap_or_default();
    }
    words
}

/// What a reader of the timeline wants to see; the rest is in the JSON.
fn is_worth_a_line(event: &Event) -> bool {
    matches!(
        event,
        Event::WeightChangeIntended { .. }
            | Event::WeightsVerified { .. }
            | Event::BakeStarted { .. }
            | Event::StepCompleted { .. }
            | Event::StepApproved { .. }
            | Event::RevertIntended { .. }
            | Event::Reverted { .. }
            | Event::Halted { .. }
            | Event::Completed {}
    )
}

/// The plans, as files that never change.
struct Script(Vec<PlanSource>);

impl PlanFiles for Script {
    fn look(&self) -> PlanFilesNow {
        let file = |source: &PlanSource| {
            (
                source.path.clone(),
                FileReading::Plan(Box::new(source.clone())),
            )
        };
        PlanFilesNow {
            roots: self.0.iter().map(|source| source.path.clone()).collect(),
            files: self.0.iter().map(file).collect(),
        }
    }
}

/// Nobody is woken by a rehearsal.
struct Nobody;

#[async_trait::async_trait]
impl Notifier for Nobody {
    async fn page(&self, _page: &Page) -> Result<(), String> {
        Ok(())
    }
}
