//! Notifies people: in the log, with a command of theirs, and through services over the network.

mod channels;
mod command;
mod deliver;
mod log;
mod shorten;
mod slack;
mod sns;
mod webhook;

pub use channels::Channels;
pub use channels::Words;
pub use channels::resolve;
