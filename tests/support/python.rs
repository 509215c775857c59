//! A Python with pinned packages, for clients that others wrote.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages, each with its version.
const PACKAGES: [&str; 1] = ["boto3==1.44.5"];

/// The interpreter of a virtual environment under `target/`; made on first use, while other tests wait.
pub(crate) fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let home = target.join("test-venv");
    let interpreter = home.join("bin").join("python");
    let lock = File::create(target.join("test-venv.lock")).expect("a lock file under target/");
    lock.lock().expect("a file lock");
    let stamp = home.join("packages");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return interpreter;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&home));
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(Command::new(&interpreter).args(install).args(PACKAGES));
    fs::write(&stamp, wanted).expect("a stamp under target/");
    interpreter
}

/// Runs a command that must succeed.
fn run(command: &mut Command) {
    let output = command.output().expect("a program that starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
