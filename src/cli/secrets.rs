//! The secrets of this process, for what plans name as `${NAME}` or `file:/path`.

use std::sync::Arc;

use anyhow::Result;

use super::error::Expected;
use super::plans::Found;
use crate::engine::notify::{Notify, Via};
use crate::notify::{Lookup, resolve};

/// A variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "which variables hold secrets is only known when a plan names them"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Makes sure that all secrets of the channels of valid plans are there. Where something is under way already, only says
/// what is missing: who is told is no reason to leave traffic unguarded.
///
/// # Errors
/// A secret is not there, and nothing is under way.
pub fn require(found: &Found, under_way: bool) -> Result<()> {
    let plans = found.checked.iter().filter_map(|checked| {
        let plan = checked.plan.as_ref().filter(|_| checked.ok)?;
        Some((plan.name.to_string(), plan.notify.as_ref()?))
    });
    let fleet = found.fleet.iter().filter_map(|(path, settings)| {
        Some((path.display().to_string(), settings.notify.as_ref()?))
    });
    let missing: Vec<String> = plans
        .chain(fleet)
        .flat_map(|(whose, notify)| {
            let missing = missing(notify).into_iter();
            missing.map(move |why| format!("{whose}: {why}"))
        })
        .collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    if under_way {
        for why in &missing {
            tracing::error!(page = true, "nobody is told over a channel: {why}");
        }
        return Ok(());
    }
    let more = match missing.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let hint = "set it where the controller is started, or take the channel out; `cutover notify-test PATH` tries them";
    Err(Expected::usage(format!("{first}{more}"), Some(hint)).into())
}

/// What is missing for the channels of a plan.
fn missing(notify: &Notify) -> Vec<String> {
    let environment: Lookup = Arc::new(variable);
    let of = |via: &Via| {
        let secrets = via.secrets().into_iter();
        let missing = secrets.filter_map(|kept| resolve(kept, &environment).err());
        missing
            .map(|why| format!("{}: {why}", via.service()))
            .collect::<Vec<_>>()
    };
    notify
        .channels
        .iter()
        .flat_map(|channel| of(&channel.via))
        .collect()
}
