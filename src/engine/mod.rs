//! The heart: a pure decision. No I/O, no clock, no async, no AWS.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod account;
pub mod backtest;
pub mod calendar;
pub mod check;
pub mod commands;
pub mod decide;
pub mod event;
pub mod evidence;
pub mod fleet;
pub mod fold;
pub mod hold;
pub mod hooks;
pub mod jobs;
pub mod notify;
pub mod observation;
pub mod plan;
pub mod preflight;
pub mod record;
pub mod shared;
pub mod state;
pub mod units;
pub mod verdict;
pub mod window;
