//! Telling people: the log, a command of theirs, and services over the network.

mod channels;
mod command;
mod pager;
mod secret;
mod slack;
mod sns;
mod webhook;

pub use channels::Channels;
pub use channels::Words;
pub use pager::Pager;
pub use pager::Wording;
pub use pager::test_command;
pub use secret::Lookup;
pub use secret::Secret;
pub use secret::resolve;
