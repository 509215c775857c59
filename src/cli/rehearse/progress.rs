//! Shows the progress of long work on standard error.

use std::io::IsTerminal;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::cli::context::Context;
use crate::engine::foreign_text::one_line;
use crate::ports::Clock as _;
use crate::report::text;

/// How long to wait for the end of the work before progress may be shown again.
const QUIET: Duration = Duration::from_secs(1);

/// Time between two progress lines if standard error is not a terminal.
const SPARSE: SignedDuration = SignedDuration::from_secs(15);

/// Width to which a progress line on a terminal is padded with spaces, in columns. They erase the line before it.
const CELLS: usize = 40;

/// Shows progress: on a terminal in one line that is rewritten, elsewhere in a new line from time to time.
pub(in crate::cli) struct ProgressLine {
    live: bool,
    began: Timestamp,
    said: Option<Timestamp>,
}

impl ProgressLine {
    /// Creates a line for work that begins now. Shows nothing yet.
    pub(in crate::cli) fn new(context: &Context<'_>) -> Self {
        Self {
            live: std::io::stderr().is_terminal(),
            began: context.clock.now(),
            said: None,
        }
    }

    /// Shows `words` if enough time has passed since the last message.
    ///
    /// # Errors
    /// Standard error is closed.
    pub(in crate::cli) fn say(&mut self, context: &mut Context<'_>, words: &str) -> Result<()> {
        let now = context.clock.now();
        let since = self.said.unwrap_or(self.began);
        let wait = match (self.live, self.said) {
            (true, Some(_)) => SignedDuration::from_millis(200),
            (true, None) => SignedDuration::from_secs(1),
            (false, _) => SPARSE,
        };
        if now.duration_since(since) < wait {
            return Ok(());
        }
        self.said = Some(now);
        let took = text::duration(now.duration_since(self.began));
        let words = one_line(words);
        if self.live {
            // Spaces erase the old text without escape sequences, which some terminals do not have.
            write!(context.err, "\r{:<CELLS$}", format!("{words}, {took}"))?;
        } else {
            writeln!(context.err, "{words}, {took}")?;
        }
        Ok(context.err.flush()?)
    }

    /// Erases the line on a terminal.
    ///
    /// # Errors
    /// Standard error is closed.
    pub(in crate::cli) fn end(self, context: &mut Context<'_>) -> Result<()> {
        if self.live && self.said.is_some() {
            write!(context.err, "\r{:<CELLS$}\r", "")?;
            context.err.flush()?;
        }
        Ok(())
    }
}

/// Does long work in a separate thread, and shows that it is still running.
///
/// # Errors
/// The work fails, or standard error is closed.
pub(super) fn patiently<T: Send>(
    context: &mut Context<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let mut progress = ProgressLine::new(context);
    let (done, wait) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || done.send(work()));
        loop {
            match wait.recv_timeout(QUIET) {
                Ok(result) => {
                    progress.end(context)?;
                    return result;
                }
                Err(RecvTimeoutError::Timeout) => progress.say(context, "rehearsing")?,
                Err(RecvTimeoutError::Disconnected) => {
                    anyhow::bail!("the rehearsal crashed")
                }
            }
        }
    })
}
