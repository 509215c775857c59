//! Runs a command so that it ends, with everything that it started, if the process that started it dies.
//!
//! A killed controller cannot end its commands. So each command runs below another process of this program. The kernel
//! signals that process when its parent dies (`prctl(2)`, `PR_SET_PDEATHSIG`), and it then ends its whole process
//! group. So a switch of a job cannot take effect after another controller has decided otherwise. On systems other than
//! Linux, commands are started directly.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The first argument that makes this program run and watch a command. The parent's process ID follows, then [`END`] or
/// [`DETACH`], then the command with its arguments.
pub const ATTACHED: &str = "__attached";

/// Ends processes that the command leaves behind, together with it (semantics M12).
pub const END: &str = "end";

/// Lets processes that the command leaves behind run on.
pub const DETACH: &str = "detach";

/// The exit code if a command cannot be started, the same as in shells.
pub(super) const NOT_FOUND: u8 = 127;

/// The beginning of the message if a command cannot be started. The reason follows.
pub(super) const NOT_STARTED: &str = "cannot be started: ";

/// The path at which a child process finds this program. Set only if commands run attached.
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// Makes this process run all later commands attached, if the system supports it.
pub fn enable() {
    const ITSELF: &str = "/proc/self/exe";
    if cfg!(target_os = "linux") && std::fs::metadata(ITSELF).is_ok() {
        PROGRAM.get_or_init(|| ITSELF);
    }
}

/// Returns the arguments that run a command attached, or the command itself if commands do not run attached.
pub(super) fn attached(argv: &[String], detach: bool) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(program) = PROGRAM.get() {
        let rest = if detach { DETACH } else { END };
        let parent = std::process::id().to_string();
        all.extend([
            (*program).to_owned(),
            ATTACHED.to_owned(),
            parent,
            rest.to_owned(),
        ]);
    }
    all.extend_from_slice(argv);
    all
}

/// Runs a command and ends with its exit code. Ends the command if the parent dies. `arguments` are those after
/// [`ATTACHED`].
pub fn attend(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    match watched(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            use std::io::Write;
            writeln!(std::io::stderr(), "{NOT_STARTED}{error}").ok();
            ExitCode::from(NOT_FOUND)
        }
    }
}

/// Runs a command and returns its exit code; 128 plus the number of the signal that ended it, if one did.
///
/// # Errors
/// The command cannot be started, or the parent is already dead.
#[cfg(target_os = "linux")]
fn watched(arguments: &[OsString]) -> std::io::Result<u8> {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{
        Signal, getpid, getppid, set_child_subreaper, set_parent_process_death_signal,
    };
    use tokio::signal::unix::{SignalKind, signal};

    let [parent, left, program, rest @ ..] = arguments else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let parent: Option<i32> = parent.to_str().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    runtime.block_on(async {
        // The signal handler comes first, so that no signal is missed. The parent may have died before, so it is
        // checked then.
        let mut orphaned = signal(SignalKind::terminate())?;
        set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid().map(|pid| pid.as_raw_nonzero().get()) != parent {
            return Err(std::io::Error::other("the process that started it is gone"));
        }
        let ends_rest = left != DETACH;
        if ends_rest {
            // A descendant that loses its parent becomes a child of this process, even from another session.
            set_child_subreaper(Some(getpid()))?;
        }
        let mut child = tokio::process::Command::new(program).args(rest).spawn()?;
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                if ends_rest {
                    end_children().await;
                }
                let signal = status.signal().map(|signal| signal.saturating_add(128));
                let code = status.code().or(signal);
                Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
            }
            _ = orphaned.recv() => {
                if ends_rest {
                    end_children().await;
                }
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

/// The most searches for children. Grandchildren become children of this process only when their parents end.
#[cfg(target_os = "linux")]
const LOOKS_MAX: usize = 1000;

/// Ends all children of this process, and the processes that become its children because of that.
#[cfg(target_os = "linux")]
async fn end_children() {
    use rustix::process::{Signal, WaitOptions, kill_process, waitpid};

    for _ in 0..LOOKS_MAX {
        match waitpid(None, WaitOptions::NOHANG) {
            // One child was reaped; there may be more.
            Ok(Some(_)) => {}
            Ok(None) => {
                for child in children() {
                    kill_process(child, Signal::KILL).ok();
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            // There are no children.
            Err(_) => return,
        }
    }
}

/// Returns the children of this process. None of them is reaped until they are used, so their IDs stay valid.
#[cfg(target_os = "linux")]
fn children() -> Vec<rustix::process::Pid> {
    let me = std::process::id().to_string();
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(id) = name.parse() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // `proc(5)`: the program's name is in parentheses and may contain anything. After it come the state and the
        // parent.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(me.as_str()) {
            children.extend(rustix::process::Pid::from_raw(id));
        }
    }
    children
}

/// Ends every process in this process's group, including itself, if this process leads the group.
#[cfg(target_os = "linux")]
fn end_all() {
    use rustix::process::{Signal, getpgrp, getpid, kill_process_group};

    let group = getpgrp();
    if group == getpid() {
        // If this fails, the caller ends at least the command itself.
        kill_process_group(group, Signal::KILL).ok();
    }
}
