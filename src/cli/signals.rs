//! Handles the signals that this process gets (semantics M1, M4).

use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::oneshot;

use super::args::Command;
use super::exit::Exit;
use super::output::Output;

/// Longest time from the first signal to the end of the process, even if something hangs. With the wait for the last
/// output it stays below the 20 s of semantics M4.
const STOP_WITHIN: Duration = Duration::from_secs(17);

/// The exit code after a second signal: 128 + SIGINT, as in shells.
const INTERRUPTED: u8 = 130;

/// Ignores the signals that must not end the command: SIGXFSZ, if output reaches a file size limit, and for a rollback
/// SIGHUP, if the terminal goes away.
///
/// # Errors
/// The operating system refuses.
pub fn outlive(command: &Command) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    // A handler stays until the process ends, and child processes do not inherit it.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    if matches!(command, Command::Rollback(_)) {
        drop(signal(SignalKind::hangup())?);
    }
    Ok(())
}

/// Stops a command that runs until a signal comes.
pub struct Stopping {
    /// True if SIGHUP stops the command too.
    pub on_hangup: bool,
    /// The exit code if something hangs and the command does not end in time.
    pub hung: Exit,
    /// The output, which is flushed before the process ends.
    pub output: Output,
}

impl Stopping {
    /// Returns a future that is ready at the first signal. A second signal ends the process at once, and so does the
    /// end of [`STOP_WITHIN`], because the journal is enough to go on later. A separate thread does this, so nothing
    /// that hangs can delay it.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn signal(self) -> Result<impl Future<Output = ()>> {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || self.attend(stop, &ready))?;
        is_ready.recv().context("signals cannot be received")??;
        Ok(async move { stopped.await.unwrap_or_default() })
    }

    fn attend(self, stop: oneshot::Sender<()>, ready: &mpsc::Sender<io::Result<()>>) {
        let (runtime, mut asked) = match self.listen() {
            Ok(listening) => listening,
            Err(error) => return ready.send(Err(error)).unwrap_or_default(),
        };
        ready.send(Ok(())).unwrap_or_default();
        runtime.block_on(async {
            asked.again().await;
            tracing::info!("stopping after the calls in flight; a second signal stops at once");
            stop.send(()).unwrap_or_default();
            tokio::select! {
                () = asked.again() => self.leave(INTERRUPTED),
                () = tokio::time::sleep(STOP_WITHIN) => {
                    let secs = STOP_WITHIN.as_secs();
                    tracing::error!(
                        "something hangs: the process has not ended {secs} s after the signal and exits now; the journal \
                         has all that is needed to go on: start it again"
                    );
                    self.leave(self.hung.code());
                }
            }
        });
    }

    /// Begins to receive the signals that ask the process to stop.
    fn listen(&self) -> io::Result<(Runtime, Asked)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let asked = Asked::new(self.on_hangup)?;
        drop(entered);
        Ok((runtime, asked))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "something hangs, or a second signal came; the journal is enough to go on"
    )]
    fn leave(&self, code: u8) {
        self.output.finish();
        std::process::exit(code.into());
    }
}

/// The signals that ask the process to stop.
struct Asked {
    terminate: Signals,
    interrupt: Signals,
    hangup: Option<Signals>,
}

impl Asked {
    fn new(on_hangup: bool) -> io::Result<Self> {
        let hangup = if on_hangup && !is_hangup_ignored() {
            Some(signal(SignalKind::hangup())?)
        } else {
            None
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
        })
    }

    /// Waits for the next signal that asks the process to stop.
    async fn again(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hangup => {}
        }
    }
}

/// Returns true if SIGHUP was ignored when this process started, for example by `nohup`. Only Linux tells; elsewhere
/// this is false.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
