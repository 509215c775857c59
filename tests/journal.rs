//! The journal: one contract for all kinds, what only a file or only a table can suffer, and the format of entries.

mod contract;
pub(crate) mod examples;
mod files;
#[cfg(feature = "dynamodb")]
mod ministack;
mod records;
mod shared;

use cutover::engine::event::Event;
use cutover::ports::{Append, NewEntry};
use jiff::Timestamp;

/// A moment to count from.
fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + secs).expect("in range")
}

fn entry(stream: &str, secs: i64, event: Event) -> NewEntry {
    NewEntry {
        cutover: stream.into(),
        attempt: 1,
        at: at(secs),
        actor: "test@host".to_owned(),
        event,
    }
}

/// An append of one small entry to one stream.
fn append_one(stream: &str, expected: u64, append_id: &str) -> Append {
    Append {
        expect: vec![(stream.into(), expected)],
        entries: vec![entry(stream, 0, Event::BakeStarted { step: 1 })],
        append_id: append_id.to_owned(),
    }
}
