//! Running a command: bounded in time and output, and ended together with everything that it started.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::Command;

use super::attached::NOT_FOUND;
use super::attached::NOT_STARTED;
use super::attached::attached;

/// How long its output is still read once it has ended: a process that it left running may keep the output open.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// How much of its standard error is repeated in an error, in characters.
const STDERR_SHOWN_CHARS: usize = 200;

/// A command to run: argv, no shell.
#[derive(Debug, Clone, Copy)]
pub struct CommandRun<'call> {
    /// The program and its arguments.
    pub argv: &'call [String],
    /// Its standard input.
    pub input: &'call str,
    /// Variables of its environment, besides this process's own.
    pub environment: &'call [(&'call str, &'call str)],
    /// The longest time that it may take.
    pub limit: Duration,
    /// How much of its standard output and error is kept, in bytes each; the rest is read and thrown away, so that the
    /// command does not block.
    pub keep_bytes: u64,
    /// If true, processes that it started go on once it has ended in time; else they are ended with it.
    pub detach: bool,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// True if it ended with exit code 0.
    pub success: bool,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// The message if it failed: how it ended, and the beginning of its standard error.
    pub failure: String,
}

/// Runs a command and waits until it ends, or ends it at the limit. Then ends everything that it started, unless `detach` is
/// set. If this future is dropped, the command and everything that it started are ended too.
///
/// # Errors
/// It cannot be started, or it took too long.
pub async fn run(call: CommandRun<'_>) -> Result<Ran, String> {
    let Some(program) = call.argv.first() else {
        return Err("the command is empty".to_owned());
    };
    let argv = attached(call.argv, call.detach);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).kill_on_drop(true);
    command.envs(call.environment.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // A group of its own, so that its children can be ended with it, and Ctrl-C here does not stop it half-way.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command
        .spawn()
        .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    let mut group = ProcessGroup::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let mut talk = Box::pin(async {
        tokio::join!(
            feed(stdin, call.input),
            drain(stdout, &mut said, call.keep_bytes),
            drain(stderr, &mut complained, call.keep_bytes)
        )
    });
    let mut talking = true;
    let ended = tokio::time::timeout(call.limit, async {
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
        let limit = call.limit.as_secs();
        return Err(format!("`{program}` did not end within {limit} s"));
    };
    if call.detach || argv.len() > call.argv.len() {
        // If it ran attached, the process that watched over it has ended the rest.
        group.disarm();
    } else {
        // The leader was reaped a moment ago: as long as anything is left in the group, its id stays its own.
        group.kill();
    }
    let status = status.map_err(|error| format!("`{program}`: {error}"))?;
    if talking {
        // The output read so far is kept even if the rest does not come in time.
        tokio::time::timeout(OUTPUT_GRACE, &mut talk).await.ok();
    }
    drop(talk);
    let stderr = String::from_utf8_lossy(&complained).into_owned();
    let shown: String = stderr.trim().chars().take(STDERR_SHOWN_CHARS).collect();
    if status.code() == Some(i32::from(NOT_FOUND)) && shown.starts_with(NOT_STARTED) {
        return Err(format!("`{program}` {shown}"));
    }
    let colon = if shown.is_empty() { "" } else { ": " };
    Ok(Ran {
        success: status.success(),
        stdout: String::from_utf8_lossy(&said).into_owned(),
        stderr,
        failure: format!("`{program}` ended with {status}{colon}{shown}"),
    })
}

/// Writes the input. A command may end without reading it, which is no error.
async fn feed(stdin: Option<ChildStdin>, input: &str) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(input.as_bytes()).await
    {
        tracing::debug!(%error, "a command did not read its input");
    }
}

async fn drain(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, keep_bytes: u64) {
    let Some(mut from) = from else { return };
    let read = (&mut from).take(keep_bytes).read_to_end(kept).await;
    let rest = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    if let Err(error) = read.and(rest.map(|_| 0)) {
        tracing::debug!(%error, "a command's output cannot be read");
    }
}

/// The process group that a child leads. It is ended if this is dropped before the child has ended.
struct ProcessGroup {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl ProcessGroup {
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

    /// Forgets the group: nothing is left to end, or it is to go on. The leader's id may belong to another process by now.
    fn disarm(&mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }

    /// Ends every process of the group. Called before the leader is reaped or right after it, while its id is still its own.
    fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader.take()
            && let Err(error) =
                rustix::process::kill_process_group(leader, rustix::process::Signal::KILL)
        {
            tracing::debug!(%error, "a command's processes cannot be ended");
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
