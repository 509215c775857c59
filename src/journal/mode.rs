//! How a command opens the journal.

/// How a command opens the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Creates it and its folders if it is not there. Only `run` does (semantics G2).
    Create,
    /// Reads and appends; the journal must be there.
    Existing,
    /// Only reads; the journal must be there. Nothing is written but the files that `SQLite` needs for reading.
    ReadOnly,
}
