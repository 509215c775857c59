//! Provides a Python with pinned packages: an AWS client and an emulator by other authors.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest as _, Sha256};

/// The file with the pinned packages. If it changes, a new environment is built; the old one stays in the target
/// directory.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");

/// Returns the interpreter of a virtual environment with everything in `tests/requirements.txt`.
///
/// The first caller builds the environment, and other callers, in this process or another, wait for it. Building needs
/// `python3` with `venv`, and the package index. Panics with the output of `pip` if the environment cannot be built.
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
    // The marker is written last, so that an interrupted build is repeated.
    let marker = environment.join("complete");
    if marker.exists() {
        return interpreter;
    }
    // The operating system drops the lock when its holder dies, so it is never stale.
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

/// Runs a command to its end. Panics with its output if it fails.
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

/// A Python program that ends, with everything it started, when this is dropped or this process dies.
///
/// A signal at the death of the parent would need `unsafe`. So the program runs below a small launcher. When the
/// launcher's standard input ends, which happens in both cases, it kills the program's process group.
pub(crate) struct Supervised {
    launcher: std::process::Child,
}

/// The launcher: starts its arguments in a process group of their own.
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
    /// Starts `python ARGS…`. The output is written to `log`.
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

    /// Returns true if the program has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.launcher.try_wait(), Ok(None))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.launcher.stdin.take() {
            // Closing the pipe is the signal. Nothing is written.
            stdin.flush().unwrap_or_default();
        }
        self.launcher.wait().map(drop).unwrap_or_default();
    }
}
