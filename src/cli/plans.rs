//! The plan files of the command line. They are found, checked alone and together, and used only if all are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::clock::SystemClock;
use super::context::Context;
use super::error::Expected;
use crate::engine::fleet::FleetSettings;
use crate::engine::plan::{Plan, PlanSource};
use crate::engine::record::GroupName;
use crate::engine::units::CutoverName;
use crate::plan_file;
use crate::plan_file::{Circle, Misorder, PlanFileError};
use crate::ports::Clock;
use crate::reach::regular_file::directory_of;
use crate::report::check::Checked;
use crate::report::text;

/// The plan files of the command line, valid or not.
pub struct FoundPlans {
    /// Every file that was checked.
    pub checked: Vec<Checked>,
    /// The valid plans, each with the index of its file in `checked`.
    pub sources: Vec<(usize, PlanSource)>,
    /// The strictest settings of all `fleet.yaml` files that apply, and the path of the first one; `None` if there is
    /// no such file.
    pub fleet: Option<(PathBuf, FleetSettings)>,
}

impl FoundPlans {
    /// Returns true if every file is valid.
    pub fn all_ok(&self) -> bool {
        self.checked.iter().all(|checked| checked.ok)
    }

    /// Returns the plans if every file is valid; otherwise shows all findings on standard error.
    ///
    /// # Errors
    /// [`Expected::PlansInvalid`] if a file is not valid; an I/O error if standard error cannot be written.
    pub fn require_valid(self, context: &mut Context<'_>) -> Result<Vec<PlanSource>> {
        if self.all_ok() {
            let sources = self.sources.into_iter().map(|(_, source)| source);
            return Ok(sources.collect());
        }
        for checked in &self.checked {
            context.say(&checked.rendered)?;
        }
        Err(self.refusal().into())
    }

    /// Returns the error that says how many files are not valid, or not there.
    pub fn refusal(&self) -> Expected {
        let (mut wrong, mut missing) = (0, 0);
        for checked in &self.checked {
            if checked.missing {
                missing += 1;
            } else if !checked.ok {
                wrong += 1;
            }
        }
        let mut parts = Vec::new();
        if wrong > 0 {
            let all = text::count(self.checked.len() - missing, "plan file");
            let verb = if wrong == 1 { "is" } else { "are" };
            parts.push(format!("{wrong} of {all} {verb} not valid"));
        }
        if missing > 0 {
            let all = text::count(self.checked.len(), "path");
            let verb = if missing == 1 { "has" } else { "have" };
            parts.push(format!("{missing} of {all} {verb} no plan file"));
        }
        Expected::PlansInvalid(parts.join("; "))
    }
}

impl FoundPlans {
    /// Reads each `fleet.yaml` that applies once, so that its problems are shown once and not with each plan.
    fn take_fleets(&mut self, files: &[Below]) {
        let mut directories: BTreeMap<&Path, &Path> = BTreeMap::new();
        for file in files {
            let directory = directory_of(&file.path);
            directories.entry(directory).or_insert(&file.root);
        }
        let mut seen = BTreeSet::new();
        for (directory, root) in directories {
            // Two files in one directory are an error of each plan there, and are shown with it.
            let Ok(Some(path)) = plan_file::fleet_path(directory) else {
                continue;
            };
            if !seen.insert(path.clone()) {
                continue;
            }
            match plan_file::load_fleet_below(&path, root) {
                Err(error) => self
                    .checked
                    .push(refused(&path.display().to_string(), &error)),
                Ok(fleet) => {
                    let (path, settings) = match self.fleet.take() {
                        Some((first, settings)) => (first, settings.strictest(fleet.settings)),
                        None => (fleet.path, fleet.settings),
                    };
                    self.fleet = Some((path, settings));
                }
            }
        }
    }

    /// Returns the names of all cutovers in the directories of these plans, if one of these plans comes `after` a
    /// cutover that is not among them. So a person may check a single file of a fleet.
    fn neighbours(&self) -> BTreeSet<CutoverName> {
        let mut here: BTreeSet<&CutoverName> = BTreeSet::new();
        for (_, source) in &self.sources {
            here.insert(&source.plan.name);
        }
        let mut directories = BTreeSet::new();
        for (_, source) in &self.sources {
            if !source.plan.after.iter().all(|name| here.contains(name)) {
                directories.extend(fleet_directory(source));
            }
        }
        let mut names = BTreeSet::new();
        for directory in directories {
            let files = plan_file::find(std::slice::from_ref(&directory));
            for file in files.unwrap_or_default() {
                if let Ok(loaded) = plan_file::load_below(&file, &directory) {
                    names.insert(loaded.source.plan.name);
                }
            }
        }
        names
    }

    /// Refuses the plans that can never start because of `after`. Plans may also come after the cutovers in `known`.
    pub fn order(&mut self, known: &BTreeSet<CutoverName>) {
        let plans: Vec<Plan> = self
            .checked
            .iter()
            .filter_map(|file| file.plan.clone())
            .collect();
        let wrong = plan_file::order(&plans.iter().collect::<Vec<_>>(), known);
        if wrong.is_empty() {
            return;
        }
        let mut files: BTreeMap<CutoverName, usize> = BTreeMap::new();
        for (index, file) in self.checked.iter().enumerate() {
            if let Some(plan) = &file.plan {
                files.entry(plan.name.clone()).or_insert(index);
            }
        }
        for (name, others) in &wrong.unknown {
            for other in others {
                if let Some(index) = files.get(name) {
                    let message = Misorder::unknown_message(other);
                    self.checked[*index].clash(&message, Misorder::UNKNOWN_HELP);
                }
            }
        }
        for circle in &wrong.circles {
            self.refuse_circle(circle, &files);
        }
    }

