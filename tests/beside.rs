//! Hooks and jobs for real: commands, HTTP, a `kubectl` that is a script, and AWS by an emulator of others.

mod hooks;
mod kubectl;
mod moto;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writes a script that can be run.
pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}")).expect("a script can be written");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, mode).expect("a script can be made runnable");
}
