//! A journal in a table that several machines share: a log of appends, one item each.
//!
//! An append is one conditional write of the next position. Everything else follows from that: two processes cannot both
//! get a position, and whoever has read all positions knows where every stream stands. There is no leader, no transaction
//! and no index.
//!
//! | file | contents |
//! |---|---|
//! | `layout.rs` | partitions, sort keys and fields |
//! | `body.rs` | entries as compressed JSON |
//! | `blob.rs` | data that is larger than an item |
//! | `item.rs` | an append as an item, and its hash |
//! | `chain.rs` | what a process knows of the log |
//! | `packs.rs` | copies of some hundred appends in one item |
//! | `reader.rs` | reading the log, and checking its chain |
//! | `verify.rs` | checking everything that is stored |
//! | `beats_and_cursors.rs` | heartbeats and cursors |
//! | `slot_journal.rs` | the port `Journal` |

mod beats_and_cursors;
mod blob;
mod body;
mod chain;
mod item;
mod layout;
mod packs;
mod reader;
mod slot_journal;
mod verify;

pub use slot_journal::SlotJournal;
