//! The append-only journal: `SQLite` on disk, a table that several machines share, or memory for tests and rehearsals.
//!
//! All keep the same contract (`tests/journal.rs`): an append is conditional on the sequence number of every stream
//! that it touches, atomic over them, and recognised if it comes twice. The code that all share is in `record`.

mod cursors;
mod disk;
mod failure;
mod log;
mod memory;
mod mode;
mod open;
mod record;
mod schema;
mod sqlite;
mod url;

pub use log::SlotJournal;
pub use memory::MemoryJournal;
pub use mode::Open;
pub use open::open;
pub use sqlite::SqliteJournal;
pub use url::DEFAULT_JOURNAL;
pub use url::JournalUrl;
pub use url::TableUrl;
