//! `cutover check`: shows offline whether plans are valid, and a summary of each.

use anyhow::Result;

use super::args::Paths;
use super::context::Context;
use super::exit::Exit;
use super::plans;
use crate::report;
use crate::report::check::{Checked, to_json, to_text};
use crate::report::fleet;

/// The remedy in the warning about plans whose pages reach nobody.
pub(super) const SAY_WHO_IS_TOLD: &str = "add `notify`, for example `notify: { slack: \"${SLACK_WEBHOOK}\" }`, to the plan or to \
     `defaults` of `fleet.yaml`";

/// Adds one warning about all plans whose pages reach nobody, to the first such plan.
fn warn_of_silence(checked: &mut [Checked]) {
    let silent: Vec<String> = checked.iter().filter_map(Checked::silent).collect();
    for one in checked {
        if one.silent().is_some() {
            one.warn(&report::check::silence(&silent), SAY_WHO_IS_TOLD);
            return;
        }
    }
}

/// Checks plan files. Findings are the result, so they go to standard output.
///
/// # Errors
/// A plan is not valid.
pub fn run(context: &mut Context<'_>, args: &Paths) -> Result<Exit> {
    let mut found = plans::find(&args.paths);
    warn_of_silence(&mut found.checked);
    if context.json() {
        context.print_json(&to_json(&found.checked))?;
    } else {
        let shown: Vec<String> = found.checked.iter().map(to_text).collect();
        context.print(&shown.join("\n"))?;
        if let Some((path, settings)) = &found.fleet {
            let limits = fleet::limits(settings);
            context.print("\n")?;
            context.print_line(&format!("fleet: {limits}, from {}", path.display()))?;
        }
    }
    if found.all_ok() {
        Ok(Exit::Done)
    } else {
        Err(found.refusal().into())
    }
}
