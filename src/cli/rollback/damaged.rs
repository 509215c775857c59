//! The rollback of cutovers whose streams are damaged. Their stored baselines are written as `--from` does, because
//! nothing may be appended to such a stream (semantics L4). The rollback of other cutovers does not wait for this.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::aftermath::Aftermath;
use super::calls::{Calls, counted};
use crate::cli::args::Rollback;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::names::{Named, has_labels};
use crate::cli::operate::{Desk, actor};
use crate::controller::emergency::Emergency;
use crate::engine::backoff::Backoff;
use crate::engine::event::Event;
use crate::engine::foreign_text::one_line;
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;
use crate::engine::{fleet, lists};
use crate::journal::MemoryJournal;
use crate::ports::{Append, Clock, Dns, JournalError, NewEntry};

/// The number of tries to append the entry to `@fleet` if somebody else is faster.
const RACES_MAX: usize = 5;

/// The damaged cutovers of a rollback.
#[derive(Default)]
pub(super) struct DamagedCutovers {
    /// The cutovers whose baselines are written, each with its state before the damage.
    back: Vec<State>,
    /// The cutovers for which nothing is written, and why.
    left: Vec<(CutoverName, String)>,
}

/// Removes the damaged cutovers from `named`, and returns them with those that `--all` or labels select.
///
/// # Errors
/// A cutover that was named without a pattern had completed, and `--include-completed` was not given.
pub(super) fn meant(
    desk: &Desk,
    args: &Rollback,
    named: &mut Vec<Named>,
) -> Result<DamagedCutovers> {
    let mut meant = DamagedCutovers::default();
    for (name, _) in desk.books.damaged() {
        let place = named.iter().position(|named| named.name == *name);
        let outright = place.is_some_and(|place| !named[place].by_pattern);
        if let Some(place) = place {
            named.remove(place);
        } else if !args.names.is_empty() {
            continue;
        }
        let Some(state) = desk.books.last_good(name) else {
            let why = "its first entry cannot be used, so no baseline is known".to_owned();
            meant.left.push((name.clone(), why));
            continue;
        };
        if !has_labels(state.plan(), &args.selector) {
            continue;
        }
        meant.add(state, args, outright)?;
    }
    Ok(meant)
}

impl DamagedCutovers {
    fn add(&mut self, state: &State, args: &Rollback, outright: bool) -> Result<()> {
        let completed = state.phase == Phase::Completed && !args.include_completed;
        if completed && outright {
            super::request::need(args, state)?;
        }
        let why = if completed {
            "it had completed; to send its traffic back anyway, add `--include-completed`"
        } else if state.phase == Phase::Reverted && !outright {
            "it was last known to be at its baseline; to write the baseline, name it"
        } else if state.baseline.is_none() {
            "as far as is known it had not started, so there is nothing to write"
        } else {
            self.back.push(state.clone());
            return Ok(());
        };
        self.left.push((state.name.clone(), why.to_owned()));
        Ok(())
    }

    /// Returns true if the rollback has no damaged cutovers.
    pub(super) fn is_empty(&self) -> bool {
        self.back.is_empty() && self.left.is_empty()
    }

    /// Returns the part of the question that says what will be written; empty if nothing is written.
    pub(super) fn question(&self) -> String {
        if self.back.is_empty() {
            return String::new();
        }
        let images = self.back.iter().flat_map(images);
        let calls = Calls::of_images(images, true).shown();
        let names: Vec<&str> = self.back.iter().map(|state| state.name.as_str()).collect();
        let named = one_line(&lists::some(&names, ", "));
        format!(
            "{calls}the journal of {named} is damaged: the stored baseline is written over whatever is there\n"
        )
    }

    /// Returns the rows of the JSON result for the cutovers whose baselines are written, with their last known phases.
    pub(super) fn rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        for state in &self.back {
            rows.push(json!({ "name": state.name, "phase": state.phase.label(), "damaged": true }));
        }
        rows
    }

    /// Writes the stored baselines until Route 53 has accepted all of them or `until` has passed.
    pub(super) async fn write(&self, dns: Arc<dyn Dns>, clock: &dyn Clock, until: Instant) {
        let mut writers: Vec<Emergency> = Vec::new();
        for state in &self.back {
            let journal = Arc::new(MemoryJournal::new());
            writers.push(Emergency::new(Arc::clone(&dns), journal, state.way_back()));
        }
        let mut tries = 0;
        loop {
            for emergency in &mut writers {
                let sending = emergency.send(clock.now(), |_| {});
                // The result is ignored: `tell` reads which groups are at their baseline.
                tokio::time::timeout_at(until, sending).await.ok();
            }
            let all = writers
                .iter()
                .all(|emergency| emergency.left().next().is_none());
            tries += 1;
            let again = Instant::now() + Backoff::TRIES.after(tries).unsigned_abs();
            if all || again >= until {
                return;
            }
            tokio::time::sleep_until(again).await;
        }
    }

    /// Reads back what was written, prints it, and records it in `@fleet`. If there are damaged cutovers, returns
    /// [`Exit::Halted`], because each of them needs a person.
    ///
    /// # Errors
    /// Standard output or standard error cannot be written.
    pub(super) async fn tell(
        &self,
        context: &mut Context<'_>,
        desk: &Desk,
        args: &Rollback,
        dns: &dyn Dns,
    ) -> Result<Exit> {
        for (name, why) in &self.left {
            context.note(&format!(
                "{name}: its journal is damaged, and nothing was written for it: {why}"
            ))?;
        }
        for state in &self.back {
            let mut aftermath = Aftermath::default();
            aftermath.add(state.way_back());
            let found = aftermath.read_back(context, dns).await?;
            let groups = images(state).count();
            let shown = counted(groups, "group");
            let (name, back) = (&state.name, found.good);
            let said = if back == groups {
                format!(
                    "{name}: its journal is damaged; its stored baseline was written, {shown} read back"
                )
            } else {
                format!(
                    "{name}: its journal is damaged; only {back} of {shown} are at the stored baseline: run this again"
                )
            };
            if context.json() {
                context.note(&said)?;
            } else {
                context.print_line(&said)?;
            }
            let event = Event::DamagedTakenBack {
                of: name.clone(),
                back,
                groups,
                reason: args.reason.clone(),
            };
            if let Err(error) = record(context, desk, event).await {
                context.note(&format!("this could not be journaled: {error}"))?;
            }
        }
        Ok(if self.is_empty() {
            Exit::Done
        } else {
            Exit::Halted
        })
    }
}

fn images(state: &State) -> impl Iterator<Item = &GroupImage> {
    state.baseline.iter().flatten()
}

/// Appends an event to `@fleet`. Tries again if somebody else appended first.
async fn record(context: &Context<'_>, desk: &Desk, event: Event) -> Result<(), JournalError> {
    let mut expected = desk.journal.head(&fleet::stream()).await?;
    let append_id = format!("{:032x}", fastrand::u128(..));
    for _ in 0..RACES_MAX {
        let entry = NewEntry {
            cutover: fleet::stream(),
            attempt: 1,
            at: context.clock.now(),
            actor: actor(),
            event: event.clone(),
        };
        let append = Append {
            expect: vec![(fleet::stream(), expected)],
            entries: vec![entry],
            append_id: append_id.clone(),
        };
        match desk.journal.append(append).await {
            Err(JournalError::Conflict { head, .. }) => expected = head,
            other => return other.map(drop),
        }
    }
    Err(JournalError::Down(
        "others write entries of the fleet faster than this could be written".to_owned(),
    ))
}
