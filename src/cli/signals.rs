//! What signals do to this process (semantics M1, M4).

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::oneshot;

use super::args::Command;
use super::exit::Exit;
use super::output::Output;

/// How long a process that was asked to stop takes at most, whatever hangs. Together with the last words it is below the 20 s
/// of semantics M4.
const STOP_WITHIN: Duration = Duration::from_secs(17);

/// What a second signal ends the process with: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// Makes this process outlive the signals that must not end its command: a file size limit that output runs into, and for
/// a rollback the terminal that goes away.
///
/// # Errors
/// The operating system refuses.
pub fn outlive(command: &Command) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    // A handler stays for as long as the process lives, and a child does not inherit it.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    if matches!(command, Command::Rollback(_)) {
        drop(signal(SignalKind::hangup())?);
    }
    Ok(())
}

/// What ends a command that goes on until it is asked to stop.
pub struct Stopping {
    /// Whether the end of the terminal asks it to stop too.
    pub on_hangup: bool,
    /// The exit code if something hangs and the end does not come by itself.
    pub hung: Exit,
    /// Where the last words go.
    pub output: Output,
}

impl Stopping {
    /// Ready at the first SIGTERM or SIGINT. A second one ends the process at once, and so does time: what is journaled is
    /// enough to go on. A thread of its own sees to that, which nothing that hangs can hold up.
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
        let begun = Builder::new_current_thread().enable_all().build();
        let begun = begun.and_then(|runtime| {
            let entered = runtime.enter();
            let asked = Asked::new(self.on_hangup)?;
            drop(entered);
            Ok((runtime, asked))
        });
        let (runtime, mut asked) = match begun {
            Ok(begun) => begun,
            Err(error) => return ready.send(Err(error)).unwrap_or_default(),
        };
        ready.send(Ok(())).unwrap_or_default();
        runtime.block_on(async {
            asked.again().await;
            tracing::info!("stopping after what is on the wire; once more to stop at once");
            stop.send(()).unwrap_or_default();
            tokio::select! {
                () = asked.again() => self.leave(INTERRUPTED),
                () = tokio::time::sleep(STOP_WITHIN) => {
                    let secs = STOP_WITHIN.as_secs();
                    tracing::error!(
                        "something hangs, and the end did not come in {secs} s: the process ends now; the journal is \
                         enough to go on: start it again"
                    );
                    self.leave(self.hung.code());
                }
            }
        });
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "something hangs, or a person asked twice; the journal is made for that"
    )]
    fn leave(&self, code: u8) {
        self.output.finish();
        std::process::exit(code.into());
    }
}

/// The signals that ask a process to stop.
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

    /// Returns at the next one.
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

/// Returns true if whoever started this process (`nohup`) wants it to outlive the terminal. Only Linux says so.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