    /// Refuses the plans that come `after` each other in a circle. The first of them has the message.
    fn refuse_circle(&mut self, circle: &Circle, files: &BTreeMap<CutoverName, usize>) {
        let mut members = circle.members.iter().filter_map(|name| files.get(name));
        let Some(first) = members.next() else {
            return;
        };
        self.checked[*first].clash(&circle.message(), Circle::HELP);
        let told_at = self.checked[*first].path.clone();
        for index in members {
            let file = &mut self.checked[*index];
            file.ok = false;
            file.told_at = Some(told_at.clone());
        }
    }
}

/// Checks all plan files of the paths, each alone and all together. A plan may come `after` cutovers of these plans,
/// and of other plans in their directories.
pub fn find(paths: &[PathBuf]) -> FoundPlans {
    find_beside(paths, &BTreeSet::new())
}

/// Does the same as [`find`], but plans may also come `after` the cutovers in `known`.
pub fn find_beside(paths: &[PathBuf], known: &BTreeSet<CutoverName>) -> FoundPlans {
    let mut found = look(paths);
    let mut known = known.clone();
    known.extend(found.neighbours());
    found.order(&known);
    found
}

/// A plan file, and the directory that its symbolic links must not leave.
pub(super) struct Below {
    pub(super) path: PathBuf,
    pub(super) root: PathBuf,
}

impl Below {
    /// Returns a file that was found through `named`, a path of the command line: the file itself or a directory.
    pub(super) fn of(path: PathBuf, named: &Path) -> Self {
        let root = if path == named {
            directory_of(named)
        } else {
            named
        };
        let root = root.to_owned();
        Self { path, root }
    }
}

/// Checks all plan files of the paths, each alone and for clashes of names and groups.
fn look(paths: &[PathBuf]) -> FoundPlans {
    let mut found = FoundPlans {
        checked: Vec::new(),
        sources: Vec::new(),
        fleet: None,
    };
    let mut files: Vec<Below> = Vec::new();
    for path in paths {
        match plan_file::find(std::slice::from_ref(path)) {
            Ok(more) => files.extend(more.into_iter().map(|file| Below::of(file, path))),
            Err(error) => found.checked.push(Checked {
                missing: true,
                ..refused(&path.display().to_string(), &error)
            }),
        }
    }
    // A file may be named twice, by its own path and by its directory.
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(absolute(&file.path)));
    found.take_fleets(&files);
    for file in files {
        let path = file.path.display().to_string();
        match plan_file::load_below(&file.path, &file.root) {
            Err(error) => found.checked.push(refused(&path, &error)),
            Ok(loaded) => {
                let loaded = loaded.judged_at(SystemClock.now(), &path);
                found
                    .sources
                    .push((found.checked.len(), loaded.source.clone()));
                found.checked.push(Checked {
                    path,
                    plan: Some(loaded.source.plan),
                    ok: true,
                    missing: false,
                    findings: loaded.warnings.iter().map(finding_json).collect(),
                    rendered: plan_file::render(&loaded.warnings, true),
                    told_at: None,
                });
            }
        }
    }
    clashes(&mut found.checked);
    found
}

fn finding_json(finding: &plan_file::Finding) -> serde_json::Value {
    serde_json::to_value(finding).unwrap_or(serde_json::Value::Null)
}

fn refused(path: &str, error: &PlanFileError) -> Checked {
    Checked {
        path: path.to_owned(),
        plan: None,
        ok: false,
        missing: false,
        findings: error.findings.iter().map(finding_json).collect(),
        rendered: error.render(true),
        told_at: None,
    }
}

/// Refuses plans that share a name or a group: they cannot run together (semantics I).
fn clashes(checked: &mut [Checked]) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut groups: BTreeMap<(String, GroupName), String> = BTreeMap::new();
    for file in checked.iter_mut() {
        let Some(plan) = file.plan.clone() else {
            continue;
        };
        let path = file.path.clone();
        if let Some(other) = names.insert(plan.name.to_string(), path.clone()) {
            file.clash(
                &format!("another plan is called `{}` too: {other}", plan.name),
                "give each cutover a name of its own",
            );
        }
        for group in claimed(&plan) {
            let other = groups.insert(group.clone(), path.clone());
            if let Some(other) = other
                && other != path
            {
                file.clash(
                    &format!("another plan moves {} too: {other}", group.1),
                    "a group may be in one cutover only; move it in one plan",
                );
            }
        }
    }
}

/// Returns the groups of a plan with their zones as written. Only Route 53 knows whether two spellings mean one zone.
fn claimed(plan: &Plan) -> Vec<(String, GroupName)> {
    let mut claimed = Vec::new();
    for group in &plan.records {
        let zone = group.zone.zone.trim_end_matches('.').to_ascii_lowercase();
        let private = group.zone.private.unwrap_or(false);
        claimed.push((format!("{zone} {private}"), group.name.clone()));
    }
    claimed
}

/// Returns the directory of the `fleet.yaml` that applies to a plan, or the plan's own directory if there is none.
fn fleet_directory(source: &PlanSource) -> Option<PathBuf> {
    let own = Path::new(&source.path).parent()?;
    if let Ok(Some(fleet)) = plan_file::fleet_path(own)
        && let Some(directory) = fleet.parent()
    {
        return Some(directory.to_owned());
    }
    Some(own.to_owned())
}

/// Returns the path as plans in the journal have it: absolute, without a slash at the end.
pub fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts: PathBuf = path.components().collect();
    parts.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_the_same_with_and_without_its_slash() {
        assert_eq!(absolute(Path::new("/plans/")), "/plans");
        assert_eq!(absolute(Path::new("/plans/./a.yaml")), "/plans/a.yaml");
        assert_eq!(absolute(Path::new("plans/")), absolute(Path::new("plans")));
    }
}
