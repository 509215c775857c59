//! A Python with pinned packages: an AWS client and an emulator by other authors.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest as _, Sha256};

/// The pins. A change makes a new environment; the old one stays until the target directory is cleaned.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");

/// The interpreter of a virtual environment with everything in `tests/requirements.txt`.
///
/// The first caller builds it, and all others, in this process or another, wait for that. It needs `python3` with `venv`
/// and the package index. If it cannot be built, this panics with the output of `pip`.
pub(crate) fn python() -> PathBuf {
    let mut pins = Vec::new();
    let read = File::open(REQUIREMENTS).and_then(|mut file| file.read_to_end(&mut pins));
    read.expect("tests/requirements.txt can be read");
    let digest = Sha256::digest(&pins);
    let id = digest
        .iter()
        .take(6)
        .fold(0_u64, |id, byte| (id << 8) | u64::from(*byte));
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("test-venv-{id:012x}"));
    let interpreter = environment.join("bin/python");
    // Written last, so that an interrupted build is repeated.
    let marker = environment.join("complete");
    if marker.exists() {
        return interpreter;
    }
    // The system drops the lock when its holder dies, so it is never stale.
    let lock = File::create(environment.with_extension("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be waited for");
    if !marker.exists() {
        build(&environment, &interpreter);
        fs::write(&marker, "").expect("the marker can be written");
    }
    interpreter
}

fn build(environment: &Path, interpreter: &Path) {
    if environment.exists() {
        fs::remove_dir_all(environment).expect("a half-made environment can be removed");
    }
    run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(environment));
    run(Command::new(interpreter)
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "-q",
            "-r",
        ])
        .arg(REQUIREMENTS));
}

/// Runs a command to its end; panics with its output if it fails.
fn run(command: &mut Command) {
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{command:?} cannot be started: {error}");
        });
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        panic!(
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&said)
        );
    }
}

/// A Python program that ends, with everything it started, when this value is dropped or this process dies.
///
/// Without `unsafe` there is no parent-death signal, so the program runs under a small launcher that waits for the end
/// of its standard input, which comes in both cases, and then kills the program's process group.
pub(crate) struct Supervised {
    launcher: std::process::Child,
}

/// Starts its arguments in a process group of their own.
const LAUNCHER: &str = "
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
threading.Thread(target=lambda: os._exit(child.wait() & 255), daemon=True).start()
sys.stdin.buffer.read()
try:
    os.killpg(child.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
child.wait()
os._exit(0)
";

impl Supervised {
    /// Starts `python ARGS…`; its output goes to `log`.
    pub(crate) fn start(args: &[&str], environment: &[(&str, &str)], log: &Path) -> Self {
        let python = python();
        let log = File::create(log).expect("the log can be made");
        let errors = log.try_clone().expect("the log can be shared");
        let launcher = Command::new(&python)
            .args(["-c", LAUNCHER])
            .arg(&python)
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .spawn();
        Self {
            launcher: launcher.expect("python can be started"),
        }
    }

    /// Returns true if it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.launcher.try_wait(), Ok(None))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.launcher.stdin.take() {
            // Closing the pipe is the message; nothing is written.
            stdin.flush().unwrap_or_default();
        }
        self.launcher.wait().map(drop).unwrap_or_default();
    }
}
