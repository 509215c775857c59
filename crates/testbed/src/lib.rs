//! Small worlds around the engine, for the tests of all crates. Never shipped.

#![expect(missing_docs, reason = "the tests say what they need it for")]

pub mod backtest;
pub mod beside;
pub mod check;
pub mod errands;
pub mod flow;
pub mod flows;
pub mod luck;
pub mod plan;
pub mod world;
