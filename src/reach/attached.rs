//! A command that ends when whoever started it dies, with all that it started itself.
//!
//! A killed controller cannot end its commands. So each runs below a process of this program, which the kernel tells when
//! its parent dies (`prctl(2)`, `PR_SET_PDEATHSIG`), and which then ends its whole process group. A switch of a job that
//! somebody else has since decided otherwise can thus not land any more. On other systems commands are started directly.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The first argument by which this program knows that it is to watch over a command: then come its parent's process id,
/// and the command.
pub const ATTACHED: &str = "__attached";

/// The exit code of a command that cannot be started, as shells have it.
pub(super) const NOT_FOUND: u8 = 127;

/// What is said, before why, of a command that cannot be started.
pub(super) const NOT_STARTED: &str = "cannot be started: ";

/// This program, as a process that it starts finds it; set where commands are to be attached.
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// Attaches every command that this process runs from now on, where the system can do it.
pub fn enable() {
    const ITSELF: &str = "/proc/self/exe";
    if cfg!(target_os = "linux") && std::fs::metadata(ITSELF).is_ok() {
        PROGRAM.get_or_init(|| ITSELF);
    }
}

/// The argv that runs this one attached, where that is wanted.
pub(super) fn attached(argv: &[String]) -> Vec<String> {
    let before = PROGRAM.get().map_or_else(Vec::new, |program| {
        let parent = std::process::id().to_string();
        vec![(*program).to_owned(), ATTACHED.to_owned(), parent]
    });
    before.into_iter().chain(argv.iter().cloned()).collect()
}

/// Runs a command and ends as it ends, or ends it when the parent dies. `arguments` come after [`ATTACHED`].
pub fn attend(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    match watched(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            use std::io::Write;
            // As a shell has it: it cannot be started.
            writeln!(std::io::stderr(), "{NOT_STARTED}{error}").ok();
            ExitCode::from(NOT_FOUND)
        }
    }
}

#[cfg(target_os = "linux")]
fn watched(arguments: &[OsString]) -> std::io::Result<u8> {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    use tokio::signal::unix::{SignalKind, signal};

    let [parent, program, rest @ ..] = arguments else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let parent: Option<i32> = parent.to_str().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    runtime.block_on(async {
        // First this, so that no signal is missed; then the parent is looked at, which may have died before.
        let mut orphaned = signal(SignalKind::terminate())?;
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid().map(|pid| pid.as_raw_nonzero().get()) != parent {
            return Err(std::io::Error::other("whoever wanted it is gone"));
        }
        let mut child = tokio::process::Command::new(program).args(rest).spawn()?;
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                let signal = status.signal().map(|signal| signal.saturating_add(128));
                let code = status.code().or(signal);
                Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
            }
            _ = orphaned.recv() => {
                end_all();
                child.kill().await?;
                Ok(u8::MAX)
            }
        }
    })
}

#[cfg(not(target_os = "linux"))]
fn watched(_: &[OsString]) -> std::io::Result<u8> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Ends everything in this process's group, and so this process, if the group is its own.
#[cfg(target_os = "linux")]
fn end_all() {
    use rustix::process::{Signal, getpgrp, getpid, kill_process_group};

    let group = getpgrp();
    if group == getpid() {
        // Where it fails, the command itself is still ended by whoever called.
        kill_process_group(group, Signal::KILL).ok();
    }
}
