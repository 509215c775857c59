//! Running a command that delivers a page: bounded in time and output, and ended together with all that it started.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::ChildStdin;
use tokio::process::Command;

/// How long its standard error is still read once it has ended: something that it left running may hold it open.
const STDERR_GRACE: Duration = Duration::from_millis(200);

/// How much of its standard error is kept, in bytes; the rest is read and thrown away, so that nobody blocks.
const STDERR_KEPT_BYTES: u64 = 4096;

/// How much of its standard error is repeated in the error, in characters.
const STDERR_SHOWN_CHARS: usize = 200;

/// Runs `argv` with `input` on standard input, and waits until it ends, or ends it at the limit.
///
/// # Errors
/// Why it cannot be started, that it took too long, or how it failed and the beginning of what it wrote to standard
/// error.
pub(super) async fn run(argv: &[String], input: String, limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err("the notify command is empty".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // A group of its own, so that what it starts can be ended with it, and Ctrl-C here does not stop a page half-way.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command
        .spawn()
        .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    let group = Group::of(&child);
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let mut kept = Vec::new();
    let mut talk = Box::pin(async { tokio::join!(feed(stdin, input), drain(stderr, &mut kept)) });
    let mut talking = true;
    let ended = tokio::time::timeout(limit, async {
        tokio::select! {
            status = child.wait() => status,
            _ = &mut talk => {
                talking = false;
                child.wait().await
            }
        }
    });
    let Ok(status) = ended.await else {
        group.kill();
        // Reaps it; it was just killed, so this does not take long.
        child
            .kill()
            .await
            .map_err(|error| format!("`{program}` cannot be ended: {error}"))?;
        return Err(format!(
            "`{program}` did not end within {} s",
            limit.as_secs()
        ));
    };
    let status = status.map_err(|error| format!("`{program}`: {error}"))?;
    if status.success() {
        return Ok(());
    }
    if talking {
        // Whether or not the rest comes in time, what was read until now is kept.
        tokio::time::timeout(STDERR_GRACE, &mut talk).await.ok();
    }
    drop(talk);
    let stderr = String::from_utf8_lossy(&kept);
    let shown: String = stderr.trim().chars().take(STDERR_SHOWN_CHARS).collect();
    Err(format!("`{program}` ended with {status}: {shown}"))
}

/// A command may end without reading its input; that is its own affair.
async fn feed(stdin: Option<ChildStdin>, input: String) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(input.as_bytes()).await
    {
        tracing::debug!(%error, "the notify command did not read its input");
    }
}

async fn drain(stderr: Option<ChildStderr>, kept: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let read = (&mut stderr)
        .take(STDERR_KEPT_BYTES)
        .read_to_end(kept)
        .await;
    let rest = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    if let Err(error) = read.and(rest.map(|_| 0)) {
        tracing::debug!(%error, "the notify command's standard error cannot be read");
    }
}

/// The process group that a child leads.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(rustix::process::Pid::from_raw),
        }
    }

    #[cfg(not(unix))]
    fn of(_: &Child) -> Self {
        Self {}
    }

    /// Ends every process of the group. Called only before the leader is reaped, while its id is still its own.
    fn kill(&self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader
            && let Err(error) =
                rustix::process::kill_process_group(leader, rustix::process::Signal::KILL)
        {
            tracing::debug!(%error, "the notify command's processes cannot be ended");
        }
    }
}
