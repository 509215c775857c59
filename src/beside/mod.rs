//! Hooks and jobs for real: commands, HTTP and `kubectl`. What is AWS's is handed to the room that knows AWS.

pub mod hooks;
pub mod jobs;
mod kubectl;
pub mod secrets;
