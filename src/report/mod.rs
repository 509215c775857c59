//! All wording: events, holds and states as text and JSON.
//!
//! Every hold, event and cause is worded here and nowhere else, so the terminal, the log, JSON and the journal's history
//! say the same thing. A message is a fact and a remedy. Nothing here reads a clock or writes to a terminal: `now` is an
//! argument, text is the result.

pub mod approval;
pub mod backtest;
pub mod calendar;
pub mod check;
pub mod drifted;
pub mod errands;
pub mod events;
mod evidence;
pub mod fleet;
mod fleet_words;
pub mod history;
pub mod holds;
pub mod notice;
pub mod outlook;
pub mod preview;
pub mod rehearsal;
pub mod status;
pub mod text;

pub use events::event;
pub use holds::because_json;
pub use holds::cause;
pub use holds::hold;
