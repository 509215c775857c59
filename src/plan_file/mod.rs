//! The plan file: YAML in, a validated [`crate::engine::plan::Plan`] out; every mistake with its place and its mend.
//!
//! ```text
//! text ── tree ──→ nodes with places ── read ──→ raw (serde model) ── convert ──→ Plan ── lint ──→ warnings
//! ```
//!
//! No stage stops at a mistake: each tells a sink what is wrong and goes on with what is left, so one run names
//! everything. [`load`] reads a file, [`parse`] a text, [`find`] turns paths into files, [`schema`] is for editors.

mod convert;
mod diagnostics;
mod durations;
mod find;
mod keys;
mod lint;
mod load;
mod raw;
mod read;
mod records;
mod schema;
mod shapes;
mod steps;
mod tree;
mod windows;

pub use diagnostics::Finding;
pub use diagnostics::PlanFileError;
pub use diagnostics::Related;
pub use diagnostics::Severity;
pub use diagnostics::render;
pub use find::find;
pub use load::Loaded;
pub use load::load;
pub use load::parse;
pub use schema::schema;
