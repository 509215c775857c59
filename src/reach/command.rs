//! Runs a command, with limits on its time and output, and ends it together with everything that it started.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::attached::{NOT_FOUND, NOT_STARTED, attached};

/// How long a command's output is read after it has ended. A process that it left running may keep the output open.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// The most characters of a command's standard error that an error message repeats.
const STDERR_SHOWN_CHARS: usize = 200;

/// A command to run, without a shell.
#[derive(Debug, Clone, Copy)]
pub struct CommandRun<'call> {
    /// The program and its arguments.
    pub argv: &'call [String],
    /// The text for its standard input.
    pub input: &'call str,
    /// Environment variables, as name and value, in addition to this process's own.
    pub environment: &'call [(&'call str, &'call str)],
    /// The longest time that the command may take.
    pub limit: Duration,
    /// The most bytes that are kept of its standard output, and of its standard error. The rest is read and dropped, so
    /// that the command does not block.
    pub keep_bytes: u64,
    /// True if processes that the command leaves behind may run on, if it ends in time. False ends them with it.
    pub detach: bool,
}

/// The result of a command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// True if the exit code was 0.
    pub success: bool,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// The message for a failure: how the command ended, and the beginning of its standard error.
    pub failure: String,
}

/// Runs a command and waits until it ends; at the limit it is ended. Then everything that it started is ended, unless
/// `detach` is set. If the future is dropped, the command and everything that it started are ended too.
///
/// # Errors
/// The command is empty, cannot be started, or took too long. A command that fails is not an error.
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
    // The command gets a process group of its own, so that its children can be ended with it, and Ctrl-C does not stop
    // it.
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
        // Reaps the process. It was just killed, so this does not take long.
        child
            .kill()
            .await
            .map_err(|error| format!("`{program}` cannot be ended: {error}"))?;
        let limit = call.limit.as_secs();
        return Err(format!("`{program}` did not end within {limit} s"));
    };
    if call.detach || argv.len() > call.argv.len() {
        // If the command ran attached, the process that watched it has ended everything else.
        group.disarm();
    } else {
        // The leader was reaped just now. While any process is left in the group, the group's ID cannot be reused.
        group.kill();
    }
    let status = status.map_err(|error| format!("`{program}`: {error}"))?;
    if talking {
        // The output so far is kept, even if the rest does not come in time.
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

/// Writes the input. A command may end without reading it, which is not an error.
async fn feed(stdin: Option<ChildStdin>, input: &str) {
    if let Some(mut stdin) = stdin
        && let Err(error) = stdin.write_all(input.as_bytes()).await
    {
        tracing::debug!(%error, "a command did not read its input");
    }
}

/// Reads everything, and keeps the first `keep_bytes` bytes.
async fn drain(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, keep_bytes: u64) {
    let Some(mut from) = from else { return };
    let read = (&mut from).take(keep_bytes).read_to_end(kept).await;
    let rest = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    if let Err(error) = read.and(rest.map(|_| 0)) {
        tracing::debug!(%error, "a command's output cannot be read");
    }
}

/// The process group that a child leads. If it is dropped before the child has ended, all its processes are ended.
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

    /// Lets the group's processes run on, or does nothing if there are none. The group's ID may be reused from then on.
    fn disarm(&mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }

    /// Ends every process of the group. Called before the leader is reaped or right after it, while the ID is not
    /// reused.
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
