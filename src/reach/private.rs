//! Creates files and directories that only this user can read, whatever the umask is (semantics M9).

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The permissions of directories: only the owner may enter and list them.
const DIRECTORY_MODE: u32 = 0o700;

/// The permissions of files: only the owner may read and write them.
const FILE_MODE: u32 = 0o600;

/// Creates a directory and its missing parents. An existing directory keeps its permissions, because somebody chose
/// them.
///
/// # Errors
/// The operating system refuses, or the path exists and is not a directory.
pub fn directory(path: &Path) -> io::Result<()> {
    let made = match make(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match path.parent() {
                Some(above) if !above.as_os_str().is_empty() && !above.exists() => {
                    directory(above)?;
                }
                Some(_) | None => return Err(error),
            }
            make(path)
        }
        made => made,
    };
    match made {
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// Creates one directory.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)?;
    // The umask may have removed some permissions.
    fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))
}

/// Creates a new file and opens it for writing. A link of that name is not followed.
///
/// # Errors
/// The operating system refuses, or the path exists.
pub fn file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// Replaces a file. A reader sees either the old or the new content, never a part of it, even after a power cut.
///
/// # Errors
/// The operating system refuses.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Nobody can guess this name and put a link there.
    let draft = path.with_file_name(format!(".{name}.new-{:016x}", fastrand::u64(..)));
    let written = file(&draft).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        // If the draft cannot be removed either, it stays behind. Nothing reads it.
        fs::remove_file(&draft).unwrap_or_default();
    }
    written
}

/// Makes new names in a directory survive a power cut.
///
/// # Errors
/// The operating system refuses.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_the_owners_alone_and_what_was_there_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let deep = folder.path().join(".cutover/break-glass");
        directory(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(mode(&folder.path().join(".cutover")), 0o700);
        directory(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o755);
        let path = deep.join("Z1-01.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(
            (mode(&path), fs::read(&path).unwrap()),
            (0o600, b"new".to_vec())
        );
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("a.json"), folder.path().join("victim"));
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(file(&path).is_err(), "something lies there");
    }
}
