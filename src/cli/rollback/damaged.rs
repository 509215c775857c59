//! The way back of cutovers whose stream of the journal is damaged: their stored baselines are written as `--from` does, since
//! nothing may be written to such a stream (semantics L4). Whatever else goes back does not wait for it.

use std::sync::Arc;
use std::time::Duration;

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
use crate::engine::event::Event;
use crate::engine::fleet;
use crate::engine::foreign_text::one_line;
use crate::engine::lists;
use crate::engine::record::GroupImage;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;
use crate::journal::MemoryJournal;
use crate::ports::{Append, Clock, Dns, JournalError, NewEntry};

/// The first wait before what was refused is sent again; it doubles up to the longest.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest wait.
const AGAIN_AFTER_MAX: Duration = Duration::from_mins(1);
/// How often the entry of `@fleet` is tried again after somebody else was faster.
const RACES_MAX: usize = 5;

/// The damaged cutovers that a rollback means.
#[derive(Default)]
pub(super) struct Damaged {
    /// Those whose baselines are written, as they were last known to be.
    back: Vec<State>,
    /// Those of which nothing is written, and why.
    left: Vec<(CutoverName, String)>,
}

/// Takes the damaged ones out of what was named, and finds those that are meant without a name.
///
/// # Errors
/// One that was named had completed, which `--include-completed` must be given for.
pub(super) fn meant(desk: &Desk, args: &Rollback, named: &mut Vec<Named>) -> Result<Damaged> {
    let mut meant = Damaged::default();
    for (name, _) in desk.books.damaged() {
        let place = named.iter().position(|named| named.name == *name);
        let outright = place.is_some_and(|place| !named[place].by_pattern);
        if let Some(place) = place {
            named.remove(place);
        } else if !args.names.is_empty() {
            continue;
        }
        let Some(state) = desk.books.last_good(name) else {
            let why = "its first entry cannot be used, so that no baseline is known".to_owned();
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

impl Damaged {
    fn add(&mut self, state: &State, args: &Rollback, outright: bool) -> Result<()> {
        let completed = state.phase == Phase::Completed && !args.include_completed;
        if completed && outright {
            super::need(args, state)?;
        }
        let why = if completed {
            "it had completed; `--include-completed` takes it back all the same"
        } else if state.phase == Phase::Reverted && !outright {
            "it was at its baseline when it was last known; name it to have its baseline written"
        } else if state.baseline.is_none() {
            "as far as is known it had not started, so that there is nothing to write"
        } else {
            self.back.push(state.clone());
            return Ok(());
        };
        self.left.push((state.name.clone(), why.to_owned()));
        Ok(())
    }

    /// Whether none is meant.
    pub(super) fn is_empty(&self) -> bool {
        self.back.is_empty() && self.left.is_empty()
    }

    /// What will be written, for whoever is asked first; nothing if nothing is.
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

    /// What programs are told of them: where they were last known to be.
    pub(super) fn rows(&self) -> Vec<Value> {
        let row = |state: &State| json!({ "name": state.name, "phase": state.phase.label(), "damaged": true });
        self.back.iter().map(row).collect()
    }

    /// Writes the stored baselines until Route 53 has accepted all of them or the time is over.
    pub(super) async fn write(&self, dns: Arc<dyn Dns>, clock: &dyn Clock, until: Instant) {
        let one = |state: &State| {
            let journal = Arc::new(MemoryJournal::new());
            Emergency::new(Arc::clone(&dns), journal, state.way_back())
        };
        let mut writers: Vec<Emergency> = self.back.iter().map(one).collect();
        let mut wait = AGAIN_AFTER;
        loop {
            for emergency in &mut writers {
                let sending = emergency.send(clock.now(), |_| {});
                // Which groups are at their baseline is read at the end, whatever was answered.
                tokio::time::timeout_at(until, sending).await.ok();
            }
            let all = writers
                .iter()
                .all(|emergency| emergency.left().next().is_none());
            let again = Instant::now() + wait;
            if all || again >= until {
                return;
            }
            tokio::time::sleep_until(again).await;
            wait = (wait * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// Reads what was written, says it, and records it in `@fleet`. The exit code: each of them needs a person.
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
                    "{name}: its journal is damaged; {back} of {shown} at the stored baseline, run this again"
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
                context.note(&format!("that could not be journaled: {error}"))?;
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

/// Appends to `@fleet`; again if somebody was faster.
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
        "the fleet's entries change faster than this could be written".to_owned(),
    ))
}
