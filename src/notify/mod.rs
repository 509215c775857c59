//! Telling people: the log, and a command of theirs.

mod command;
mod pager;

pub use pager::Pager;
pub use pager::Wording;
