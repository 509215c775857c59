//! `cutover check`: are the plans valid, and what do they amount to? Offline.

use anyhow::Result;

use super::args::Paths;
use super::context::Context;
use super::exit::Exit;
use super::plans;
use crate::report::check::{to_json, to_text};
use crate::report::fleet;

/// Checks plan files. Findings are the result, so they go to standard output.
///
/// # Errors
/// A plan is not valid.
pub fn run(context: &mut Context<'_>, args: &Paths) -> Result<Exit> {
    let found = plans::find(&args.paths);
    if context.json() {
        context.print_json(&to_json(&found.checked))?;
    } else {
        let shown: Vec<String> = found.checked.iter().map(to_text).collect();
        context.print(&shown.join("\n"))?;
        if let Some((path, settings)) = &found.fleet {
            let limits = fleet::limits(settings);
            context.print(&format!("\nfleet: {limits}, from {}\n", path.display()))?;
        }
    }
    if found.all_ok() {
        Ok(Exit::Done)
    } else {
        Err(found.refusal().into())
    }
}
