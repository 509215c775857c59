//! Starts commands with unusual outputs: closed, full, unread, or a terminal.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::program::{pause, until};

/// Where both streams of a command lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// To a file, which the test can read.
    Kept,
    /// To a pipe whose reader has ended.
    Closed,
    /// To a full disk.
    Full,
    /// To a full pipe that nobody reads.
    Unread,
}

/// The reading end of a full pipe, which must stay open while the command runs. `None` for other streams.
pub(super) struct Held(Option<OwnedFd>);

impl Stream {
    /// Opens the command's end of the stream.
    fn open(self, kept: &std::path::Path) -> (Stdio, Held) {
        match self {
            Self::Kept => {
                let file = File::create(kept).expect("a file can be made");
                (file.into(), Held(None))
            }
            Self::Closed => {
                let (read, write) = pipe();
                drop(read);
                (write.into(), Held(None))
            }
            Self::Full => {
                let full = OpenOptions::new().write(true).open("/dev/full");
                (full.expect("a device").into(), Held(None))
            }
            Self::Unread => {
                let (read, write) = pipe();
                fill(&write);
                (write.into(), Held(Some(read)))
            }
        }
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = std::io::pipe().expect("a pipe");
    (read.into(), write.into())
}

/// Fills a pipe to its last byte with `x`.
fn fill(write: &OwnedFd) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let flags = fcntl_getfl(write).expect("flags");
    fcntl_setfl(write, flags | OFlags::NONBLOCK).expect("flags");
    while rustix::io::write(write, &[b'x'; 4096]).is_ok() {}
    while rustix::io::write(write, b"x").is_ok() {}
    fcntl_setfl(write, flags).expect("flags");
}

/// A command that was started. It is killed when this is dropped.
pub(super) struct Started {
    child: Child,
    held: [Held; 2],
    kept: std::path::PathBuf,
    began: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for real processes, outside any runtime"
)]
pub(super) fn start(mut command: Command, out: Stream, err: Stream) -> Started {
    let kept = kept(&command);
    let (stdout, held_out) = out.open(&kept.with_extension("out"));
    let (stderr, held_err) = err.open(&kept.with_extension("err"));
    let child = command.stdout(stdout).stderr(stderr).spawn();
    Started {
        child: child.expect("the program starts"),
        held: [held_out, held_err],
        kept,
        began: Instant::now(),
    }
}

/// Starts a command whose three streams are a terminal.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for real processes, outside any runtime"
)]
pub(super) fn start_on(mut command: Command, terminal: &Terminal) -> Started {
    let kept = kept(&command);
    let end = || Stdio::from(terminal.end());
    command.stdin(end()).stdout(end()).stderr(end());
    Started {
        child: command.spawn().expect("the program starts"),
        held: [Held(None), Held(None)],
        kept,
        began: Instant::now(),
    }
}

/// Returns a path for the command's output, without the extension.
fn kept(command: &Command) -> std::path::PathBuf {
    let folder = command.get_current_dir().expect("a folder");
    folder.join(format!("kept-{:08x}", fastrand::u32(..)))
}

/// A pseudo-terminal. The test types at it and reads what it shows.
pub(super) struct Terminal {
    person: OwnedFd,
    program: String,
}

impl Terminal {
    pub(super) fn new() -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&person).expect("it is ours");
        unlockpt(&person).expect("it can be opened");
        let name = ptsname(&person, Vec::new()).expect("it has a name");
        let program = name.into_string().expect("its name is text");
        Self { person, program }
    }

    /// Opens the program's end of the terminal.
    pub(super) fn end(&self) -> OwnedFd {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(self.program.as_str(), flags, Mode::empty()).expect("a terminal")
    }

    /// Types these keys.
    pub(super) fn type_in(&self, keys: &[u8]) {
        let written = rustix::io::write(&self.person, keys);
        assert_eq!(written, Ok(keys.len()));
    }

    /// Returns what the terminal has shown since the last call, without waiting for more.
    pub(super) fn shown(&self) -> String {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

        let flags = fcntl_getfl(&self.person).expect("flags");
        fcntl_setfl(&self.person, flags | OFlags::NONBLOCK).expect("flags");
        let mut shown = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = rustix::io::read(&self.person, &mut piece) {
            shown.extend(&piece[..read]);
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}

/// Returns a line of `/proc/ID/status` without the text `begins`, with which it begins. `None` if the process has
/// ended.
fn status_line(id: u32, begins: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(begins))?;
    Some(line.trim().to_owned())
}

impl Started {
    /// Waits until the command has ended, and returns its exit code. `None` if a signal ended it.
    pub(super) fn code(&mut self) -> Option<i32> {
        let ended = until(|| self.child.try_wait().expect("a child can be waited for"));
        ended.expect("it ends").code()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let pid = Pid::from_raw(id).expect("a process id is above zero");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the command has a handler for a signal, or has ended.
    pub(super) fn wait_until_it_catches(&mut self, signal: Signal) {
        let bit = signal.as_raw() - 1;
        let caught = until(|| {
            if !self.is_alive() {
                return Some(());
            }
            let mask = status_line(self.child.id(), "SigCgt:")?;
            let mask = u64::from_str_radix(&mask, 16).expect("a mask");
            (mask >> bit & 1 == 1).then_some(())
        });
        assert!(caught.is_some(), "{signal:?} is never caught");
    }

    /// Measures the command's peak memory until its end, in MiB. Join the handle after the command has ended. 0 if the
    /// command ended before the first measurement.
    pub(super) fn peak_memory(&self) -> JoinHandle<u64> {
        let id = self.child.id();
        std::thread::spawn(move || {
            let mut peak = 0;
            // A process that has ended has no such line, even before it is reaped.
            while let Some(line) = status_line(id, "VmHWM:") {
                let kib = line.trim_end_matches(" kB").parse::<u64>();
                peak = kib.expect("a number");
                pause(Duration::from_millis(20));
            }
            peak / 1024
        })
    }

    /// Returns the time since the command was started.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns what the command has written to files so far: standard output, then standard error.
    pub(super) fn said(&self) -> String {
        let read = |end: &str| std::fs::read_to_string(self.kept.with_extension(end));
        let (out, err) = (read("out"), read("err"));
        format!("{}{}", out.unwrap_or_default(), err.unwrap_or_default())
    }

    /// Reads an unread pipe to its end (0 is standard output, 1 is standard error). Returns the bytes without every
    /// `x`, because the pipe was filled with `x`.
    pub(super) fn read_at_last(&mut self, which: usize) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(read) = self.held[which].0.take() {
            File::from(read).read_to_end(&mut text).expect("a pipe");
        }
        text.retain(|byte| *byte != b'x');
        text
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // The command may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
