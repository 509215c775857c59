//! Files: plans that are read, and break-glass files that are kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::engine::fleet::FleetSettings;
use crate::engine::observation::FileReading;
use crate::engine::record::GroupName;

/// The plan files that a controller was started with, as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFilesNow {
    /// The paths that were given, absolute; a cutover whose file lies there belongs to this controller.
    pub roots: Vec<String>,
    /// Each file found there, absolute, and what it holds.
    pub files: Vec<(String, FileReading)>,
}

/// Looks at the plan files.
pub trait PlanFiles: Send + Sync {
    /// Reads what has changed since the last look; cheap when nothing has.
    fn look(&self) -> PlanFilesNow;

    /// What the fleet's file says about all cutovers together, as of the last look, and its absolute path; none where
    /// there is no such file, or none that can be read.
    fn fleet(&self) -> Option<(String, FleetSettings)> {
        None
    }
}

/// A record of a group: the group's name and type, and the record's set identifier.
pub type RecordKey = (GroupName, String);

/// Keeps the break-glass files: change batches that work without this program.
pub trait BreakGlass: Send + Sync {
    /// Puts every stored file aside that has a record which is not `known`, under a name that nothing here touches: it is
    /// the way back of somebody whom this journal does not know. Returns where they are now. Asked once, before the first
    /// [`store`](Self::store).
    ///
    /// # Errors
    /// What went wrong, with the path.
    fn keep_others(
        &self,
        known: &BTreeSet<RecordKey>,
        now: Timestamp,
    ) -> Result<Vec<String>, String> {
        let _: (&BTreeSet<RecordKey>, Timestamp) = (known, now);
        Ok(Vec::new())
    }

    /// Whether all that was stored last is still there; cheap.
    fn are_there(&self) -> bool {
        true
    }

    /// Makes the stored files exactly these (name and content), each replaced atomically.
    ///
    /// # Errors
    /// What went wrong, with the path.
    fn store(&self, files: &BTreeMap<String, String>) -> Result<(), String>;
}
