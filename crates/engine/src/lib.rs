//! The pure core: decisions, and the data that they are made from. It has no I/O, no clock, no async code and no AWS
//! code.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod account;
pub mod around;
pub mod backoff;
pub mod backtest;
pub mod calendar;
pub mod check;
pub mod commands;
pub mod decide;
pub mod drifted;
pub mod event;
pub mod evidence;
pub mod fleet;
pub mod fold;
pub mod foreign_text;
pub mod hold;
pub mod hooks;
pub mod jobs;
pub mod ledger;
pub mod lists;
pub mod notify;
pub mod observation;
pub mod paged;
pub mod plan;
pub mod preflight;
pub mod record;
pub mod secret_text;
pub mod shared;
pub mod state;
pub mod strays;
pub mod units;
pub mod verdict;
pub mod warnings;
pub mod window;
