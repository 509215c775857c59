//! Telling people: the log, and a command of theirs.
