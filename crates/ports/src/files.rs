//! Files: plan files, which are read, and break-glass files, which are written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use cutover_engine::fleet::FleetSettings;
use cutover_engine::observation::FileReading;
use cutover_engine::record::GroupName;

/// The plan files that a controller was started with, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFilesNow {
    /// The paths that were given, absolute. A cutover belongs to this controller if its file is there.
    pub roots: Vec<String>,
    /// Each file found there: its absolute path and its contents.
    pub files: Vec<(String, FileReading)>,
}

/// Reads the plan files.
pub trait PlanFiles: Send + Sync {
    /// Reads the files that have changed since the last look; cheap if none has.
    fn look(&self) -> PlanFilesNow;

    /// The absolute path of the fleet's file and its settings, as of the last look; `None` if there is no such file, or
    /// it cannot be read.
    fn fleet(&self) -> Option<(String, FleetSettings)> {
        None
    }
}

/// A record of a group: the group's name and type, and the record's set identifier.
pub type RecordKey = (GroupName, String);

/// Keeps the break-glass files: change batches that work without this program.
pub trait BreakGlass: Send + Sync {
    /// Puts aside every stored file with a record that is not `known`, under a name that is never overwritten: it is
    /// the way back of a cutover that this journal does not know. Returns the new paths. Called once, before the first
    /// [`store`](Self::store).
    ///
    /// # Errors
    /// The failure, with the path.
    fn keep_others(
        &self,
        known: &BTreeSet<RecordKey>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let _: (&BTreeSet<RecordKey>, Timestamp) = (known, now);
        Ok(Vec::new())
    }

    /// Returns true if all files that were stored last are still there; cheap.
    fn are_there(&self) -> bool {
        true
    }

    /// Stores exactly these files (name and contents), and removes all others. Each file is replaced atomically.
    ///
    /// # Errors
    /// The failure, with the path.
    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String>;
}
