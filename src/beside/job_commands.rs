//! Runs the commands of jobs: commands that only read, and commands that change something.

use std::time::Duration;

use super::hooks::KEY_VARIABLE;
use crate::engine::decide::JOB_WITHIN;
use crate::engine::event::FailureClass;
use crate::ports::CallError;
use crate::reach::command::{self, CommandRun, Ran};

/// The most bytes of a command's output that are kept. A CronJob with its whole pod template fits.
const KEPT_BYTES: u64 = 1024 * 1024;

/// Runs a command that only reads. `what` names it in errors.
///
/// # Errors
/// The command failed. The class is `Throttled`, because nothing was changed and it can be tried again safely.
pub(super) async fn asked(what: &'static str, argv: &[String]) -> Result<Ran, CallError> {
    run(what, argv, "", FailureClass::Throttled, false).await
}

/// Runs a command that changes something. `what` names it in errors, and `key` is its idempotency key.
///
/// # Errors
/// The command failed. The class is `Transient`, because the change may have been made anyway.
pub(super) async fn told(what: &'static str, argv: &[String], key: &str) -> Result<Ran, CallError> {
    run(what, argv, key, FailureClass::Transient, false).await
}

/// Runs a command within [`JOB_WITHIN`].
///
/// # Errors
/// The command failed. The error has this class.
pub(super) async fn run(
    what: &'static str,
    argv: &[String],
    key: &str,
    class: FailureClass,
    detach: bool,
) -> Result<Ran, CallError> {
    let run = CommandRun {
        argv,
        input: "",
        environment: &[(KEY_VARIABLE, key)],
        limit: Duration::try_from(JOB_WITHIN).unwrap_or_default(),
        keep_bytes: KEPT_BYTES,
        detach,
    };
    let ran = command::run(run).await;
    let ran = ran.map_err(|why| CallError::new(what, class, why))?;
    if ran.success {
        Ok(ran)
    } else {
        Err(CallError::new(what, class, ran.failure))
    }
}
