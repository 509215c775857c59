//! Running the command that delivers a page.

use std::time::Duration;

use crate::reach::command;
use crate::reach::command::Run;

/// How much of its standard error is kept, in bytes.
const KEPT_BYTES: u64 = 4096;

/// Runs `argv` with `input` on standard input, and waits until it ends, or ends it at the limit.
///
/// # Errors
/// Why it cannot be started, that it took too long, or how it failed and the beginning of what it wrote to standard
/// error.
pub(super) async fn run(argv: &[String], input: String, limit: Duration) -> Result<(), String> {
    let run = Run {
        argv,
        input: &input,
        environment: &[],
        limit,
        keep_bytes: KEPT_BYTES,
        // Only what hooks and jobs leave behind is ended with them.
        detach: true,
    };
    let ran = command::run(run).await?;
    if ran.success {
        Ok(())
    } else {
        Err(ran.failure)
    }
}
