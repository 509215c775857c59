//! Reads files that others wrote: only regular files, up to a size, and none outside a given directory (semantics M3).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use thiserror::Error;

/// Why a file was not read.
#[derive(Debug, Error)]
pub enum Unread {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The path is a directory.
    #[error("this is a directory")]
    Directory,
    /// The path is a pipe, a socket or a device.
    #[error("this is a pipe, a socket or a device, and not a file")]
    NotRegular,
    /// The file is larger than the limit, in bytes.
    #[error("the file has more than {0} bytes")]
    TooLarge(u64),
    /// The path is a link that leads out of this directory.
    #[error("this is a link that leads out of {}", .0.display())]
    LeadsOut(PathBuf),
}

/// Reads a file of at most `bytes_max` bytes. If a directory is given, links are followed only within it; the links of
/// a mounted `ConfigMap` are. Does not wait for a writer, but a file system that hangs blocks the caller
/// ([`super::aside`]).
///
/// # Errors
/// See [`Unread`].
pub fn read(path: &Path, within: Option<&Path>, bytes_max: u64) -> Result<Vec<u8>, Unread> {
    // The check comes before the file is opened, because opening a device may have an effect.
    check(path, bytes_max)?;
    let real = std::fs::canonicalize(path)?;
    if let Some(directory) = within
        && !real.starts_with(std::fs::canonicalize(directory)?)
    {
        return Err(Unread::LeadsOut(directory.to_owned()));
    }
    // A pipe or a link may have replaced the file since the check.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&real, flags, Mode::empty());
    let file = File::from(opened.map_err(io::Error::from)?);
    fits(&file.metadata()?, bytes_max)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        return Err(Unread::TooLarge(bytes_max));
    }
    Ok(bytes)
}

/// Checks that a file is a regular one of at most `bytes_max` bytes. Links are followed.
///
/// # Errors
/// See [`Unread`].
pub fn check(path: &Path, bytes_max: u64) -> Result<(), Unread> {
    fits(&std::fs::metadata(path)?, bytes_max)
}

/// Refuses everything but a regular file within the limit.
fn fits(metadata: &std::fs::Metadata, bytes_max: u64) -> Result<(), Unread> {
    if metadata.is_dir() {
        return Err(Unread::Directory);
    }
    if !metadata.is_file() {
        return Err(Unread::NotRegular);
    }
    if metadata.len() > bytes_max {
        return Err(Unread::TooLarge(bytes_max));
    }
    Ok(())
}

/// Returns the directory part of a file's path; `.` if the path has none.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn why(path: &Path, within: &Path) -> String {
        read(path, Some(within), 100).unwrap_err().to_string()
    }

    #[test]
    fn links_are_followed_within_the_directory_and_not_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, secret) = (folder.path().join("plans"), folder.path().join("secret"));
        fs::create_dir_all(inside.join("..2026")).unwrap();
        fs::write(&secret, "secret").unwrap();
        fs::write(inside.join("..2026/plan.yaml"), "plan").unwrap();
        // Kubernetes mounts a `ConfigMap` with links like these.
        symlink("..2026", inside.join("..data")).unwrap();
        symlink("..data/plan.yaml", inside.join("plan.yaml")).unwrap();
        let text = read(&inside.join("plan.yaml"), Some(&inside), 100).unwrap();
        assert_eq!(text, b"plan");
        symlink(&secret, inside.join("out.yaml")).unwrap();
        symlink("../../secret", inside.join("..2026/out.yaml")).unwrap();
        for out in ["out.yaml", "..data/out.yaml", "../secret"] {
            let told = why(&inside.join(out), &inside);
            assert!(told.contains("a link that leads out of"), "{out}: {told}");
        }
        assert_eq!(
            read(&inside.join("out.yaml"), None, 100).unwrap(),
            b"secret"
        );
    }

    #[test]
    fn only_a_regular_file_within_the_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        fs::write(&large, [b'x'; 101]).unwrap();
        assert!(why(&pipe, folder.path()).contains("a pipe"));
        assert!(why(Path::new("/dev/zero"), Path::new("/dev")).contains("a pipe"));
        assert!(why(folder.path(), folder.path()).contains("a directory"));
        assert!(why(&large, folder.path()).contains("more than 100 bytes"));
        fs::write(&large, [b'x'; 100]).unwrap();
        assert_eq!(read(&large, Some(folder.path()), 100).unwrap().len(), 100);
    }
}
