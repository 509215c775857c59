//! Handles the journal's file in the operating system: its path, its file system, and its identity.
//!
//! This module never opens the journal's file. POSIX drops all locks of a process on a file when any of its descriptors
//! is closed, including the locks of an open `SQLite` connection (<https://www.sqlite.org/howtocorrupt.html>, section
//! 2.2).

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::ports::JournalError;
use crate::reach::private;

/// Returns the absolute form of a path. Symbolic links are not resolved.
///
/// # Errors
/// `Down`: the working directory cannot be read.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, JournalError> {
    std::path::absolute(path).map_err(|error| {
        JournalError::Down(format!("the working directory cannot be read: {error}"))
    })
}

/// Returns the identity of the file at a path. `None` if there is no file. The file's content is not checked.
///
/// # Errors
/// `Unusable`: it is not a regular file, or it is empty. `Down`: its metadata cannot be read.
pub(super) fn look(path: &Path) -> Result<Option<FileId>, JournalError> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(JournalError::Down(format!("{shown}: {error}"))),
    };
    if !metadata.is_file() {
        return Err(JournalError::Unusable(format!("{shown} is not a file")));
    }
    if metadata.len() == 0 {
        return Err(JournalError::Unusable(format!(
            "{shown} is an empty file, not a journal; remove it, and `cutover run` creates a journal"
        )));
    }
    Ok(Some(FileId::of(&metadata)))
}

/// The identity of a file. It tells the file from another file that takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl FileId {
    #[cfg(unix)]
    fn of(metadata: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            device_and_inode: (metadata.dev(), metadata.ino()),
        }
    }

    #[cfg(not(unix))]
    fn of(_: &fs::Metadata) -> Self {
        Self {}
    }

    /// Checks that this file is still at the path.
    ///
    /// A process could append for days to a deleted file that it has open, and no other process would see the entries.
    ///
    /// # Errors
    /// `Down`: the file was removed or replaced.
    pub(super) fn still_at(self, path: &Path) -> Result<(), JournalError> {
        match fs::metadata(path) {
            Ok(metadata) if Self::of(&metadata) == self => Ok(()),
            Ok(_) => Err(JournalError::Down(format!(
                "{} was replaced by another file while this process had it open",
                path.display()
            ))),
            Err(error) => Err(JournalError::Down(format!("{}: {error}", path.display()))),
        }
    }
}

/// Creates the missing folders of a new journal, for this user only, and returns the folder of the file.
///
/// # Errors
/// `Down`: the folder cannot be created.
pub(super) fn make_folder(path: &Path) -> Result<PathBuf, JournalError> {
    let folder = path.parent().unwrap_or(path).to_owned();
    private::directory(&folder).map_err(|error| cannot_create(path, &error))?;
    Ok(folder)
}

/// Gives a finished file its name, unless that name exists, and makes the name survive a power cut.
///
/// # Errors
/// `Down`: the name cannot be created. It is not an error if it exists: another process created the journal at the same
/// moment.
pub(super) fn publish(finished: &Path, path: &Path, folder: &Path) -> Result<(), JournalError> {
    match fs::hard_link(finished, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(cannot_create(path, &error)),
    }
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| cannot_create(path, &error))
}

/// Creates the empty file that a new journal is written into. Only this user may open it, and the files that `SQLite`
/// creates next to it.
///
/// # Errors
/// `Down`: the file cannot be created.
pub(super) fn make_draft(draft: &Path, path: &Path) -> Result<(), JournalError> {
    let made = private::file(draft);
    made.map(drop).map_err(|error| cannot_create(path, &error))
}

/// Returns the error of a journal that cannot be created.
fn cannot_create(path: &Path, error: &io::Error) -> JournalError {
    JournalError::Down(format!("{} cannot be created: {error}", path.display()))
}

/// Refuses a journal on a network file system. `SQLite`'s write-ahead log needs memory that all its processes share. A
/// network file system shares it only on one machine, and does not report that (semantics K,
/// <https://www.sqlite.org/wal.html>).
///
/// # Errors
/// `Unusable`: the path is on a network file system.
pub(super) fn refuse_network(path: &Path) -> Result<(), JournalError> {
    match network_file_system(path) {
        Some(name) => Err(JournalError::Unusable(format!(
            "{} is on a network file system ({name}), where SQLite's log is not safe; use a local disk",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Returns the name of the network file system that the path is on, or will be on. `None` if it is local or not known.
#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<&'static str> {
    let found = path
        .ancestors()
        .find_map(|place| rustix::fs::statfs(place).ok())?;
    network_name(i128::from(found.f_type))
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

/// Returns the name of the network or cluster file system with this `statfs` type. `None` for other types. FUSE counts
/// as local, because most file systems on FUSE are.
#[cfg(target_os = "linux")]
fn network_name(file_system_type: i128) -> Option<&'static str> {
    // The kernel's type has 32 bits. Some architectures return it sign-extended.
    let magic = file_system_type & 0xFFFF_FFFF;
    for (known, name) in NETWORK_FILE_SYSTEMS {
        if known == magic {
            return Some(name);
        }
    }
    None
}

/// The `statfs` types of network file systems, with their names. Sources: `statfs(2)` and `linux/magic.h`; the last
/// five are from the headers of their projects.
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [(i128, &str); 14] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x564C, "NCP"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636F, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
];

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_type_and_local_ones_pass() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(i128::from(0xFF53_4D42_u32)), Some("CIFS"));
        let sign_extended = i128::from(i32::from_ne_bytes(0xFF53_4D42_u32.to_ne_bytes()));
        assert_eq!(network_name(sign_extended), Some("CIFS"));
        for (local, magic) in [
            ("ext4", 0xEF53),
            ("tmpfs", 0x0102_1994),
            ("FUSE", 0x6573_5546),
        ] {
            assert_eq!(network_name(magic), None, "{local}");
        }
    }

    #[test]
    fn a_path_that_is_not_there_yet_is_judged_by_the_folder_above_it() {
        assert_eq!(
            network_file_system(Path::new("/proc/none/such/journal.db")),
            None
        );
    }
}
