//! Ports for files: plan files, which are read, and break-glass files, which are written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use cutover_engine::fleet::FleetSettings;
use cutover_engine::observation::FileReading;
use cutover_engine::record::GroupName;

/// The plan files that a controller was started with, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFilesNow {
    /// The absolute paths that `run` was given: files or directories. A cutover belongs to this controller if its plan
    /// file is one of them or lies below one.
    pub roots: Vec<String>,
    /// Each plan file found there: its absolute path and its contents.
    pub files: Vec<(String, FileReading)>,
}

/// Reads the plan files.
pub trait PlanFiles: Send + Sync {
    /// Reads the files that have changed since the last call. Costs little if none has.
    fn look(&self) -> PlanFilesNow;

    /// Returns the absolute path of the fleet's file, and its settings, as of the last call of [`look`](Self::look).
    /// `None` if there is no such file, or if it cannot be read.
    fn fleet(&self) -> Option<(String, FleetSettings)> {
        None
    }
}

/// Identifies one record: the name and type of its group, and its set identifier.
pub type RecordKey = (GroupName, String);

/// Keeps the break-glass files: change batches that take cutovers back without this program.
pub trait BreakGlass: Send + Sync {
    /// Renames every stored file that has a record outside `known`, or that cannot be read as records. Such a file is
    /// the way back of a cutover that this journal does not know, so the new name is never overwritten. `now` is part
    /// of the new name. Returns the new paths. Called once, before the first [`store`](Self::store).
    ///
    /// # Errors
    /// A file could not be read or renamed. The text names its path.
    fn keep_others(
        &self,
        known: &BTreeSet<RecordKey>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let _: (&BTreeSet<RecordKey>, Timestamp) = (known, now);
        Ok(Vec::new())
    }

    /// Returns true if all files of the last [`store`](Self::store) still exist. Costs little.
    fn are_there(&self) -> bool {
        true
    }

    /// Stores exactly these files, by name and contents, and removes all others. Each file is replaced atomically.
    ///
    /// # Errors
    /// A file could not be written or removed. The text names its path.
    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String>;
}
