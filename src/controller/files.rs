//! Reads the plan files, and finds out which cutover each belongs to and which are new (semantics H1).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Controller;
use super::book::{self, Draft};
use super::outside::{ControllerError, Scope};
use crate::engine::decide::name_used;
use crate::engine::event::Event;
use crate::engine::fleet::NAMED_MAX;
use crate::engine::hold::HoldReason;
use crate::engine::observation::FileReading;
use crate::engine::plan::PlanSource;
use crate::engine::state::State;
use crate::engine::units::CutoverName;

impl Controller {
    /// Reads the plan files, and journals plans that are new. Does nothing if neither the files nor the journal have
    /// changed.
    pub(super) async fn look_at_files(&mut self) -> Result<(), ControllerError> {
        let (Some(files), Scope::Files) = (&self.outside.files, &self.settings.scope) else {
            return Ok(());
        };
        let looked = files.look();
        let edition = self.book.edition();
        let known = self.watched.made_of.as_ref();
        if known.is_some_and(|(files, of)| edition == Some(*of) && *files == looked) {
            return Ok(());
        }
        let mut readings = BTreeMap::new();
        let (mut fresh, mut refused) = (Vec::new(), BTreeMap::new());
        let by_path = self.states_by_path();
        let mut claimed = self.came_from(&looked.files);
        for (path, reading) in &looked.files {
            let of_path = by_path.get(path.as_str()).copied();
            if let Some(owner) = of_path
                && is_under_way(owner)
            {
                readings.insert(owner.name.clone(), reading.clone());
                continue;
            }
            match reading {
                FileReading::Plan(source) => {
                    let name = source.plan.name.clone();
                    if let Some(other) = claimed.get(&name)
                        && other != path
                    {
                        let why = format!("another plan is called `{name}` too: {other}");
                        refused.insert(path.clone(), why);
                        continue;
                    }
                    claimed.insert(name.clone(), path.clone());
                    if self.book.state(&name).is_none() && !self.book.is_damaged(&name) {
                        fresh.push((name.clone(), Box::new(PlanSource::clone(source))));
                    }
                    readings.insert(name, reading.clone());
                }
                FileReading::NotWatched | FileReading::Removed | FileReading::Unreadable(_) => {
                    if let Some(state) = of_path {
                        readings.insert(state.name.clone(), reading.clone());
                    } else if let FileReading::Unreadable(why) = reading {
                        refused.insert(path.clone(), why.clone());
                    }
                }
            }
        }
        // An unfinished cutover goes on from the journal if its file is gone.
        let roots: BTreeSet<&Path> = looked.roots.iter().map(Path::new).collect();
        for state in self.book.states().filter(|state| !state.phase.is_final()) {
            let mut above = Path::new(&state.source.path).ancestors();
            if above.any(|above| roots.contains(above)) {
                let reading = unread_above(&state.source.path, &looked.files);
                let reading = reading.unwrap_or(FileReading::Removed);
                readings.entry(state.name.clone()).or_insert(reading);
            }
        }
        self.watched.readings = readings;
        log_refused(&self.watched.refused, &refused);
        self.watched.refused = refused;
        // If plans are journaled now or must be tried again, the next round goes through all files again.
        self.watched.made_of = match edition {
            Some(of) if fresh.is_empty() => Some((looked, of)),
            Some(_) | None => None,
        };
        self.accept(fresh).await
    }

    /// Returns the cutovers that have ended and whose name a file uses for another plan, each with the hold that says
    /// so (semantics L9).
    pub fn names_used(&self) -> BTreeMap<CutoverName, HoldReason> {
        let mut used = BTreeMap::new();
        for state in self.book.states() {
            if let Some(file) = self.watched.readings.get(&state.name)
                && let Some(reason) = name_used(state, file)
            {
                used.insert(state.name.clone(), reason);
            }
        }
        used
    }

    /// Returns the cutover that each file belongs to. If several cutovers came from one file, it belongs to the one
    /// that has started and not ended, or else to the first by name.
    fn states_by_path(&self) -> BTreeMap<&str, &State> {
        let mut by_path: BTreeMap<&str, &State> = BTreeMap::new();
        for state in self.book.states() {
            let known = by_path.entry(&state.source.path).or_insert(state);
            if is_under_way(state) && !is_under_way(known) {
                *known = state;
            }
        }
        by_path
    }

    /// Returns the file that each cutover came from, if it still has the cutover's plan. If several files have one
    /// name, this file wins, even before the cutover has started.
    fn came_from(&self, files: &[(String, FileReading)]) -> BTreeMap<CutoverName, String> {
        let mut came_from = BTreeMap::new();
        for (path, reading) in files {
            if let FileReading::Plan(source) = reading
                && let Some(state) = self.book.state(&source.plan.name)
                && state.source.path == *path
            {
                came_from.insert(state.name.clone(), path.clone());
            }
        }
        came_from
    }

    /// Journals plans that are new, many in one append.
    async fn accept(
        &mut self,
        fresh: Vec<(CutoverName, Box<PlanSource>)>,
    ) -> Result<(), ControllerError> {
        let mut drafts = Vec::new();
        for (name, source) in fresh {
            drafts.push(Draft::alone(name, 0, vec![Event::PlanAccepted { source }]));
        }
        for group in book::groups(drafts) {
            let now = self.now();
            for accepted in self.book.append_group(now, &group).await {
                self.journal_answered(accepted)?;
            }
            self.note_strangers();
        }
        Ok(())
    }
}

/// Returns true if a cutover has started and has not ended.
fn is_under_way(state: &State) -> bool {
    state.has_started() && !state.phase.is_final()
}

/// Logs the files that are newly refused, or refused for another reason than before. There is one line for each reason,
/// because one mistake (such as a circle of `after`) may concern thousands of files.
fn log_refused(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    let mut fresh: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, why) in now {
        if before.get(path) != Some(why) {
            fresh.entry(why).or_default().push(path);
        }
    }
    for (why, paths) in fresh {
        match paths.as_slice() {
            [path] => {
                tracing::error!(path, "this plan file is refused; all others go on: {why}");
            }
            paths => {
                let count = paths.len();
                let paths = paths[..count.min(NAMED_MAX)].join(", ");
                tracing::error!(
                    paths,
                    count,
                    "{count} plan files are refused; all others go on: {why}"
                );
            }
        }
    }
}

/// Returns the reading of a directory above a file if the directory could not be read, because the file may then still
/// exist; otherwise `None`.
fn unread_above(path: &str, files: &[(String, FileReading)]) -> Option<FileReading> {
    for (found, reading) in files {
        let is_unread = matches!(reading, FileReading::Unreadable(_));
        if is_unread && found != path && Path::new(path).starts_with(found) {
            return Some(reading.clone());
        }
    }
    None
}
