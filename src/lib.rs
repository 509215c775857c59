//! `cutover` moves production traffic from an old cluster to a new one in steps of Route 53 weights over days, watches
//! CloudWatch meanwhile, and reverts automatically if the new cluster misbehaves.
//!
//! # The law
//!
//! ```text
//! observe  →  decide  →  journal  →  perform  →  observe …
//! ```
//!
//! 1. **Observe**: read the weights and alarms of all cutovers in a few bulk calls.
//! 2. **Decide**: a pure function of plan, state, observation and time, one cutover at a time ([`engine`]).
//! 3. **Journal**: append the decision's events, conditional on the sequence number at which the state was read. A
//!    controller that loses this race drops the decision, reads again and decides again.
//! 4. **Perform**: carry out the actions, reverts first, and append their outcomes as events.
//!
//! # Layout
//!
//! A folder is a layer; a layer names only those below it (`tests/layers.rs`). `ARCHITECTURE.md` shows all of them.

pub mod aws;
pub mod beside;
pub mod cli;
pub mod controller;
pub mod journal;
pub mod notify;
pub mod plan_file;
pub mod reach;
pub mod report;

pub use cutover_engine as engine;
pub use cutover_ports as ports;
pub use cutover_sim as sim;
pub use cutover_sim::scenario;
