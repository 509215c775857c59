//! The append-only journal: `SQLite` on disk, or memory for tests and rehearsals.
//!
//! Both keep the same contract (`tests/journal.rs`): an append is conditional on the sequence number of every stream
//! that it touches, atomic over them, and recognised if it comes twice. The code that both share is in `record`.

mod cursors;
mod disk;
mod failure;
mod memory;
mod open;
mod record;
mod schema;
mod sqlite;

pub use memory::MemoryJournal;
pub use open::open;
pub use schema::Open;
pub use sqlite::SqliteJournal;
