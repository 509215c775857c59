//! The adapters for hooks and jobs, with commands, HTTP and `kubectl`. Jobs in AWS are passed on to the AWS adapter.

pub mod hooks;
mod job_commands;
pub mod jobs;
mod kubectl;
