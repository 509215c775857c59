//! The plan file: YAML in, a validated [`crate::engine::plan::Plan`] out; every mistake with its place and a suggested fix.
//!
//! ```text
//! text ── tree ──→ nodes with places ── read ──→ raw (serde model) ── convert ──→ Plan ── lint ──→ warnings
//! ```
//!
//! A `fleet.yaml` fills in keys that a plan does not have ([`fleet_path`] finds the one that applies). They are merged into
//! the plan's tree, so that all later stages handle one plan and still know every place.
//!
//! No stage stops at a mistake: each records it in a sink and goes on with the rest, so one run names every mistake.
//! [`load()`] reads a file, [`parse`] a text, [`find()`] turns paths into files, [`schema()`] is for editors.

mod accounts;
mod at;
mod channels;
mod convert;
mod diagnostics;
mod durations;
mod expressions;
mod faults;
mod fields;
mod file_text;
mod find;
mod fleet_file;
mod fleet_keys;
mod guarded;
mod guardrails;
mod hooks;
mod jobs;
mod keys;
mod lint;
mod load;
mod measures;
mod merge;
mod order;
mod presets;
mod raw;
mod raw_scenario;
mod read;
mod records;
mod scenario;
mod schema;
mod schema_forms;
mod secrets;
mod shapes;
mod slips;
mod steps;
mod tree;
mod windows;

pub use diagnostics::Finding;
pub use diagnostics::PlanFileError;
pub use diagnostics::Related;
pub use diagnostics::Severity;
pub use diagnostics::render;
pub use faults::FaultError;
pub use faults::fault;
pub use find::find;
pub use fleet_file::LoadedFleet;
pub use fleet_file::fleet_path;
pub use fleet_file::load as load_fleet;
pub use fleet_file::load_below as load_fleet_below;
pub use load::Loaded;
pub use load::load;
pub use load::load_below;
pub use load::parse;
pub use order::Circle;
pub use order::Misorder;
pub use order::order;
pub use scenario::load_scenario;
pub use scenario::parse_scenario;
pub use schema::fleet_schema;
pub use schema::schema;
