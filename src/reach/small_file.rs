//! Files that others name: regular ones only, and up to a size. A device, a pipe or a file without end would hold the
//! program up, or fill its memory.

use std::fs::File;
use std::io::Read;

/// Makes sure that a file can be read in one go: it is a regular file of at most `bytes_max`.
///
/// # Errors
/// It is not, or is not there. The message fits behind the file's name.
pub fn check(path: &str, bytes_max: u64) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| unread(&error))?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if metadata.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(())
}

/// Reads such a file.
///
/// # Errors
/// It is not one, or cannot be read. The message fits behind the file's name.
pub fn read(path: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    check(path, bytes_max)?;
    let file = File::open(path).map_err(|error| unread(&error))?;
    let mut bytes = Vec::new();
    // It may have grown since.
    let mut most = file.take(bytes_max + 1);
    most.read_to_end(&mut bytes)
        .map_err(|error| unread(&error))?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(bytes)
}

fn unread(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

fn too_large(bytes_max: u64) -> String {
    format!("is larger than {} KiB", bytes_max / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bearable_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345678").unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(read(path, 8), Ok(b"12345678".to_vec()));
        assert!(read(path, 7).unwrap_err().contains("larger"));
        assert!(read("/dev/zero", 8).unwrap_err().contains("regular"));
        let missing = folder.path().join("none");
        assert!(
            read(missing.to_str().unwrap(), 8)
                .unwrap_err()
                .contains("cannot be read")
        );
    }
}
