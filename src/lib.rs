//! `cutover` moves production traffic from an old cluster to a new one by stepping Route 53 weights over days, watches
//! CloudWatch while it does, and moves the traffic back by itself when the new cluster misbehaves.
//!
//! # The law
//!
//! ```text
//! observe  →  decide  →  journal  →  perform  →  observe …
//! ```
//!
//! 1. **Observe**: read weights and alarms of all cutovers in few bulk calls.
//! 2. **Decide**: a pure function of plan, state, observation and time, one cutover at a time ([`engine`]).
//! 3. **Journal**: append the decision's events, conditional on the sequence number that the state was read at. Whoever
//!    loses that race drops the decision, reads again and decides again.
//! 4. **Perform**: carry out the actions, reverts first. What came of them is appended as events in turn.
//!
//! # Layout
//!
//! A folder is a layer; a layer names only those below it (`tests/layers.rs`). `ARCHITECTURE.md` draws the whole house.

pub mod aws;
pub mod beside;
pub mod cli;
pub mod controller;
pub mod engine;
pub mod journal;
pub mod notify;
pub mod plan_file;
pub mod ports;
pub mod reach;
pub mod report;
pub mod scenario;
pub mod sim;
