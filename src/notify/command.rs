//! Running the command that delivers a page.

use std::time::Duration;

use crate::reach::command;
use crate::reach::command::CommandRun;

/// How much of its standard error is kept, in bytes.
const KEPT_BYTES: u64 = 4096;

/// Runs `argv` with `input` on standard input, and waits until it ends, or ends it at the limit.
///
/// # Errors
/// It cannot be started, took too long, or failed; then with the beginning of its standard error.
pub(super) async fn run(argv: &[String], input: String, limit: Duration) -> Result<(), String> {
    let run = CommandRun {
        argv,
        input: &input,
        environment: &[],
        limit,
        keep_bytes: KEPT_BYTES,
        // Only hooks and jobs end the processes that they leave behind.
        detach: true,
    };
    let ran = command::run(run).await?;
    if ran.success {
        Ok(())
    } else {
        Err(ran.failure)
    }
}
