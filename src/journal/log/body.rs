//! Entries as compressed JSON. Compression is zlib's.

use std::io::Read as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::event::Envelope;
use crate::engine::units::CutoverName;
use crate::journal::record::StoredEntry;

/// The most bytes that compressed data may have when it is unpacked.
pub(super) const UNPACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most bytes of the JSON of one append: 20 entries, each with one plan of 1 MiB as text and as JSON at most.
pub(super) const APPEND_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Compresses bytes.
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes);
    let packed = written.and_then(|()| encoder.finish());
    packed.expect("invariant: memory can be written")
}

/// Unpacks compressed bytes.
///
/// # Errors
/// They are not whole, or have more than [`UNPACKED_BYTES_MAX`] bytes.
pub(super) fn inflate(packed: &[u8]) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(UNPACKED_BYTES_MAX).unwrap_or(u64::MAX);
    let mut unpacked = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(limit + 1);
    decoder
        .read_to_end(&mut unpacked)
        .map_err(|error| format!("it cannot be unpacked: {error}"))?;
    if unpacked.len() > UNPACKED_BYTES_MAX {
        return Err(format!("it has more than {UNPACKED_BYTES_MAX} bytes"));
    }
    Ok(unpacked)
}

/// The JSON of the entries of an append.
///
/// # Errors
/// An entry cannot be written as JSON, or there are more than [`APPEND_BYTES_MAX`] bytes.
pub(super) fn entries_to_json(entries: &[Envelope]) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(entries)
        .map_err(|error| format!("this cannot be written as JSON: {error}"))?;
    if json.len() > APPEND_BYTES_MAX {
        return Err(format!(
            "an append of {} bytes; at most {APPEND_BYTES_MAX} are written at once",
            json.len()
        ));
    }
    Ok(json)
}

/// An entry as it is stored: an [`Envelope`] whose event is read later.
#[derive(Deserialize)]
struct LoggedEntry<'a> {
    cutover: String,
    attempt: i64,
    seq: u64,
    at: String,
    actor: String,
    version: i64,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// Reads the entries of an append. An entry that is newer or damaged becomes
/// [`Event::Unreadable`](crate::engine::event::Event::Unreadable).
///
/// # Errors
/// These are no entries.
pub(super) fn entries_from_json(json: &[u8]) -> Result<Vec<Envelope>, String> {
    let logged: Vec<LoggedEntry<'_>> =
        serde_json::from_slice(json).map_err(|error| format!("it holds no entries: {error}"))?;
    let mut entries = Vec::new();
    for entry in logged {
        let stored = StoredEntry {
            at: &entry.at,
            attempt: entry.attempt,
            actor: &entry.actor,
            version: entry.version,
            event: entry.event.get(),
        };
        entries.push(stored.read(CutoverName::from(entry.cutover), entry.seq));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_unpacked_as_they_were_and_cut_ones_are_refused() {
        let bytes = b"the same words, the same words, the same words".repeat(40);
        let packed = deflate(&bytes);
        assert!(packed.len() < bytes.len() / 4);
        assert_eq!(inflate(&packed), Ok(bytes));
        assert!(inflate(&packed[..packed.len() / 2]).is_err());
        assert!(inflate(b"nothing of the kind").is_err());
    }

    #[test]
    fn a_small_item_cannot_fill_the_memory() {
        let packed = deflate(&vec![0; UNPACKED_BYTES_MAX + 1]);
        assert!(packed.len() < 400 * 1024);
        let refused = inflate(&packed).unwrap_err();
        assert!(refused.contains("more than"), "{refused}");
    }
}
