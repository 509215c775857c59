//! The built program with the real SDKs against the HTTP test bed: what people see, from the plan file to the weights.

mod alarms;
mod backtests;
mod beside;
mod calls;
mod contained;
mod crashes;
mod drift;
mod emergencies;
mod evidence;
mod fleets;
mod ladder;
mod notifications;
mod operators;
mod people;
mod preflight;
mod rollbacks;
pub(crate) mod scene;
mod stays;
mod trouble;
mod words;
