//! The append-only journal: SQLite on disk, or memory for tests and rehearsals.
