//! The plan files: which cutover each belongs to, and which are seen for the first time (semantics H1).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::book::{self, Draft};
use super::{Controller, ControllerError, Scope};
use crate::engine::decide::name_used;
use crate::engine::event::Event;
use crate::engine::fleet::NAMED_MAX;
use crate::engine::hold::HoldReason;
use crate::engine::observation::FileReading;
use crate::engine::plan::PlanSource;
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::ports::PlanFilesNow;

/// The plan files as last looked at, by the cutover that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) readings: BTreeMap<CutoverName, FileReading>,
    /// The files that hold no plan and that no cutover came from, and why: they stop nobody else.
    pub(super) refused: BTreeMap<String, String>,
    /// What this was made of, where the same files and the same states will come to the same: what was read, and the
    /// edition of the book.
    made_of: Option<(PlanFilesNow, u64)>,
}

impl Controller {
    /// Looks at the plan files, and journals plans that are seen for the first time.
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
        // Of several cutovers that came from one file, the one under way is guarded; else the first by name.
        let mut by_path: BTreeMap<&str, &State> = BTreeMap::new();
        let started = |state: &State| state.has_started() && !state.phase.is_final();
        for state in self.book.states() {
            let known = by_path.entry(&state.source.path).or_insert(state);
            if started(state) && !started(known) {
                *known = state;
            }
        }
        let mut claimed = self.came_from(&looked.files);
        for (path, reading) in &looked.files {
            let of_path = by_path.get(path.as_str()).copied();
            let owner = of_path.filter(|state| started(state));
            match (owner, reading) {
                (Some(owner), _) => drop(readings.insert(owner.name.clone(), reading.clone())),
                (None, FileReading::Plan(source)) => {
                    let name = source.plan.name.clone();
                    if let Some(other) = claimed.get(&name).filter(|other| *other != path) {
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
                (
                    None,
                    FileReading::NotWatched | FileReading::Removed | FileReading::Unreadable(_),
                ) => {
                    if let Some(state) = of_path {
                        readings.insert(state.name.clone(), reading.clone());
                    } else if let FileReading::Unreadable(why) = reading {
                        refused.insert(path.clone(), why.clone());
                    }
                }
            }
        }
        // An unfinished cutover goes on from the journal when its file is gone.
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
        // What is journaled now, or is to be tried again, is another edition.
        self.watched.made_of = edition.filter(|_| fresh.is_empty()).map(|of| (looked, of));
        self.accept(fresh).await
    }

    /// The cutovers that are over, and whose names stand in files that are other plans, with that reason (semantics L9).
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

    /// Of files with one name, the one that the cutover came from: that one stands, also before it has started.
    fn came_from(&self, files: &[(String, FileReading)]) -> BTreeMap<CutoverName, String> {
        let own = |(path, reading): &(String, FileReading)| {
            let FileReading::Plan(source) = reading else {
                return None;
            };
            let state = self.book.state(&source.plan.name)?;
            (state.source.path == *path).then(|| (state.name.clone(), path.clone()))
        };
        files.iter().filter_map(own).collect()
    }

    /// Journals plans that are seen for the first time, many in an append.
    async fn accept(
        &mut self,
        fresh: Vec<(CutoverName, Box<PlanSource>)>,
    ) -> Result<(), ControllerError> {
        let draft = |(name, source)| Draft::alone(name, 0, vec![Event::PlanAccepted { source }]);
        for group in book::groups(fresh.into_iter().map(draft).collect()) {
            let now = self.now();
            for accepted in self.book.append_group(now, &group).await {
                self.journal_answered(accepted)?;
            }
            self.note_strangers();
        }
        Ok(())
    }
}

/// Logs the files that are refused now and were not before, or for another reason: a line for each reason, since one
/// mistake (a circle of `after`, for one) may concern thousands of them.
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
                tracing::error!(path, "this plan file is refused, the others go on: {why}");
            }
            paths => {
                let count = paths.len();
                let paths = paths[..count.min(NAMED_MAX)].join(", ");
                tracing::error!(
                    paths,
                    count,
                    "{count} plan files are refused, the others go on: {why}"
                );
            }
        }
    }
}

/// That a directory above a file cannot be read, if that was found instead of the files in it: the file is not gone then.
fn unread_above(path: &str, files: &[(String, FileReading)]) -> Option<FileReading> {
    for (found, reading) in files {
        let is_unread = matches!(reading, FileReading::Unreadable(_));
        if is_unread && found != path && Path::new(path).starts_with(found) {
            return Some(reading.clone());
        }
    }
    None
}
